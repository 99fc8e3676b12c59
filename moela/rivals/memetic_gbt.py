"""Memetic algorithm whose local searches run on gradient-boosted trees."""

from __future__ import annotations

from typing import Unpack

import moocore
import numpy as np
from pymoo.core.population import Population
from pymoo.operators.survival.rank_and_crowding.metrics import calc_crowding_distance
from sklearn.ensemble import HistGradientBoostingRegressor

from moela._arrays import Bools, Designs, Floats, Ints, rows
from moela._checks import count
from moela._threads import one_thread
from moela.core.algorithm import ArchiveAlgorithm
from moela.core.decomposition import random_weights
from moela.core.origin import set_origin
from moela.core.parameters import AlgorithmParameters
from moela.core.scaling import better
from moela.learning.features import encode
from moela.learning.window import Window
from moela.rivals.common import new_neighbors, restarts

# Growth of the training set from one fit to the next.
_REFIT = 1.1


class MemeticGBT(ArchiveAlgorithm):
    """Surrogate-assisted memetic algorithm with gradient-boosted decision trees.

    Published for expensive permutation problems with one objective: trees need no distance between
    designs, and boosting makes them accurate, so that a genetic algorithm with local search can run
    on their predictions, and only promising designs are evaluated. This class does the same for
    several objectives:

    1. Parents are chosen from a population by binary tournaments on non-dominated rank and
       crowding distance (NSGA-II). Crossover and mutation make `n_children` children.
    2. Each child gets random weights. A local search of `n_steps` moves, each to the best of
       `n_neighbors` neighbors, minimizes the weighted Chebyshev distance that the trees predict.
       This costs no evaluations.
    3. The trees' predictions for the results of the searches are ranked as the population is. The
       best `batch_size` of them that are new are evaluated.
    4. The evaluated designs compete with the population for its `pop_size` places, and become
       training rows.

    The published text says: gradient-boosted regression trees as surrogates, a memetic algorithm
    as search strategy, and a budget of 1,000 evaluations. Assumed here, since our sources do not
    say more:

    - All of the extension to several objectives, with a regressor for each, and one for the
      constraint violation if there are constraints; feasibility comes first.
    - Trees see permutations as numbers, one column per variable, and other designs by the problem's
      `features(X)` or as `moela` encodes variables.
    - Sizes and steps of the search. The trees are refitted when the number of rows has grown by a
      tenth, on the newest `max_rows`, so that the total effort of a run grows linearly.

    Parameters
    ----------
    pop_size : int
        Size of the population, and number of initial designs.
    batch_size : int
        Number of designs requested at once.
    n_children, n_steps, n_neighbors : int
        Number of children that local searches start from, their moves, and the neighbors that each
        move chooses among. All are on predictions.
    n_trees, max_rows : int
        Boosting iterations of a regressor, and size of the training set.
    archive_size : int or None
        Bound on the archive; None keeps every non-dominated design.
    **kwargs
        `sampling`, `crossover`, `mutation`, `repair`, and the parameters of pymoo's `Algorithm`.

    References
    ----------
    T. Ikeguchi, K. Nishihara, Y. Kawauchi, Y. Koguma, M. Nakata. "A surrogate-assisted memetic
    algorithm for permutation-based combinatorial optimization problems." Swarm and Evolutionary
    Computation 98, 102060, 2025.

    Examples
    --------
    >>> from pymoo.optimize import minimize
    >>> from moela.rivals import MemeticGBT
    >>> from problems import MultiObjectiveQAP
    >>> problem = MultiObjectiveQAP.random(n_facilities=10, seed=1)
    >>> res = minimize(problem, MemeticGBT(), ("n_eval", 200), seed=1)
    >>> res.algorithm.n_eval
    200
    """

    _shared_by_copies = ("problem", "models")

    def __init__(
        self,
        *,
        pop_size: int = 50,
        batch_size: int = 10,
        n_children: int = 50,
        n_steps: int = 5,
        n_neighbors: int = 10,
        n_trees: int = 100,
        max_rows: int = 2000,
        archive_size: int | None = 500,
        **kwargs: Unpack[AlgorithmParameters],
    ) -> None:
        count("MemeticGBT", "pop_size", pop_size, at_least=2)
        super().__init__(pop_size, archive_size=archive_size, **kwargs)
        self.pop_size = pop_size
        self.batch_size = count("MemeticGBT", "batch_size", batch_size)
        self.n_children = count("MemeticGBT", "n_children", n_children)
        self.n_steps = count("MemeticGBT", "n_steps", n_steps, at_least=0)
        self.n_neighbors = count("MemeticGBT", "n_neighbors", n_neighbors)
        self.n_trees = count("MemeticGBT", "n_trees", n_trees)
        self.max_rows = count("MemeticGBT", "max_rows", max_rows)

    def _begin(self) -> None:
        # Best first, as `order` sorts them.
        self.members = Population.empty()
        self.F: Floats = np.empty((0, self.problem.n_obj))
        self.CV: Floats = np.empty(0)
        self.window = Window(self.max_rows)
        self.n_fitted = 0  # rows at the last fit
        self.models: list[HistGradientBoostingRegressor] = []
        self.permutations = False

    def _answer_initial(self, pop: Population, F: Floats, CV: Floats, accepted: Bools) -> None:
        self.permutations = _are_permutations(rows([ind.X for ind in pop]))
        self._answer(pop, F, CV, accepted)

    def _answer(self, pop: Population, F: Floats, CV: Floats, accepted: Bools) -> None:
        if len(pop) == 0:
            return
        self.normalization.update_feasible(F, CV, self.front)
        everything = Population.merge(self.members, pop)
        F_all, CV_all = np.concatenate([self.F, F]), np.concatenate([self.CV, CV])
        best = order(F_all, CV_all)[: self.pop_size]
        self.members, self.F, self.CV = everything[best], F_all[best], CV_all[best]
        self.window.add(self._inputs(rows([ind.X for ind in pop])), np.column_stack([F, CV]))
        if self.window.n_rows >= _REFIT * self.n_fitted:
            self._fit()

    def _ask(self) -> Population:
        children = self.context.children(self.members, self._parents())
        X = self._searched(rows([ind.X for ind in children]))
        X = X[self.context.duplicates.first_of_each(X)]
        if len(X):
            X = X[order(*self._predict(X))[: self.batch_size]]
            self.context.duplicates.add(X)
            pop = Population.new("X", X)
            set_origin(pop, part="evolution", chosen_by_model=True)
            return pop
        near = [ind.X for ind in self.members[: self.batch_size]]
        pop = new_neighbors(self, near, np.full(len(near), -1), 1, "explore")
        return pop if len(pop) else restarts(self, self.batch_size)

    def _parents(self) -> Ints:
        """Choose parents by binary tournaments, [n_children, n_parents]; members are sorted."""
        n_parents = max(self.operators.n_parents, 2)
        shape = (2, self.n_children, n_parents)
        return self.random_state.integers(len(self.members), size=shape).min(axis=0)

    def _searched(self, X: Designs) -> Designs:
        """Return where local searches on predictions end that start from designs X [b]."""
        X, each = X.copy(), np.arange(len(X))
        W = random_weights(len(X), self.problem.n_obj, self.random_state)
        value, CV = self._values(X, W)
        for _ in range(self.n_steps):
            near = self.context.neighbors(X, self.n_neighbors)
            shape = near.shape[:2]
            flat = near.reshape(-1, *near.shape[2:])
            values, CVs = (v.reshape(shape) for v in self._values(flat, W.repeat(shape[1], axis=0)))
            best = np.array([np.lexsort(pair)[0] for pair in zip(values, CVs, strict=True)])
            wins = better(CVs[each, best], values[each, best], CV, value)
            X[wins] = near[each, best][wins]
            value, CV = (
                np.where(wins, new[each, best], old) for new, old in ((values, value), (CVs, CV))
            )
        return X

    def _values(self, X: Designs, W: Floats) -> tuple[Floats, Floats]:
        """Predict scalarized values for weights W [b, M] and constraint violations of designs."""
        F, CV = self._predict(X)
        return self.normalization.scalarize(F, W, "chebyshev"), CV

    def _fit(self) -> None:
        inputs, targets = self.window.arrays()
        F = self.normalization.learned(targets[:, :-1])
        columns = [*F.T, targets[:, -1]] if self.problem.has_constraints() else [*F.T]
        seed = int(self.random_state.integers(2**31))
        with one_thread():
            self.models = [
                HistGradientBoostingRegressor(
                    max_iter=self.n_trees, min_samples_leaf=5, early_stopping=False,
                    random_state=seed,
                ).fit(inputs, column)
                for column in columns
            ]  # fmt: skip
        self.n_fitted = self.window.n_rows

    def _predict(self, X: Designs) -> tuple[Floats, Floats]:
        """Predict objectives [b, M] and constraint violations [b] of designs X [b]."""
        inputs, m = self._inputs(X), self.problem.n_obj
        with one_thread():
            columns = [model.predict(inputs) for model in self.models]
        CV = np.maximum(columns[m], 0.0) if len(columns) > m else np.zeros(len(X))
        return np.column_stack(columns[:m]), CV

    def _inputs(self, X: Designs) -> Floats:
        return np.asarray(X, dtype=float) if self.permutations else encode(self.problem, X)


def order(F: Floats, CV: Floats) -> Ints:
    """Sort designs best first: by constraint violation, non-dominated rank, crowding distance.

    Parameters
    ----------
    F : array of shape (n, M)
        Objectives.
    CV : array of shape (n,)
        Constraint violations, 0 if feasible.

    Returns
    -------
    array of shape (n,)
        Indices of the rows.
    """
    rank = moocore.pareto_rank(F)
    crowding = np.zeros(len(F))
    for front in np.unique(rank):
        members = np.flatnonzero(rank == front)
        crowding[members] = calc_crowding_distance(F[members])
    return np.lexsort((-crowding, rank, CV))


def _are_permutations(X: Designs) -> bool:
    """Return whether the rows of X [n, n_var] are different orders of the same numbers."""
    if X.ndim != 2 or X.dtype.kind not in "iuf" or X.shape[1] < 3:
        return False
    values = np.sort(X, axis=1)
    distinct, same = (np.diff(values[0]) > 0).all(), (values == values[0]).all()
    return bool(distinct and same and (X != X[0]).any())
