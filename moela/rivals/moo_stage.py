"""MOO-STAGE: hypervolume-greedy searches; a forest learns which starts end well."""

from __future__ import annotations

from typing import Unpack

import numpy as np
from pymoo.core.population import Population
from sklearn.ensemble import RandomForestRegressor

from moela._arrays import Bools, Designs, Floats, rows
from moela._checks import count
from moela.core.origin import asked_by, set_origin
from moela.core.parameters import AlgorithmParameters
from moela.learning.features import encode
from moela.learning.window import Window
from moela.rivals.greedy import GreedyAlgorithm, Search
from moela.rivals.phv import hypervolume, scaled_reference

# Number of searches before the first fit, and growth of the training rows until the next one.
_MIN_SEARCHES = 5
_REFIT = 1.1


class MOOSTAGE(GreedyAlgorithm):
    """MOO-STAGE: learn which starts end well (published for 3D manycore design).

    Two searches alternate. The base search moves to whichever of a few neighbors adds the most
    Pareto hypervolume (PHV), until none does. Each of its incumbents becomes a training row for a
    random forest, whose target is the PHV of the designs that the search had met when it ended. The
    second search maximizes the forest's prediction, which costs no evaluations, and the next base
    search starts where it stops. If that is a duplicate, the next start is a random design of the
    archive.

    Differences from the published method:

    - Objectives are scaled by the running ideal and by `problem.ref_point` or the running nadir,
      and the targets are computed again in the present scale before each fit.
    - PHV is exact and clipped at the reference point. Beyond it, where no move adds hypervolume, a
      search minimizes its distance to the reference box.
    - A base search adds to the PHV of the whole archive, not of the designs that it has met. With
      many objectives almost any design adds to the latter, so that no local optimum is ever
      reached. For the same reason, a search ends after `max_steps` moves.
    - The search on the model starts from the best predicted of some archive members. The end of the
      base search, as published, led from one corner of the front only deeper into it.
    - Random restarts come from the archive, not from random designs, which on the chip problem are
      far worse than any archive member.
    - The forest is refitted when its training set has grown by a tenth, on the newest `max_rows`
      rows, so that the total effort of a run grows linearly.
    - Duplicates are not evaluated again; feasibility comes first.

    Parameters
    ----------
    n_init : int
        Number of initial designs.
    n_neighbors : int
        Number of neighbors that the base search chooses among.
    max_steps : int
        Number of moves that ends a base search.
    n_candidates : int
        Number of archive members; the search on the model starts from the best predicted one.
    n_model_neighbors, n_model_steps : int
        Number of neighbors that the search on the model chooses among, and its largest number of
        moves.
    n_trees, max_rows : int
        Size of the forest and of its training set.
    archive_size : int or None
        Bound on the archive; None keeps every non-dominated design.
    **kwargs
        `sampling`, `crossover`, `mutation`, `repair`, and the parameters of pymoo's `Algorithm`.

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
        **kwargs: Unpack[AlgorithmParameters],
    ) -> None:
        super().__init__(
            n_init=n_init,
            n_neighbors=n_neighbors,
            max_steps=max_steps,
            archive_size=archive_size,
            **kwargs,
        )
        self.n_candidates = count("MOOSTAGE", "n_candidates", n_candidates)
        self.n_model_neighbors = count("MOOSTAGE", "n_model_neighbors", n_model_neighbors)
        self.n_model_steps = count("MOOSTAGE", "n_model_steps", n_model_steps)
        self.n_trees = count("MOOSTAGE", "n_trees", n_trees)
        self.max_rows = count("MOOSTAGE", "max_rows", max_rows)

    def _begin(self) -> None:
        super()._begin()
        # By finished search: features [k, d] of its path, and the front [m, M] that it has met.
        self.window = Window(self.max_rows + 1)
        self.n_fitted = 0  # rows at the last fit
        self.model: RandomForestRegressor | None = None

    def _start(self) -> Population | None:
        start = self._climb()
        if start is None:
            self._start_from_front(int(self.random_state.integers(len(self.front))))
        return start

    def _answer(self, pop: Population, F: Floats, CV: Floats, accepted: Bools) -> None:
        super()._answer(pop, F, CV, accepted)
        for i in np.flatnonzero(asked_by(pop, "model")):
            self.searches.begin(pop[i].X, F[i], float(CV[i]))

    def _end(self, search: Search) -> None:
        """Add a search that has ended to the training set."""
        path = encode(self.problem, rows(search.path))
        # An infeasible end is worth nothing, whatever its objectives.
        met = search.met if search.CV <= 0.0 else search.met[:0]
        self.window.add(path, met)
        enough = self.window.n_rows >= _REFIT * self.n_fitted
        if self.searches.next_id >= _MIN_SEARCHES and enough:
            self._fit()

    def _fit(self) -> None:
        ref = scaled_reference(self.normalization)
        paths = self.window.inputs
        ends = [hypervolume(self.normalization.scale(met), ref) for met in self.window.targets]
        self.model = RandomForestRegressor(
            n_estimators=self.n_trees,
            max_features=1.0 / 3.0,
            min_samples_leaf=2,
            random_state=int(self.random_state.integers(2**31)),
        )
        self.model.fit(np.concatenate(paths), np.repeat(ends, [len(path) for path in paths]))
        self.n_fitted = self.window.n_rows

    def _climb(self) -> Population | None:
        """Search on the model for the next start; None without a model or a new design."""
        if self.model is None:
            return None
        drawn = self.random_state.integers(len(self.front), size=self.n_candidates)
        candidates = rows([self.front.pop[i].X for i in drawn])
        values = self._predict(candidates)
        x, value = candidates[values.argmax()], values.max()
        for _ in range(self.n_model_steps):
            near = self.context.neighbors(rows([x]), self.n_model_neighbors)[0]
            values = self._predict(near)
            if values.max() <= value:
                break
            x, value = near[values.argmax()], values.max()
        start = Population.new("X", rows([x]))
        if not self.context.duplicates.claim(start.get("X"))[0]:
            return None
        set_origin(start, part="model")
        return start

    def _predict(self, X: Designs) -> Floats:
        assert self.model is not None
        return np.asarray(self.model.predict(encode(self.problem, X)))
