"""Mating of real-valued designs: operators, parents by dominance, children that explore."""

from __future__ import annotations

import moocore
import numpy as np
from pymoo.core.population import Population
from pymoo.core.problem import Problem

from moela._arrays import Bools, Floats, Ints, rows
from moela._codes import NO_CODES, Codes
from moela.core.archive import Archive
from moela.search.operator_selection import OperatorSelection

# Simulated binary crossover and polynomial mutation with pymoo's usual distribution indices.
_ETA_CROSSOVER, _ETA_MUTATION = 15.0, 20.0
_SCALES = np.array([0.5, 0.7, 0.9])
_RATES = np.array([0.2, 0.6, 1.0])
_PROB_BOUND = 0.3
# Share of the steps that draw a variable anew. Without them, a value that no parent has any more,
# in another valley of one variable, is hardly ever found again.
_PROB_ANEW = 0.3
# Qualities that are not adapted, of the four operators, for the way to the feasible designs. Copies
# violate constraints less than blends do at once, and leave no diversity to go on with: runs of
# 1,000 evaluations of MW2 that followed such rewards had 0.7 of the hypervolume.
_FIXED = (1.0, 0.5, 0.5, 0.5)
# Number of variables above which steps and copies are used less. They seldom change more than one
# variable, so that many are needed where a single blend changes all, but each is rewarded at once.
_FEW_VARIABLES = 30
# Share of the children that are drawn at random in runs of few evaluations, while so few feasible
# designs are archived for each objective after the first. All members may then be in one corner of
# the front, which their children seldom leave (WFG9). In longer runs, random children cost more
# than they bring (ZDT6).
_PROB_RANDOM, _FEW_ARCHIVED = 0.25, 20
# Share of the children with one variable at a bound in such runs. Whole parts of the front may be
# reached only there, where blends and differences seldom go (DTLZ4).
_PROB_AT_BOUND = 0.1
# Kinds of children: drawn at random, with a variable at a bound, and all others.
RANDOM, AT_BOUND, OTHER = range(3)
# The share of each kind that enters the archive: its first value, and the weight of a new child.
_ENTERED_FIRST, _ENTERED_RATE = 0.3, 0.2
_LEAST_ENTERED = 1e-9


class RealMating:
    """Makes children with four operators, and uses those more often that improve on members.

    - *blend*: simulated binary crossover, then polynomial mutation (Deb and Agrawal 1995);
    - *difference*: differential evolution around the base, then polynomial mutation (Storn and
      Price 1997);
    - *step*: one variable, seldom more, moves by a normal step whose size is drawn from four
      orders of magnitude, or is drawn anew between its bounds;
    - *copy*: one variable, seldom more, comes from the other parent.

    The first two move a population if variables interact; the last two refine it variable by
    variable. Which of them a problem needs is not known in advance, so adaptive operator selection
    decides, with the improvement by the children as the reward (cf. Li, Fialho, Kwong, Zhang 2014,
    "Adaptive operator selection with bandits for MOEA/D", IEEE TEVC 18(1)).

    Labels have no order. A blend takes a label from either parent. A difference takes that of the
    first of two other parents, if these two differ in it. Mutation and steps draw another value.
    Whole numbers change by at least 1.

    Parameters
    ----------
    codes : Codes
        Columns of labels and of whole numbers.
    n_var : int
        Number of variables; with more than 30, steps and copies are used less.
    """

    OPERATORS = ("blend", "difference", "step", "copy")
    n_partners = 3

    def __init__(self, codes: Codes = NO_CODES, n_var: int = 1) -> None:
        self.codes = codes
        of_one = min(1.0, _FEW_VARIABLES / n_var)
        self.selection = OperatorSelection(
            [0.5] * len(self.OPERATORS), p_min=0.05, worth=[1.0, 1.0, of_one, of_one]
        )
        self.fixed_selection = OperatorSelection(_FIXED, p_min=0.05)

    def children(
        self,
        base: Floats,
        partners: Floats,
        xl: Floats,
        xu: Floats,
        random_state: np.random.Generator,
        n_each: int = 1,
        *,
        fixed: bool = False,
    ) -> tuple[Floats, Ints]:
        """Make one child of each base [b, n_var] and its partners [b, 3, n_var], within bounds.

        The same operator makes `n_each` consecutive children; with `fixed`, it is drawn with fixed
        probabilities. Returns the children, and the operator that made each, as an index into
        `OPERATORS`.
        """
        rng = random_state
        operator = (
            (self.fixed_selection if fixed else self.selection)
            .draw(len(base) // n_each, rng)
            .repeat(n_each)
        )
        out = base.copy()
        for i, make in enumerate((_blend, _difference, _step, _copy)):
            rows = np.flatnonzero(operator == i)
            if len(rows):
                out[rows] = make(base[rows], partners[rows], xl, xu, rng, self.codes)
        return _within(out, base, xl, xu, rng), operator


class DominanceRanked:
    """Parents beside the members of sub-problems: the survivors by dominance and crowding.

    A member only has to be the best for one direction, and it mates with its neighbors. Here,
    dominated designs are replaced by non-dominated ones, and any survivors may mate, as in NSGA-II
    (Deb, Pratap, Agarwal, Meyarivan 2002, "A fast and elitist multiobjective genetic algorithm:
    NSGA-II", IEEE TEVC 6(2)). Designs that violate constraints less come first.

    Parameters
    ----------
    size : int
        Number of survivors.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.X: Floats = np.empty((0, 0))
        self._F: Floats = np.empty((0, 0))
        self._CV: Floats = np.empty(0)

    @property
    def usable(self) -> bool:
        """Whether there are parents, all feasible."""
        return len(self.X) > 0 and bool(self._CV.max() <= 0.0)

    def begin(self, X: Floats, F: Floats, CV: Floats) -> None:
        """Begin anew with designs X [n, n_var], objectives F [n, M], and violations CV [n]."""
        self.X, self._F, self._CV = X[:0], F[:0], CV[:0]
        self.add(X, F, CV)

    def add(self, X: Floats, F: Floats, CV: Floats) -> None:
        """Add designs X [b, n_var], objectives F [b, M], and violations CV [b]; the best survive.

        Survivors are sorted, the best first.
        """
        X, F = np.concatenate([self.X, X]), np.concatenate([self._F, F])
        CV = np.concatenate([self._CV, CV])
        rank, crowding = np.zeros(len(F), dtype=np.int64), np.zeros(len(F))
        feasible = np.flatnonzero(CV <= 0.0)
        if len(feasible):
            rank[feasible] = moocore.pareto_rank(F[feasible])
            crowding[feasible] = crowding_distances(F[feasible], rank[feasible])
        best = np.lexsort((-crowding, rank, CV))[: self.size]
        self.X, self._F, self._CV = X[best], F[best], CV[best]

    def draw(self, shape: tuple[int, ...], random_state: np.random.Generator) -> Floats:
        """Draw parents [*shape, n_var], each the better of two."""
        pair = random_state.integers(0, len(self.X), (2, *shape))
        return self.X[pair.min(axis=0)]


def crowding_distances(F: Floats, rank: Ints) -> Floats:
    """Return the crowding distances of objectives F [n, M] in the front of each rank [n], [n].

    They are relative to the extents of that front. pymoo's function takes one front at a time,
    which is slow for many small ones.
    """
    distance = np.zeros(len(F))
    for column in F.T:
        order = np.lexsort((column, rank))
        values, ranks = column[order], rank[order]
        begins = np.append(True, ranks[1:] != ranks[:-1])
        ends = np.append(begins[1:], True)
        extent = (values[ends] - values[begins])[begins.cumsum() - 1]
        inner = np.flatnonzero(~(begins | ends) & (extent > 0.0) & (extent < np.inf))
        distance[order[inner]] += (values[inner + 1] - values[inner - 1]) / extent[inner]
        distance[order[begins | ends]] = np.inf
    return distance


def numbers(pop: Population) -> Floats:
    """Return the real variables of designs, [n, n_var]."""
    return np.asarray(rows([ind.X for ind in pop]).astype(float))


class Exploration:
    """Random children and children at bounds, in runs of few evaluations; fewer if they do not pay.

    With few members, all of them may be in one corner of the front, and their children stay there.
    Where the front has many parts or many local fronts lie before it, such children are wasted.
    So the probability of each kind is proportional to the share of its children that enter the
    archive, relative to that of all other children, by running means.

    Parameters
    ----------
    least : float
        Share, 0 to 1, of the initial probability of a kind that is always left; 1 for constant
        probabilities.
    """

    def __init__(self, least: float = 0.1) -> None:
        self.least = least
        # Of each kind, the share of the children that entered the archive, a running mean.
        self.entered: Floats = np.full(3, _ENTERED_FIRST)

    def probabilities(self) -> Floats:
        """Return the probabilities of random children and of children at bounds, [2]."""
        relative = self.entered[:OTHER] / max(self.entered[OTHER], _LEAST_ENTERED)
        return np.array([_PROB_RANDOM, _PROB_AT_BOUND]) * np.clip(relative, self.least, 1.0)

    def learn(self, kinds: Ints, accepted: Bools) -> None:
        """Learn whether evaluated children of these kinds [b] entered the archive, [b]."""
        for kind, entered in zip(kinds, accepted, strict=True):
            self.entered[kind] += _ENTERED_RATE * (float(entered) - self.entered[kind])

    def replace(
        self,
        children: Floats,
        n_each: int,
        front: Archive,
        problem: Problem,
        codes: Codes,
        random_state: np.random.Generator,
    ) -> Ints:
        """Replace some of the children [b, n_var], in place, and return the kind of each, [b].

        While the front is small, some become random designs: all of `n_each` in a row, or none of
        them. Others become designs of the front with one variable at a bound. Nothing changes if no
        design is feasible, or if there is one objective.
        """
        rng, b = random_state, len(children)
        kinds = np.full(b, OTHER)
        if problem.n_obj == 1 or not front.feasible:
            return kinds
        prob_random, prob_at_bound = self.probabilities()
        if len(front) < _FEW_ARCHIVED * (problem.n_obj - 1):
            drawn = (rng.random(b // n_each) < prob_random).repeat(n_each)
            share = rng.random((int(drawn.sum()), children.shape[1]))
            children[drawn] = problem.xl + share * (problem.xu - problem.xl)
            kinds[drawn] = RANDOM
        at_bound = rng.random(b) < prob_at_bound
        if at_bound.any():
            X = numbers(front.individuals(rng.integers(len(front), size=int(at_bound.sum()))))
            children[at_bound] = _at_bounds(X, problem.xl, problem.xu, codes, rng)
            kinds[at_bound] = AT_BOUND
        return kinds


def _blend(
    base: Floats, partners: Floats, xl: Floats, xu: Floats, rng: np.random.Generator, codes: Codes
) -> Floats:
    other = partners[:, 0]
    u, left = rng.random(base.shape), rng.random(base.shape) < 0.5
    chosen = rng.random(base.shape) < 0.5
    u, first, second = u[chosen], base[chosen], other[chosen]
    beta = np.where(u <= 0.5, 2.0 * u, 0.5 / (1.0 - u)) ** (1.0 / (_ETA_CROSSOVER + 1.0))
    sign = np.where(left[chosen], 1.0, -1.0)
    mixed = base.copy()
    mixed[chosen] = 0.5 * (first + second) + 0.5 * sign * beta * (first - second)
    at = codes.labels
    mixed[:, at] = np.where(chosen[:, at], other[:, at], base[:, at])
    codes.cross(mixed, base, other, chosen, rng)
    return _polynomial(mixed, xl, xu, rng, codes)


def _difference(
    base: Floats, partners: Floats, xl: Floats, xu: Floats, rng: np.random.Generator, codes: Codes
) -> Floats:
    b = len(base)
    scale = _SCALES[rng.integers(0, len(_SCALES), (b, 1))]
    rate = _RATES[rng.integers(0, len(_RATES), (b, 1))]
    moved = base + scale * (partners[:, 0] - partners[:, 1])
    at = codes.labels
    first, second = partners[:, 0, at], partners[:, 1, at]
    moved[:, at] = np.where(first == second, base[:, at], first)
    chosen = _at_least_one(rng.random(base.shape) < rate, rng)
    return _polynomial(np.where(chosen, moved, base), xl, xu, rng, codes)


def _step(
    base: Floats, partners: Floats, xl: Floats, xu: Floats, rng: np.random.Generator, codes: Codes
) -> Floats:
    chosen = _at_least_one(rng.random(base.shape) < 0.5 / base.shape[1], rng)
    size = 0.5 * 10.0 ** rng.uniform(-4.0, 0.0, len(base))
    noise = rng.normal(size=base.shape)
    anew = rng.random(len(base)) < _PROB_ANEW
    place = rng.random(base.shape)
    row, column = chosen.nonzero()
    low, span = xl[column], (xu - xl)[column]
    moved = base[chosen] + noise[chosen] * size[row] * span
    out = base.copy()
    out[chosen] = np.where(anew[row], low + place[chosen] * span, moved)
    codes.step(out, base, xl, xu)
    codes.relabel(out, base, chosen, xl, xu, rng)
    codes.rearrange(out, base, chosen, rng)
    return out


def _copy(
    base: Floats, partners: Floats, xl: Floats, xu: Floats, rng: np.random.Generator, codes: Codes
) -> Floats:
    chosen = _at_least_one(rng.random(base.shape) < 1.0 / base.shape[1], rng)
    out = np.where(chosen, partners[:, 0], base)
    codes.cross(out, base, partners[:, 0], chosen, rng)
    return out


def _polynomial(
    X: Floats, xl: Floats, xu: Floats, rng: np.random.Generator, codes: Codes
) -> Floats:
    chosen = rng.random(X.shape) < 1.0 / X.shape[1]
    u = rng.random(X.shape)[chosen]
    power = 1.0 / (_ETA_MUTATION + 1.0)
    step = np.where(u < 0.5, (2.0 * u) ** power - 1.0, 1.0 - (2.0 * (1.0 - u)) ** power)
    out = X.copy()
    out[chosen] += step * (xu - xl)[chosen.nonzero()[1]]
    codes.step(out, X, xl, xu)
    codes.relabel(out, X, chosen, xl, xu, rng)
    codes.rearrange(out, X, chosen, rng)
    return out


def _at_bounds(X: Floats, xl: Floats, xu: Floats, codes: Codes, rng: np.random.Generator) -> Floats:
    """Return the designs [b, n_var] with one variable each at its lower or upper bound.

    That variable is no label, unless all are labels.
    """
    b, every = len(X), np.arange(len(xl))
    ordered = np.setdiff1d(every, codes.labels)
    column = rng.choice(ordered if len(ordered) else every, b)
    out = X.copy()
    out[np.arange(b), column] = np.where(rng.random(b) < 0.5, xl[column], xu[column])
    return out


def _at_least_one(chosen: Bools, rng: np.random.Generator) -> Bools:
    chosen[np.arange(len(chosen)), rng.integers(0, chosen.shape[1], len(chosen))] = True
    return chosen


def _within(X: Floats, base: Floats, xl: Floats, xu: Floats, rng: np.random.Generator) -> Floats:
    """Put children that violate a bound between base and bound, with some on the bound itself.

    Fronts often lie on bounds, which a point drawn from the inside never reaches.
    """
    below, above = xl > X, xu < X
    outside = (below | above).nonzero()
    if len(outside[0]):
        on_bound, share = rng.random(X.shape), rng.random(X.shape)
        share = np.where(on_bound[outside] < _PROB_BOUND, 0.0, share[outside])
        inside, low, high = base[outside], xl[outside[1]], xu[outside[1]]
        X = X.copy()
        X[outside] = np.where(
            below[outside], low + share * (inside - low), high - share * (high - inside)
        )
    return np.minimum(np.maximum(X, xl), xu)
