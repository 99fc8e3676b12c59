"""Evolution over decomposed sub-problems: who the parents are, and where children go."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pymoo.core.population import Population
from pymoo.core.problem import Problem

from moela._arrays import Floats, Ints, rows
from moela.core.archive import Archive
from moela.core.decomposition import Subproblems
from moela.core.duplicates import Seen
from moela.core.operators import Operators
from moela.core.scaling import Frame, scalarize
from moela.search.operator_selection import Credit
from moela.search.preselection import EVOLVED, MADE, PICKED, Assistance
from moela.search.real_mating import RealMating

# Share of real-valued children whose parents are archived designs close to each other.
_PROB_ARCHIVE = 0.3
_N_CLOSE = 20
# Members that a child may replace (Li and Zhang 2009).
_N_REPLACED = 2
# Share of the archived designs of other parts that may replace members. Searches descend much
# faster than evolution, and if all that they find came in, their few lines would soon be all.
_PROB_TAKEN = 0.2


class Evolution:
    """Children of neighboring sub-problems' members, and replacement of members by them.

    A child may replace members near the sub-problem that it suits best, and only these (Wang et al.
    2014, "A replacement strategy for balancing convergence and diversity in MOEA/D", CEC), so that
    one good design cannot take over everything. So may some of what other parts have found.

    Where designs break constraints, a second set of members ignores them. Half of the parents, more
    where that pays, come from there, so that evolution crosses infeasible ground that feasibility
    first would keep it out of (cf. Tian et al. 2021, "A coevolutionary framework for constrained
    multi-objective optimization problems", IEEE TEVC 25(1)). Real variables without operators of
    the user's own are mated by `RealMating`, where a learned model may help to choose the children
    that are evaluated.

    Parameters
    ----------
    problem, operators, seen
        What is searched, its operators, and the designs asked for so far.
    subproblems : Subproblems
    prob_neighbor_mating : float
        Probability that parents come from a neighborhood rather than from everywhere.
    assistance : Assistance or None
        What chooses children of real variables; None evaluates every child.
    """

    def __init__(
        self,
        problem: Problem,
        operators: Operators,
        seen: Seen,
        subproblems: Subproblems,
        prob_neighbor_mating: float,
        assistance: Assistance | None = None,
    ) -> None:
        self.problem, self.operators, self.seen = problem, operators, seen
        self.subproblems = subproblems
        self.prob_neighbor_mating = prob_neighbor_mating
        self.relaxed: Subproblems | None = None
        self.sources = Credit([0.5, 0.5], floor=0.1)
        self.mating = RealMating() if operators.default_real else None
        self.assistance = assistance if self.mating is not None else None

    def populate(self, pop: Population, F: Floats, CV: Floats, frame: Frame) -> None:
        """Give each sub-problem a design of the first ones, one to one."""
        self.subproblems.populate(pop, F, CV, frame, deal=True)
        if CV.max() > 0.0:
            self.relaxed = self.subproblems.twin()
            self.relaxed.populate(pop, F, np.zeros(len(F)), frame, deal=True)

    # ---------------------------------------------------------------------------------- asking

    def children(
        self, size: int, front: Archive, frame: Frame, random_state: np.random.Generator
    ) -> Population:
        """Make up to `size` children, unevaluated, with their `home`, and how they were made.

        Designs asked for before are made again, but not for ever, since small spaces run out; if
        there is nothing new, what was made last comes back.
        """
        pop = Population.empty()
        size = min(size, len(self.subproblems))
        for _ in range(3):
            home = random_state.permutation(len(self.subproblems))[: size - len(pop)]
            made = self._make(home, front, frame, random_state)
            new = self.seen.claim(made.get("X"))
            pop = Population.merge(pop, made[new])
            if len(pop) >= size:
                break
        return pop if len(pop) else made

    def _make(
        self, home: Ints, front: Archive, frame: Frame, random_state: np.random.Generator
    ) -> Population:
        """Make a child of each of these homes, with the help of a surrogate where that pays."""
        if self.assistance is None or not self.assistance.ready:
            return self._breed(home, 1, front, frame, random_state)
        chosen = self.assistance.draw(len(home), random_state)
        evolved, left = self._evolved(home[chosen == EVOLVED], frame, random_state)
        picked = self._picked(home[chosen == PICKED], front, frame, random_state)
        plain = np.concatenate([home[chosen == MADE], left])
        made = Population.empty()
        if len(plain):
            made = self._breed(plain, 1, front, frame, random_state)
        for way, pop in ((MADE, made), (PICKED, picked), (EVOLVED, evolved)):
            pop.set(chosen=way, screened=way != MADE)
        return Population.merge(Population.merge(made, picked), evolved)

    def _evolved(
        self, home: Ints, frame: Frame, random_state: np.random.Generator
    ) -> tuple[Population, Ints]:
        """Return what members of these homes become on the surrogate, and homes where nothing did.

        Members that ignore constraints stay out of that.
        """
        if len(home) == 0:
            return Population.empty(), home
        assert self.assistance is not None
        assert self.mating is not None
        bounds = self.problem.xl, self.problem.xu
        X, way, changed = self.assistance.evolve(
            self.subproblems, self.mating, bounds, frame, random_state
        )
        at = home[changed[home]]
        made = self.operators.repair(
            self.problem, Population.new("X", X[at]), random_state=random_state
        )
        made.set(home=at, source=0, way=way[at])
        return made, home[~changed[home]]

    def _picked(
        self, home: Ints, front: Archive, frame: Frame, random_state: np.random.Generator
    ) -> Population:
        """Make many children of each of these homes; return the most promising of each."""
        if len(home) == 0:
            return Population.empty()
        assert self.assistance is not None
        n_each = self.assistance.n_each
        near = home.repeat(n_each)
        made = self._breed(near, n_each, front, frame, random_state)
        F, CV = self.assistance.surrogate.predict(rows([ind.X for ind in made]).astype(float))
        frame = frame.reaching(F)
        gain = _lowered(self.subproblems, F, near, frame).max(axis=1)
        if self.relaxed is not None:
            free = made.get("source") == 1
            CV[free] = 0.0
            gain[free] = _lowered(self.relaxed, F[free], near[free], frame).max(axis=1)
        shape = len(home), n_each
        return made[self.assistance.pick(gain.reshape(shape), CV.reshape(shape))]

    def _breed(
        self,
        home: Ints,
        n_each: int,
        front: Archive,
        frame: Frame,
        random_state: np.random.Generator,
    ) -> Population:
        """Make a child of each of these homes [b]; `n_each` in a row are made in the same way."""
        rng, sub = random_state, self.subproblems
        n_parents = self.operators.n_parents if self.mating is None else 1 + RealMating.n_parents
        parents, _ = sub.parents(home, n_parents, self.prob_neighbor_mating, rng)
        members = sub.pop
        source = np.zeros(len(home), dtype=np.int64)
        if self.relaxed is not None:
            source = (rng.random(len(home)) < self.sources.probabilities[1]).astype(np.int64)
            members = Population.merge(members, self.relaxed.pop)
            parents = parents + len(sub) * source[:, None]
        if self.mating is None:
            made = self.operators.children(self.problem, members, parents, rng)
            way = np.full(len(home), -1)
        else:
            X = rows([ind.X for ind in members]).astype(float)
            base, partners = X[home + len(sub) * source], X[parents[:, 1:]]
            if len(front) > _N_CLOSE:
                kin = (rng.random(len(home)) < _PROB_ARCHIVE) & (source == 0)
                if kin.any():
                    found = self._kin(home[kin], front, frame, rng)
                    base[kin], partners[kin] = found[:, 0], found[:, 1:]
            children, way = self.mating.children(
                base, partners, self.problem.xl, self.problem.xu, rng, n_each
            )
            made = self.operators.repair(
                self.problem, Population.new("X", children), random_state=rng
            )
        made.set(home=home, source=source, way=way)
        return made

    def _kin(
        self, home: Ints, front: Archive, frame: Frame, random_state: np.random.Generator
    ) -> Floats:
        """Choose archived designs for these homes, each with three that lie close to it.

        Returns
        -------
        float array, [b, 4, n_var]
        """
        rng = random_state
        Z = frame.scale(front.F)
        one = rng.integers(len(front), size=len(home))
        apart = ((Z[one][:, None] - Z[None]) ** 2).sum(axis=2)
        close = np.argpartition(apart, _N_CLOSE, axis=1)[:, :_N_CLOSE]
        other = close[
            np.arange(len(home))[:, None],
            rng.integers(0, _N_CLOSE, (len(home), RealMating.n_parents)),
        ]
        chosen = np.column_stack([one, other])
        X = rows([ind.X for ind in front.pop[chosen.ravel()]]).astype(float)
        return X.reshape(*chosen.shape, -1)

    # --------------------------------------------------------------------------------- answers

    def answer(
        self,
        pop: Population,
        F: Floats,
        CV: Floats,
        accepted: NDArray[np.bool_],
        frame: Frame,
        random_state: np.random.Generator,
    ) -> None:
        """Let evaluated designs [b] replace members near the sub-problem that they suit best."""
        sub = self.subproblems
        child = np.array([ind.data.get("part") == "evolution" for ind in pop], dtype=bool)
        taken = child | (accepted & (random_state.random(len(F)) < _PROB_TAKEN))
        if self.relaxed is None and CV.max() > 0.0:
            self.relaxed = sub.twin()
            self.relaxed.populate(sub.pop, sub.F, np.zeros(len(sub)), frame)
        if child.any():
            self._learn(pop, F, CV, accepted, child, frame)
        if not taken.any():
            return
        pop, F, CV = pop[taken], F[taken], CV[taken]
        suits = scalarize(frame.scale(F)[:, None], sub.W, sub.by).argmin(axis=1)
        near = np.ones(len(F), dtype=bool)
        sub.replace(pop, F, CV, suits, near, frame, random_state, n_max=_N_REPLACED)
        if self.relaxed is not None:
            none = np.zeros(len(F))
            self.relaxed.replace(pop, F, none, suits, near, frame, random_state, n_max=_N_REPLACED)

    def _learn(
        self,
        pop: Population,
        F: Floats,
        CV: Floats,
        accepted: NDArray[np.bool_],
        child: NDArray[np.bool_],
        frame: Frame,
    ) -> None:
        homes = _riding(pop, "home", child, 0)
        source = _riding(pop, "source", child, 0)
        if self.relaxed is not None:
            self.sources.add(source[child], accepted[child].astype(float))
        if self.mating is None:
            return
        reward = improvement(self.subproblems, F, CV, homes, frame)
        if self.relaxed is not None:
            free = improvement(self.relaxed, F, np.zeros(len(F)), homes, frame)
            reward = np.where(source == 1, np.maximum(reward, free), reward)
        way = _riding(pop, "way", child, -1)
        self.mating.credit.add(way[child], reward[child])
        if self.assistance is not None:
            told = child & np.array([ind.data.get("chosen") is not None for ind in pop])
            self.assistance.learn(_riding(pop, "chosen", told, 0)[told], reward[told])


def improvement(sub: Subproblems, F: Floats, CV: Floats, homes: Ints, frame: Frame) -> Floats:
    """Say by how much each design improves on the member near its home that it improves most.

    Returns
    -------
    float array, [b]
        Share of the scalarized value that it takes away, or of the violation where the member is
        infeasible; in [0, 1].
    """
    broken = sub.CV[sub.B[homes]]
    less = _lowered(sub, F, homes, frame)
    mended = (broken - CV[:, None]) / np.maximum(broken, 1e-12)
    share = np.where(broken > 0, mended, np.where(CV[:, None] > 0, 0.0, less))
    return np.asarray(np.clip(share, 0.0, 1.0).max(axis=1))


def _lowered(sub: Subproblems, F: Floats, homes: Ints, frame: Frame) -> Floats:
    """Say what share of the value of each member near its home each design takes away, [b, T]."""
    near = sub.B[homes]
    theirs = scalarize(frame.scale(sub.F)[near], sub.W[near], sub.by)
    mine = scalarize(frame.scale(F)[:, None], sub.W[near], sub.by)
    return np.asarray((theirs - mine) / np.maximum(np.abs(theirs), 1e-9))


def _riding(pop: Population, name: str, where: NDArray[np.bool_], default: int) -> Any:
    out = np.full(len(pop), default, dtype=np.int64)
    out[where] = [ind.data.get(name) for ind in pop[where]]
    return out
