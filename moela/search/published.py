"""MOELA as released with the paper, for comparison."""

from __future__ import annotations

from typing import TYPE_CHECKING, Unpack

import numpy as np
from numpy.typing import ArrayLike
from pymoo.core.population import Population

from moela._arrays import Bools, Floats, Ints, rows
from moela._checks import count
from moela.core.algorithm import ArchiveAlgorithm
from moela.core.decomposition import Subproblems, random_weights
from moela.core.origin import asked_by, origins, set_origin
from moela.core.parameters import ArchiveParameters
from moela.core.scaling import Normalization
from moela.learning.features import encode
from moela.search.local_search import LocalSearches

if TYPE_CHECKING:
    from sklearn.ensemble import RandomForestRegressor

_N_CLUSTERS = 6
_STARTS_PER_CLUSTER = 2


class PublishedMOELA(ArchiveAlgorithm):
    """The algorithm released with arXiv 2303.06169, setting by setting.

    A generation is an evolution step, with four children for each of 50 sub-problems under a
    Chebyshev scalarization with fixed bounds, followed by greedy searches on the weighted sum. In
    the first 11 generations, searches start from two random members of each of 6 k-means clusters
    of the weights; later, from the member of each cluster with the lowest predicted end. A random
    forest predicts it, refitted every generation on every design that a search has visited, with
    the best value that the search reached as the target.

    Four things differ from the release. Children and searches advance in batches, so that their
    evaluations can run in parallel. Crossover and moves are the problem's own operators. The
    inputs of the forest are the problem's `features(X)`, or its variables; the release flattens a
    64 x 64 adjacency matrix. The result is the front of all evaluated designs; the release reports
    its 50 members, which are `algorithm.subproblems.pop`.

    Parameters
    ----------
    n_subproblems, n_neighbors : int
        50 and 15 as released.
    prob_neighbor_mating : float
        0.9 as released.
    n_children : int
        Children per sub-problem and generation; 4 as released.
    patience, max_gains : int
        Failures in a row, and improvements, that end a search; both 15 as released.
    n_random_generations : int
        Generations before the forest picks starts; 11 as released.
    bounds : tuple of arrays [M], optional
        Fixed (lower, upper) bounds of the objectives. The release has constants for its platform.
        Default: zero and the problem's `ref_point`, or the range of the initial designs if there
        is none.
    **kwargs
        `sampling`, `crossover`, `mutation`, `repair`, and the parameters of pymoo's `Algorithm`.

    References
    ----------
    Qi, Li, Pasricha, Kim: "MOELA: A multi-objective evolutionary/learning design space exploration
    framework for 3D heterogeneous manycore platforms", DATE 2023,
    arXiv 2303.06169.
    """

    _shared_by_copies = ("problem", "forest")

    def __init__(
        self,
        *,
        n_subproblems: int = 50,
        n_neighbors: int = 15,
        prob_neighbor_mating: float = 0.9,
        n_children: int = 4,
        patience: int = 15,
        max_gains: int = 15,
        n_random_generations: int = 11,
        bounds: tuple[ArrayLike, ArrayLike] | None = None,
        **kwargs: Unpack[ArchiveParameters],
    ) -> None:
        count("PublishedMOELA", "n_subproblems", n_subproblems, at_least=_N_CLUSTERS)
        super().__init__(n_subproblems, **kwargs)
        self.n_subproblems, self.n_neighbors = n_subproblems, n_neighbors
        self.prob_neighbor_mating = prob_neighbor_mating
        self.n_children = count("PublishedMOELA", "n_children", n_children)
        self.patience, self.max_gains = patience, max_gains
        self.n_random_generations = n_random_generations
        self.bounds = bounds

    def _begin(self) -> None:
        from sklearn.cluster import KMeans  # takes .4 s, which other searches need not wait for

        m, rng = self.problem.n_obj, self.random_state
        corners = np.eye(m)
        rest = random_weights(self.n_subproblems - m, m, rng)
        W = np.concatenate([corners, rest])[: self.n_subproblems]
        self.subproblems = Subproblems(W, self.n_neighbors, "chebyshev")
        self.searches = LocalSearches(m, "weighted_sum", self.patience, self.max_gains)
        seed = int(rng.integers(2**31))
        self.clusters = KMeans(_N_CLUSTERS, n_init=4, random_state=seed).fit_predict(W)
        self.generation = 0
        self.children_left = 0
        self.searches_due = False
        # By search id: its sub-problem, and the inputs of the forest for the designs it visited.
        self.subproblem_of: dict[int, int] = {}
        self.visited: dict[int, list[Floats]] = {}
        self.inputs: list[Floats] = []
        self.targets: list[float] = []
        self.forest: RandomForestRegressor | None = None

    def _fixed_normalization(self, F: Floats) -> Normalization:
        n_obj, bounds = self.problem.n_obj, self.bounds
        ref_point = getattr(self.problem, "ref_point", None)
        if bounds is None and ref_point is not None:
            bounds = np.zeros(n_obj), ref_point
        fixed = Normalization(n_obj, bounds=bounds, units=self.context.units)
        if bounds is None:
            # F is in working units already.
            fixed.ideal, fixed.nadir, fixed.fixed = F.min(axis=0), fixed.worst_of(F), True
        return fixed

    def _ask(self) -> Population:
        if self.children_left == 0 and not self.searches_due and len(self.searches) == 0:
            self.generation += 1
            self.children_left = self.n_children
        if self.children_left > 0:
            self.children_left -= 1
            self.searches_due = self.children_left == 0
            order = self.random_state.permutation(len(self.subproblems))
            return self.subproblems.children(order, self.prob_neighbor_mating, self.context)
        if self.searches_due:
            self.searches_due = False
            self._start_searches()
        X = self.context.neighbors(self.searches.X, 1, self.searches.step)
        pop = Population.new("X", X[:, 0])
        set_origin(pop, part="search", search=self.searches.ids)
        return pop

    def _start_searches(self) -> None:
        rng, sub = self.random_state, self.subproblems
        early = self.generation <= self.n_random_generations or self.forest is None
        predicted = None if early else self._predict(np.arange(len(sub)))
        picks: list[int] = []
        for cluster in range(_N_CLUSTERS):
            members = np.flatnonzero(self.clusters == cluster)
            if predicted is None:
                n = min(_STARTS_PER_CLUSTER, len(members))
                picks.extend(rng.choice(members, n, replace=False).tolist())
            else:
                picks.append(int(members[predicted[members].argmin()]))
        index = np.array(picks)
        inputs = self._inputs(sub.pop[index], sub.F[index], sub.W[index])
        ids = self.searches.begin(sub.pop[index], sub.F[index], sub.CV[index], sub.W[index], inputs)
        for search, subproblem, row in zip(ids.tolist(), picks, inputs, strict=True):
            self.subproblem_of[search] = subproblem
            self.visited[search] = [row]

    def _predict(self, index: Ints) -> Floats:
        sub = self.subproblems
        assert self.forest is not None
        inputs = self._inputs(sub.pop[index], sub.F[index], sub.W[index])
        return np.asarray(self.forest.predict(inputs))

    def _inputs(self, pop: Population, F: Floats, W: Floats) -> Floats:
        features = encode(self.problem, rows(pop.get("X")))
        return np.concatenate([self.normalization.scale(F), W, features], axis=1)

    def _answer_initial(self, pop: Population, F: Floats, CV: Floats, accepted: Bools) -> None:
        self.context.normalization = self._fixed_normalization(F)
        self.subproblems.populate_in_order(pop, F, CV)

    def _answer(self, pop: Population, F: Floats, CV: Floats, accepted: Bools) -> None:
        self._take_children(pop, F, CV, asked_by(pop, "evolution"))
        self._take_neighbors(pop, F, CV, asked_by(pop, "search"))

    def _take_children(self, pop: Population, F: Floats, CV: Floats, mine: Bools) -> None:
        if mine.any():
            self.subproblems.replace(
                pop[mine], F[mine], CV[mine], origins(pop[mine], "subproblem", np.int64),
                origins(pop[mine], "from_neighborhood", bool), self.normalization,
                self.random_state,
            )  # fmt: skip

    def _take_neighbors(self, pop: Population, F: Floats, CV: Floats, mine: Bools) -> None:
        running = self.searches
        ids = origins(pop, "search", np.int64)
        position = running.positions(ids)
        known = mine & (position >= 0)
        if not known.any():
            return
        pop, F, CV, ids = pop[known], F[known], CV[known], ids[known]
        inputs = self._inputs(pop, F, running.W[position[known]])
        for search, row in zip(ids.tolist(), inputs, strict=True):
            self.visited[search].append(row)
        finished = running.receive(ids, pop, F, CV, self.normalization)
        if finished.any():
            self._finish(finished)

    def _finish(self, finished: Bools) -> None:
        running = self.searches
        F, ids = running.F[finished], running.ids[finished].tolist()
        values = self.normalization.scalarize(F, running.W[finished], "weighted_sum")
        for search, value in zip(ids, values.tolist(), strict=True):
            visited = self.visited.pop(search)
            self.inputs.extend(visited)
            self.targets.extend([value] * len(visited))
        subproblems = np.array([self.subproblem_of.pop(search) for search in ids])
        local = np.ones(len(F), dtype=bool)
        self.subproblems.replace(
            running.pop[finished], F, running.CV[finished], subproblems, local,
            self.normalization, self.random_state,
        )  # fmt: skip
        running.drop(finished)
        if len(running) == 0:
            from sklearn.ensemble import RandomForestRegressor

            seed = int(self.random_state.integers(2**31))
            forest = RandomForestRegressor(100, random_state=seed)
            self.forest = forest.fit(np.array(self.inputs), self.targets)
