"""Evolution over decomposed sub-problems: mating, preselection and replacement."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from pymoo.core.population import Population

from moela._arrays import Bools, Floats, Ints, rows
from moela.core.archive import Archive
from moela.core.context import SearchContext
from moela.core.decomposition import MANY_OBJECTIVES, Subproblems
from moela.core.individuals import unevaluated
from moela.core.origin import asked_by, origins, set_origin
from moela.learning.feasibility import FeasibilityModel
from moela.learning.features import Encoder
from moela.search.allocation import evolves_alone
from moela.search.operator_selection import OperatorSelection
from moela.search.preselection import BEST, EVOLVED, PLAIN, Preselection
from moela.search.real_mating import OTHER, DominanceRanked, Exploration, RealMating, numbers
from moela.search.settings import DEFAULT

# Share of real-valued children whose parents are archived designs close to each other.
_PROB_ARCHIVE = 0.3
_N_CLOSE = 20
# Share of real-valued children whose parents are survivors by dominance: the first if there are as
# many survivors as members, the second if there are fewer.
_PROB_OF_MANY, _PROB_OF_FEW = 0.5, 0.7
# Number of members that a child may replace (Li and Zhang 2009).
_N_REPLACED = 2
# Share of the archived designs of other parts that may replace members. Searches descend much
# faster than evolution, and if all of their designs did, few lines of descent would be left.
_PROB_TAKEN = 0.2
# Factor on the share of parents that ignore constraints while some members violate them.
_IGNORING = 0.4
# While fewer children than this share are feasible, by a running mean in which a child counts for
# half as much 35 children later, some are the most promising of several.
_FEW, _FADE, _N_LIKELY = 0.5, 0.98, 10
_LEAST_GAIN = 1e-9
# Designs until which children of mixed variables are chosen so.
_MOST_MIXED = 1000
# Children made for each that is missing because the first ones were duplicates.
_SPARE = 3

Improvement = Callable[[Population, Floats], Population]


class Evolution:
    """Children of neighboring sub-problems' members, and replacement of members by them.

    A child may replace members near the sub-problem that it suits best, and only these (Wang et al.
    2014, "A replacement strategy for balancing convergence and diversity in MOEA/D", CEC), so that
    one good design cannot take over everything. So may some designs of the other parts.

    If designs violate constraints, a second set of members ignores the constraints. Half of the
    parents, and more if that pays, come from it, so that evolution crosses infeasible regions that
    feasibility first would keep it out of (cf. Tian et al. 2021, "A coevolutionary framework for
    constrained multi-objective optimization problems", IEEE TEVC 25(1)).

    While some members violate constraints, those that violate them less have more children, and a
    child replaces the member that violates them most, wherever that is, so that few feasible
    designs are enough to lead all members to them. Where few children are feasible, a model of the
    constraints chooses some of them among several (cf. Jin 2011, see `Preselection`).

    Real variables with default operators are mated by `RealMating`, where a surrogate may choose
    the offspring. Half of their parents or more are survivors by dominance instead of members.
    """

    def __init__(
        self,
        context: SearchContext,
        subproblems: Subproblems,
        prob_neighbor_mating: float,
        preselection: Preselection | None = None,
        feasibility: FeasibilityModel | None = None,
        encoder: Encoder | None = None,
        *,
        exploration: Exploration | None = None,
        improve: Improvement | None = None,
        n_survivors: int = DEFAULT.n_survivors,
    ) -> None:
        self.context = context
        self.subproblems = subproblems
        self.prob_neighbor_mating = prob_neighbor_mating
        # The members that ignore constraints; None if no design has violated any.
        self.relaxed: Subproblems | None = None
        # Selects the members that parents come from: 0 for `subproblems`, 1 for `relaxed`.
        self.sources = OperatorSelection([0.5, 0.5], p_min=0.1)
        operators = context.operators
        self.mating: RealMating | None = None
        if operators.default_real:
            self.mating = RealMating(operators.codes, context.problem.n_var)
        self.ranked: DominanceRanked | None = None
        if self.mating is not None and context.problem.n_obj < MANY_OBJECTIVES:
            self.ranked = DominanceRanked(min(n_survivors, len(subproblems)))
        few = len(subproblems) > n_survivors
        self.prob_by_dominance = _PROB_OF_FEW if few else _PROB_OF_MANY
        self.preselection = preselection if self.mating is not None else None
        self.feasibility, self.encoder = feasibility, encoder
        # Replaces some of the real-valued children.
        self.exploration = exploration
        # Applied to children of other variables than real ones, with the weights they are made for.
        self.improve = improve
        self._finds_extent = evolves_alone(context.problem)
        # Selects, where few children are feasible, whether the model chooses a child among several.
        self.likely = OperatorSelection([0.5, 0.5], p_min=0.1)
        self.feasible_share = 1.0  # of the children, a running mean

    def populate(self, pop: Population, F: Floats, CV: Floats) -> None:
        """Assign designs to the sub-problems, one to one as far as possible."""
        normalization = self.context.normalization
        self.subproblems.populate(pop, F, CV, normalization, one_to_one=True)
        if self.ranked is not None:
            self.ranked.begin(numbers(pop), F, CV)
        if CV.max() > 0.0:
            self.relaxed = self.subproblems.twin()
            self.relaxed.populate(pop, F, np.zeros(len(F)), normalization, one_to_one=True)
            self.feasible_share = float((CV <= 0.0).mean())

    def children(self, size: int, front: Archive) -> Population:
        """Make up to `size` unevaluated children that nobody has asked for.

        Duplicates are made again, but only a few times, since small spaces run out.
        """
        pop = Population.empty()
        size = min(size, len(self.subproblems))
        for attempt in range(3):
            order = self._order()
            missing = size - len(pop)
            # A child more takes much less time than another attempt.
            made = self._make(order[: missing if attempt == 0 else _SPARE * missing], front)
            new = self.context.duplicates.claim(made.get("X"), missing)
            pop = Population.merge(pop, made[new])
            if len(pop) >= size:
                break
        return pop

    @property
    def _some_infeasible(self) -> bool:
        """Whether some members violate constraints."""
        return bool(self.subproblems.CV.max() > 0.0)

    def _order(self) -> Ints:
        """Return the sub-problems in random order; of two, the one that violates constraints less.

        So a sub-problem comes several times if its member violates them less than others do.
        """
        rng, CV = self.context.random_state, self.subproblems.CV
        order = rng.permutation(len(self.subproblems))
        if not self._some_infeasible:
            return order
        others = rng.permutation(order)
        return np.where(CV[others] < CV[order], others, order)

    def _make(self, subproblems: Ints, front: Archive) -> Population:
        """Make a child for each of these sub-problems, with preselection if that is ready."""
        if self.preselection is None or not self.preselection.ready:
            if self._few_feasible:
                return self._with_likely(subproblems, front)
            return self._mate(subproblems, front)
        strategy = self.preselection.draw(len(subproblems), self.context.random_state)
        evolved, unchanged = self._evolved(subproblems[strategy == EVOLVED])
        best = self._best(subproblems[strategy == BEST], front)
        rest = np.concatenate([subproblems[strategy == PLAIN], unchanged])
        plain = self._mate(rest, front) if len(rest) else Population.empty()
        for number, pop in ((PLAIN, plain), (BEST, best), (EVOLVED, evolved)):
            set_origin(pop, preselection=number, chosen_by_model=number != PLAIN)
        return Population.merge(Population.merge(plain, best), evolved)

    @property
    def _few_feasible(self) -> bool:
        """Whether predictions of feasibility can be used, and children are seldom feasible."""
        if self.feasibility is None or not self.feasibility.ready:
            return False
        # Ten children of mixed variables take longer than all else.
        if self.context.operators.mating is not None and self.feasibility.n_rows > _MOST_MIXED:
            return False
        return self._some_infeasible or self.feasible_share < _FEW

    def _with_likely(self, subproblems: Ints, front: Archive) -> Population:
        """Make a child for each of these; for some, the one of several most likely feasible."""
        chosen = self.likely.draw(len(subproblems), self.context.random_state) == 1
        plain = self._mate(subproblems[~chosen], front) if not chosen.all() else Population.empty()
        likely = self._likely(subproblems[chosen], front)
        for number, pop in enumerate((plain, likely)):
            set_origin(pop, likely_feasible=number, chosen_by_model=number == 1)
        return Population.merge(plain, likely)

    def _likely(self, subproblems: Ints, front: Archive) -> Population:
        """Make several children for each of these; return the most promising of each.

        It is the one whose predicted improvement, times the probability that it is feasible, is
        largest, or the one of least expected violation if none is likely feasible. Children of
        members that ignore constraints are left as they come.
        """
        if len(subproblems) == 0:
            return Population.empty()
        assert self.feasibility is not None
        assert self.encoder is not None
        repeated = subproblems.repeat(_N_LIKELY)
        pop = self._mate(repeated, front)
        F, C = self.feasibility.predict(self.encoder(rows([ind.X for ind in pop])))
        violation, probability = self.feasibility.violation(C)
        normalization = self.context.normalization.with_ideal_of(F)
        gain = self.subproblems.reductions(F, repeated, normalization).max(axis=1)
        shape = len(subproblems), _N_LIKELY
        ignoring = origins(pop, "ignores_constraints", bool).reshape(shape)
        probability = np.where(ignoring, 0.0, probability.reshape(shape))
        promise = probability * np.maximum(gain.reshape(shape), _LEAST_GAIN)
        some_likely = probability.max(axis=1, keepdims=True) > 0.5
        rank = np.where(some_likely, -promise, violation.reshape(shape))
        rank[ignoring] = np.inf
        at = np.where(ignoring[:, 0], 0, rank.argmin(axis=1))
        return pop[np.arange(len(subproblems)) * _N_LIKELY + at]

    def _evolved(self, subproblems: Ints) -> tuple[Population, Ints]:
        """Return members evolved on the surrogate, and sub-problems that are left without one.

        Members that ignore constraints take no part in this.
        """
        if len(subproblems) == 0:
            return Population.empty(), subproblems
        assert self.preselection is not None
        assert self.mating is not None
        X, operator, at = self.preselection.evolved(
            subproblems, self.subproblems, self.mating, self.context
        )
        left = np.setdiff1d(subproblems, at)[: len(subproblems) - len(at)]
        if len(at) == 0:
            return Population.empty(), left
        pop = self.context.repaired(X)
        set_origin(pop, subproblem=at, mating_operator=operator)
        return pop, left

    def _best(self, subproblems: Ints, front: Archive) -> Population:
        """Make many children for each of these sub-problems; return the best predicted of each."""
        if len(subproblems) == 0:
            return Population.empty()
        assert self.preselection is not None
        n_each = self.preselection.n_each
        repeated = subproblems.repeat(n_each)
        X, operator, source = self._real_children(repeated, n_each, front)
        # Only the chosen ones become individuals, which take longer to make than the children.
        X = self.context.repaired_rows(X)
        F, CV = self.preselection.surrogate.predict(X)
        normalization = self.context.normalization.with_ideal_of(F)
        gain = self.subproblems.reductions(F, repeated, normalization).max(axis=1)
        if self.relaxed is not None:
            free = source == 1
            CV[free] = 0.0
            reductions = self.relaxed.reductions(F[free], repeated[free], normalization)
            gain[free] = reductions.max(axis=1)
        shape = len(subproblems), n_each
        at = self.preselection.pick(gain.reshape(shape), CV.reshape(shape))
        pop = unevaluated(X[at])
        set_origin(
            pop,
            subproblem=subproblems,
            ignores_constraints=source[at] == 1,
            mating_operator=operator[at],
        )
        return pop

    def _mate(self, subproblems: Ints, front: Archive) -> Population:
        """Make a child for each of these [b]."""
        if self.mating is None:
            parents, source = self._parents(subproblems, self.context.operators.n_parents)
            pop = self.context.children(self._members(), parents)
            if self.improve is not None:
                pop = self.improve(pop, self.subproblems.W[subproblems])
            operator = np.full(len(subproblems), -1)
        else:
            X, operator, source = self._real_children(subproblems, 1, front)
            pop = self.context.repaired(X)
        set_origin(
            pop, subproblem=subproblems, ignores_constraints=source == 1, mating_operator=operator
        )
        return pop

    def _members(self) -> Population:
        """Return the members, then those that ignore constraints."""
        if self.relaxed is None:
            return self.subproblems.pop
        return Population.merge(self.subproblems.pop, self.relaxed.pop)

    def _parents(self, subproblems: Ints, n_parents: int) -> tuple[Ints, Ints]:
        """Draw parents [b, n_parents] among `_members`, and 1 where these ignore constraints."""
        rng, sub = self.context.random_state, self.subproblems
        parents, _ = sub.parents(subproblems, n_parents, self.prob_neighbor_mating, rng)
        source = np.zeros(len(subproblems), dtype=np.int64)
        if self.relaxed is not None:
            share = self.sources.probabilities[1] * (_IGNORING if self._some_infeasible else 1.0)
            source = (rng.random(len(source)) < share).astype(np.int64)
            parents = parents + len(sub) * source[:, None]
        return parents, source

    def _real_children(
        self, subproblems: Ints, n_each: int, front: Archive
    ) -> tuple[Floats, Ints, Ints]:
        """Make a child for each of these [b]; `n_each` in a row use the same mating operator.

        Returns the children [b, n_var], mating operators, or minus 1 minus the kind where
        `exploration` replaced them, and 1 for parents that ignore constraints.
        """
        assert self.mating is not None
        rng, problem = self.context.random_state, self.context.problem
        parents, source = self._parents(subproblems, 1 + RealMating.n_partners)
        X = numbers(self._members())
        base, partners = X[subproblems + len(self.subproblems) * source], X[parents[:, 1:]]
        if len(front) > _N_CLOSE and problem.n_obj < MANY_OBJECTIVES:
            archived = (rng.random(len(base)) < _PROB_ARCHIVE) & (source == 0)
            if archived.any():
                group = self._close_in_archive(int(archived.sum()), front)
                base[archived], partners[archived] = group[:, 0], group[:, 1:]
        if self.ranked is not None and self.ranked.usable:
            drawn = (rng.random(len(base) // n_each) < self.prob_by_dominance).repeat(n_each)
            by_dominance = drawn & (source == 0)
            n = int(by_dominance.sum())
            base[by_dominance] = self.ranked.draw((n,), rng)
            partners[by_dominance] = self.ranked.draw((n, RealMating.n_partners), rng)
        children, operator = self.mating.children(
            base, partners, problem.xl, problem.xu, rng, n_each, fixed=self._some_infeasible
        )
        if self.exploration is not None:
            codes = self.mating.codes
            kinds = self.exploration.replace(children, n_each, front, problem, codes, rng)
            operator = np.where(kinds == OTHER, operator, -1 - kinds)
        return children, operator, source

    def _close_in_archive(self, n: int, front: Archive) -> Floats:
        """Choose n archived designs, each with 3 partners among those closest: [n, 4, n_var]."""
        rng = self.context.random_state
        base = rng.integers(len(front), size=n)
        close = front.nearest(base, 1.0 / self.context.normalization.span, _N_CLOSE)
        columns = rng.integers(0, _N_CLOSE, (n, RealMating.n_partners))
        group = np.column_stack([base, close[np.arange(n)[:, None], columns]])
        X = numbers(front.individuals(group.ravel()))
        return X.reshape(*group.shape, -1)

    def answer(self, pop: Population, F: Floats, CV: Floats, accepted: Bools) -> None:
        """Let evaluated designs [b] replace members near the sub-problem that they suit best."""
        sub, context = self.subproblems, self.context
        child = asked_by(pop, "evolution")
        taken = child | (accepted & (context.random_state.random(len(F)) < _PROB_TAKEN))
        if self.relaxed is None and CV.max() > 0.0:
            self.relaxed = sub.twin()
            self.relaxed.populate(sub.pop, sub.F, np.zeros(len(sub)), context.normalization)
        if self.ranked is not None and len(pop):
            self.ranked.add(numbers(pop), F, CV)
        if child.any():
            self._learn(pop[child], F[child], CV[child], accepted[child])
        if taken.any():
            self._replace(pop[taken], F[taken], CV[taken])

    def _replace(self, pop: Population, F: Floats, CV: Floats) -> None:
        """Let designs [b] replace members."""
        sub, context = self.subproblems, self.context
        normalization, rng = context.normalization, context.random_state
        values = normalization.scalarize(F[:, None], sub.W, sub.by)
        suits, local = values.argmin(axis=1), np.ones(len(F), dtype=bool)
        if self._some_infeasible:
            good = CV <= 0.0
            if good.any():
                sub.replace(
                    pop[good], F[good], CV[good], suits[good], local[good], normalization, rng
                )
            self._replace_most_violated(pop, F, CV)
        else:
            sub.replace(
                pop, F, CV, suits, local, normalization, rng, n_max=_N_REPLACED, values=values
            )
        if self._finds_extent:
            normalization.most = sub.extent(normalization)
        if self.relaxed is not None:
            free = np.zeros(len(F))
            normalization = normalization.with_ideal_of(np.concatenate([self.relaxed.F, F]))
            self.relaxed.replace(pop, F, free, suits, local, normalization, rng, n_max=_N_REPLACED)

    def _replace_most_violated(self, pop: Population, F: Floats, CV: Floats) -> None:
        """Let each design [b] that is no member replace the one of most violation, if it is less.

        Where members are infeasible, the sub-problem that a design suits says little.
        """
        sub = self.subproblems
        members = {id(member) for member in sub.pop}
        for i in CV.argsort(kind="stable"):
            worst = sub.CV.argmax()
            if CV[i] >= sub.CV[worst]:
                break
            if id(pop[i]) not in members:
                sub.pop[worst], sub.F[worst], sub.CV[worst] = pop[i], F[i], CV[i]

    def _learn(self, children: Population, F: Floats, CV: Floats, accepted: Bools) -> None:
        """Reward the sources, mating operators and strategies of evaluated children [b]."""
        normalization = self.context.normalization
        subproblems = origins(children, "subproblem", np.int64)
        source = origins(children, "ignores_constraints", np.int64)
        if self.relaxed is not None:
            # Few children enter the archive before there are feasible ones.
            members = self.subproblems.CV
            closer = accepted | ((CV > 0.0) & (CV < members.max()))
            self.sources.update(source, closer.astype(float))
            closer = accepted | ((CV > 0.0) & (CV < np.median(members)))
            likely = origins(children, "likely_feasible", np.int64)
            used = (source == 0) & (likely >= 0)
            self.likely.update(likely[used], closer[used].astype(float))
            keep = _FADE ** len(CV)
            share = float((CV <= 0.0).mean())
            self.feasible_share = keep * self.feasible_share + (1.0 - keep) * share
        if self.mating is None:
            return
        reward = self.subproblems.improvement(F, CV, subproblems, normalization)
        if self.relaxed is not None:
            free = self.relaxed.improvement(F, np.zeros(len(F)), subproblems, normalization)
            reward = np.where(source == 1, np.maximum(reward, free), reward)
        operator = origins(children, "mating_operator", np.int64)
        if self.exploration is not None:
            self.exploration.learn(np.where(operator < 0, -1 - operator, OTHER), accepted)
        if not self._some_infeasible:
            self.mating.selection.update(operator[operator >= 0], reward[operator >= 0])
        if self.preselection is not None:
            strategy = origins(children, "preselection", np.int64)
            chosen = (strategy >= 0) & (operator >= 0)
            self.preselection.learn(strategy[chosen], reward[chosen])
