"""MOO-STAGE: hypervolume-greedy searches whose starts a forest learns from how searches end."""

from __future__ import annotations

from typing import Any

import numpy as np
from pymoo.core.population import Population
from sklearn.ensemble import RandomForestRegressor

from moela._arrays import Bools, Floats, rows
from moela._checks import count
from moela.core.algorithm import ArchiveAlgorithm
from moela.core.scaling import Frame
from moela.learning.features import encode
from moela.rivals.common import fresh_neighbors, learn_scale, owners_of, reference_of, restarts
from moela.rivals.greedy import GreedySearches, Search
from moela.rivals.phv import hypervolume, scaled_reference

_START = -2  # the owner of a design that was asked for to start a search from
_MIN_SEARCHES = 5  # ended searches before the forest is believed
_REFIT = 1.1  # refit when the training rows have grown by this factor


class MOOSTAGE(ArchiveAlgorithm):
    """MOO-STAGE: learn which starts end well (published for 3D manycore design).

    Two searches take turns. The base search moves to whichever of a few perturbations adds the
    most Pareto hypervolume (PHV), until none does. Every design that it stood on, with the PHV of
    what it had met when it ended, is a training row for a random forest. The second search climbs
    on the forest's prediction, which costs no evaluations; where it stops the next base search
    starts. If it finds nothing new, the next start is a random design of the archive.

    What differs from the published method, and why:

    - Objectives are scaled by the running ideal and, at the other end, `problem.ref_point` or the
      running nadir, and the targets are computed again in the present scale before each fit.
    - PHV is exact and clipped at the reference; beyond the reference, where no move adds any, a
      search descends on its distance to it.
    - A base search adds to the PHV of the whole archive, not of what it has met itself. With many
      objectives almost any design adds to the latter, so that no local optimum is ever reached;
      it ends after `max_steps` moves for the same reason.
    - The search on the model starts from the best predicted of some archive members, not from
      where the base search ended, which led from one corner of the front only deeper into it.
    - Random restarts come from the archive, not from random designs.
    - The forest is refitted when its training set has grown by a tenth, on the latest `max_rows`
      rows, so that a run's total effort grows linearly.
    - Random restarts come from the archive, not from random designs, which on the chip problem
      are far worse than any archive member.
    - Designs that were asked for before are not asked for again; feasibility comes first.

    Parameters
    ----------
    n_init : int
        Designs sampled to begin with.
    n_neighbors : int
        Perturbations that the base search chooses among.
    max_steps : int
        Moves after which a base search ends.
    n_candidates : int
        Archive members that the search on the model starts from the best of.
    n_model_neighbors, n_model_steps : int
        Perturbations that the search on the model chooses among, and its largest number of moves.
    n_trees, max_rows : int
        Size of the forest and of its training set.
    archive_size : int or None
        Designs that the archive keeps; None means all non-dominated ones.
    **kwargs
        Of `ArchiveAlgorithm` (sampling, crossover, mutation, repair) and pymoo's
        `Algorithm`.

    References
    ----------
    B. K. Joardar, R. G. Kim, J. R. Doppa, P. P. Pande, D. Marculescu, R. Marculescu.
    "Learning-Based Application-Agnostic 3D NoC Design for Heterogeneous Manycore Systems." IEEE
    Transactions on Computers 68(6), 2019.
    J. Boyan, A. Moore. "Learning Evaluation Functions to Improve Optimization by Local Search."
    Journal of Machine Learning Research 1, 2000. (STAGE, for one objective.)

    Examples
    --------
    >>> from pymoo.optimize import minimize
    >>> from pymoo.problems import get_problem
    >>> from moela.rivals import MOOSTAGE
    >>> res = minimize(get_problem("zdt1"), MOOSTAGE(), ("n_eval", 500), seed=1)
    >>> res.algorithm.n_eval
    500
    """

    _shared_by_copies = ("problem", "model")

    def __init__(
        self,
        *,
        n_init: int = 50,
        n_neighbors: int = 10,
        max_steps: int = 30,
        n_candidates: int = 10,
        n_model_neighbors: int = 20,
        n_model_steps: int = 20,
        n_trees: int = 50,
        max_rows: int = 2000,
        archive_size: int | None = 500,
        **kwargs: Any,
    ) -> None:
        super().__init__(n_init=n_init, archive_size=archive_size, **kwargs)
        self.n_neighbors = count("MOOSTAGE", "n_neighbors", n_neighbors)
        self.max_steps = count("MOOSTAGE", "max_steps", max_steps)
        self.n_candidates = count("MOOSTAGE", "n_candidates", n_candidates)
        self.n_model_neighbors = count("MOOSTAGE", "n_model_neighbors", n_model_neighbors)
        self.n_model_steps = count("MOOSTAGE", "n_model_steps", n_model_steps)
        self.n_trees = count("MOOSTAGE", "n_trees", n_trees)
        self.max_rows = count("MOOSTAGE", "max_rows", max_rows)

    def _begin(self) -> None:
        self.frame = Frame(self.problem.n_obj, reference_of(self.problem))
        self.searches = GreedySearches(self.problem.n_obj, self.max_steps)
        # Ended searches: features [k, d] of the path, and the front [m, M] that was met.
        self.examples: list[tuple[Floats, Floats]] = []
        # Rows in `examples`; rows ever learned from, now and at the latest fit.
        self.n_rows = 0
        self.n_learned, self.n_fitted = 0, 0
        self.model: RandomForestRegressor | None = None

    # ------------------------------------------------------------------------------- ask and tell

    def _ask(self) -> Population:
        for _ in range(10):
            if len(self.searches) == 0:
                start = self._climb()
                if start is not None:
                    return start
                self._begin_anywhere()
            running = list(self.searches.running.values())
            pop = fresh_neighbors(
                self,
                [search.x for search in running],
                np.array([search.id for search in running]),
                self.n_neighbors,
                "search",
            )
            if len(pop):
                return pop
            for search in running:
                self._learn(self.searches.end(search))
        return restarts(self, self.n_neighbors)

    def _answer_initial(self, pop: Population, F: Floats, CV: Floats, accepted: Bools) -> None:
        learn_scale(self.frame, self.front, F, CV)
        self.searches.remember(self.front)

    def _answer(self, pop: Population, F: Floats, CV: Floats, accepted: Bools) -> None:
        learn_scale(self.frame, self.front, F, CV)
        owners = owners_of(pop)
        X = [ind.X for ind in pop]
        for search in self.searches.receive(owners, X, F, CV, self.frame, self.front):
            self._learn(search)
        for i in np.flatnonzero(owners == _START):
            self.searches.begin(X[i], F[i], float(CV[i]))

    def _begin_anywhere(self) -> None:
        i = int(self.random_state.integers(len(self.front)))
        self.searches.begin(self.front.pop[i].X, self.front.F[i], float(self.front.CV[i]))

    # ----------------------------------------------------------------------------------- the model

    def _learn(self, search: Search) -> None:
        """Keep what a search that has ended teaches."""
        path = encode(self.problem, rows(search.path))
        # An infeasible end is worth nothing, whatever its objectives.
        met = search.met if search.CV <= 0.0 else search.met[:0]
        self.examples.append((path, met))
        self.n_rows += len(path)
        while self.n_rows - len(self.examples[0][0]) > self.max_rows:
            self.n_rows -= len(self.examples.pop(0)[0])
        self.n_learned += len(path)
        if self.searches.next_id >= _MIN_SEARCHES and self.n_learned >= _REFIT * self.n_fitted:
            self._fit()

    def _fit(self) -> None:
        ref = scaled_reference(self.frame)
        ends = [hypervolume(self.frame.scale(met), ref) for _, met in self.examples]
        lengths = [len(path) for path, _ in self.examples]
        self.model = RandomForestRegressor(
            n_estimators=self.n_trees,
            max_features=1.0 / 3.0,
            min_samples_leaf=2,
            random_state=int(self.random_state.integers(2**31)),
        )
        self.model.fit(
            np.concatenate([path for path, _ in self.examples]), np.repeat(ends, lengths)
        )
        self.n_fitted = self.n_learned

    def _climb(self) -> Population | None:
        """Search on the model for the next start; None if there is no model or nothing new."""
        if self.model is None:
            return None
        drawn = self.random_state.integers(len(self.front), size=self.n_candidates)
        candidates = rows([self.front.pop[i].X for i in drawn])
        values = self._predict(candidates)
        x, value = candidates[values.argmax()], values.max()
        for _ in range(self.n_model_steps):
            near = self.operators.neighbors(
                self.problem, rows([x]), self.n_model_neighbors, self.random_state
            )[0]
            values = self._predict(near)
            if values.max() <= value:
                break
            x, value = near[values.argmax()], values.max()
        start = Population.new("X", rows([x]))
        if not self.seen.claim(start.get("X"))[0]:
            return None
        start.set("owner", _START)
        start.set("part", "model")
        return start

    def _predict(self, X: Any) -> Floats:
        assert self.model is not None
        return np.asarray(self.model.predict(encode(self.problem, X)))
