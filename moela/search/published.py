"""MOELA as released with the paper, for comparison: fixed scaling, clusters, a forest of visits."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pymoo.core.population import Population
from sklearn.cluster import KMeans
from sklearn.ensemble import RandomForestRegressor

from moela._arrays import Bools, Floats, rows
from moela._checks import require
from moela.core.algorithm import ArchiveAlgorithm
from moela.core.decomposition import Subproblems, random_weights
from moela.core.scaling import Frame, scalarize
from moela.learning.features import encode
from moela.search.local_search import LocalSearches

_N_CLUSTERS = 6
_STARTS_PER_CLUSTER = 2


class PublishedMOELA(ArchiveAlgorithm):
    """The algorithm released with arXiv 2303.06169, setting by setting.

    A generation is an evolution step, four children for each of 50 sub-problems under a Chebyshev
    scalarization with fixed bounds, then greedy searches on the weighted sum. In the first 11
    generations two random members of each of 6 k-means clusters of the weights start one; later,
    of each cluster, the member whose predicted end is lowest. The prediction is a random forest's,
    refitted every generation on every design that a search has visited, labeled with the best
    value that its search reached.

    Three things differ from the release. Children and searches advance in batches, so that their
    evaluations can run in parallel. Crossover and moves are the problem's own operators. The
    forest sees the problem's `features(X)`, or its variables, where the release flattens a 64 x 64
    adjacency matrix. The front that comes back is that of everything evaluated; the release
    reports its 50 members, which are `algorithm.subproblems.pop`.

    Parameters
    ----------
    n_subproblems, n_neighbors : int
        50 and 15 as released.
    prob_neighbor_mating : float
        0.9 as released.
    n_children : int
        Children a sub-problem and generation; 4 as released.
    patience, max_gains : int
        Failures in a row, and improvements, that end a search; both 15 as released.
    n_random_generations : int
        Generations before the forest picks starts; 11 as released.
    bounds : tuple of arrays [M], optional
        Fixed (lower, upper) bounds of the objectives. The release has constants for its platform;
        here the default is zero and the problem's `ref_point`, or the range of the first designs
        where there is none.
    **kwargs
        Of `ArchiveAlgorithm`: sampling, crossover, mutation, repair, and pymoo's.

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
        **kwargs: Any,
    ) -> None:
        require("PublishedMOELA", "n_subproblems", n_subproblems, n_subproblems >= _N_CLUSTERS,
                f"at least {_N_CLUSTERS}, one member a cluster")  # fmt: skip
        require("PublishedMOELA", "n_children", n_children, n_children >= 1, "at least 1")
        super().__init__(n_init=n_subproblems, **kwargs)
        self.n_subproblems = n_subproblems
        self.n_neighbors = n_neighbors
        self.prob_neighbor_mating = prob_neighbor_mating
        self.n_children = n_children
        self.patience = patience
        self.max_gains = max_gains
        self.n_random_generations = n_random_generations
        self.bounds = bounds

    def _begin(self) -> None:
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
        # By search: its sub-problem, and what the forest is told about the designs it visited.
        self.home: dict[int, int] = {}
        self.visited: dict[int, list[Floats]] = {}
        self.rows: list[Floats] = []
        self.labels: list[float] = []
        self.forest: RandomForestRegressor | None = None

    def _frame(self, F: Floats) -> Frame:
        m = self.problem.n_obj
        if self.bounds is not None:
            return Frame(m, bounds=self.bounds)
        reference = getattr(self.problem, "ref_point", None)
        if reference is not None:
            return Frame(m, bounds=(np.zeros(m), reference))
        return Frame(m, bounds=(F.min(axis=0), F.max(axis=0)))

    # ---------------------------------------------------------------------------------- asking

    def _ask(self) -> Population:
        if self.children_left == 0 and not self.searches_due and len(self.searches) == 0:
            self.generation += 1
            self.children_left = self.n_children
        if self.children_left > 0:
            self.children_left -= 1
            self.searches_due = self.children_left == 0
            return self._children()
        if self.searches_due:
            self.searches_due = False
            self._start_searches()
        X = self.operators.neighbors(
            self.problem, self.searches.X, 1, self.random_state, self.searches.step
        )
        pop = Population.new("X", X[:, 0])
        pop.set(part="search", search=self.searches.ids)
        return pop

    def _children(self) -> Population:
        homes = self.random_state.permutation(len(self.subproblems))
        parents, local = self.subproblems.parents(
            homes, self.operators.n_parents, self.prob_neighbor_mating, self.random_state
        )
        pop = self.operators.children(
            self.problem, self.subproblems.pop, parents, self.random_state
        )
        pop.set(part="evolution", home=homes, local=local)
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
        features = self._describe(sub.pop[index], sub.F[index], sub.W[index])
        ids = self.searches.begin(
            sub.pop[index], sub.F[index], sub.CV[index], sub.W[index], features
        )
        for search, home, row in zip(ids.tolist(), picks, features, strict=True):
            self.home[search] = home
            self.visited[search] = [row]

    def _predict(self, index: NDArray[np.int64]) -> Floats:
        sub = self.subproblems
        assert self.forest is not None
        return np.asarray(
            self.forest.predict(self._describe(sub.pop[index], sub.F[index], sub.W[index]))
        )

    def _describe(self, pop: Population, F: Floats, W: Floats) -> Floats:
        design = encode(self.problem, rows(pop.get("X")))
        return np.concatenate([self.frame.scale(F), W, design], axis=1)

    # -------------------------------------------------------------------------------- answers

    def _answer_initial(self, pop: Population, F: Floats, CV: Floats, accepted: Bools) -> None:
        self.frame = self._frame(F)
        self.subproblems.populate_in_order(pop, F, CV)

    def _answer(self, pop: Population, F: Floats, CV: Floats, accepted: Bools) -> None:
        parts = np.array([ind.get("part") for ind in pop])
        self._take_children(pop, F, CV, parts == "evolution")
        self._take_neighbors(pop, F, CV, parts == "search")

    def _take_children(self, pop: Population, F: Floats, CV: Floats, mine: Bools) -> None:
        if mine.any():
            child = pop[mine]
            self.subproblems.replace(
                child, F[mine], CV[mine], child.get("home").astype(np.int64),
                child.get("local").astype(bool), self.frame, self.random_state,
            )  # fmt: skip

    def _take_neighbors(self, pop: Population, F: Floats, CV: Floats, mine: Bools) -> None:
        if not mine.any():
            return
        pop, F, CV = pop[mine], F[mine], CV[mine]
        ids = pop.get("search").astype(np.int64)
        running = self.searches
        at = np.searchsorted(running.ids, ids)
        at = np.minimum(at, max(len(running) - 1, 0))
        known = running.ids[at] == ids
        pop, F, CV, ids, at = pop[known], F[known], CV[known], ids[known], at[known]
        described = self._describe(pop, F, running.W[at])
        for search, row in zip(ids.tolist(), described, strict=True):
            self.visited[search].append(row)
        finished = running.receive(ids, pop, F, CV, self.frame)
        if finished.any():
            self._finish(finished)

    def _finish(self, finished: Bools) -> None:
        running = self.searches
        F, ids = running.F[finished], running.ids[finished].tolist()
        values = scalarize(self.frame.scale(F), running.W[finished], "weighted_sum")
        for search, value in zip(ids, values.tolist(), strict=True):
            visited = self.visited.pop(search)
            self.rows.extend(visited)
            self.labels.extend([value] * len(visited))
        homes = np.array([self.home.pop(search) for search in ids])
        ends = running.pop[finished]
        local = np.ones(len(F), dtype=bool)
        self.subproblems.replace(
            ends, F, running.CV[finished], homes, local, self.frame, self.random_state
        )
        running.drop(finished)
        if len(running) == 0:
            seed = int(self.random_state.integers(2**31))
            forest = RandomForestRegressor(100, random_state=seed)
            self.forest = forest.fit(np.array(self.rows), self.labels)
