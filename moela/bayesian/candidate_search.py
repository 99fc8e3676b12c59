"""Search for the candidates of the largest acquisition value."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.optimize import minimize

from moela._arrays import Designs, Floats
from moela.bayesian.acquisition import ExpectedImprovement
from moela.bayesian.candidates import CandidateSource

Described = Callable[[Designs], Floats]
"""Features [n, d] of candidates, as the processes take them."""
# Candidates of a generation, and those that the next one is made from.
_N_CANDIDATES, _N_PARENTS = 64, 24
# Steps along the gradient, and the difference for slopes.
_N_STEPS, _STEP = 15, 1e-6


class CandidateSearch:
    """Candidates that evolve to a large acquisition value, inside trust regions.

    Parameters
    ----------
    candidates : CandidateSource
    acquisition : ExpectedImprovement
        Acquisition function.
    described : callable
        Features of candidates.
    radius : float
        Of the trust regions.
    """

    def __init__(
        self,
        candidates: CandidateSource,
        acquisition: ExpectedImprovement,
        described: Described,
        radius: float,
    ) -> None:
        self.candidates, self.acquisition, self.described = candidates, acquisition, described
        self.radius = radius
        self.X: Designs = np.empty((0, 0))
        self.centers: Designs = self.X
        self.scores: Floats = np.empty(0)

    def begin(self, known: Designs) -> None:
        """Start from known designs, the centers of the trust regions."""
        self.X = self.centers = known
        self.scores = self._score(known)
        self._add(*self._children(2 * _N_CANDIDATES))

    def evolve(self, generations: int) -> None:
        """Evolve candidates for some generations; they are in order then, the best first."""
        for _ in range(generations):
            self._sort(4 * _N_PARENTS)
            self._add(*self._children(_N_CANDIDATES))
        self._sort(4 * _N_PARENTS)

    def remove(self, at: int) -> None:
        """Leave out a candidate, and score the others anew."""
        keep = np.delete(np.arange(len(self.X)), at)
        self.X, self.centers = self.X[keep], self.centers[keep]
        self.scores = self._score(self.X)

    def climb(self) -> None:
        """Climb from the best candidate along the gradient of real variables."""
        columns = np.flatnonzero(self.candidates.is_real)
        if len(columns) == 0:
            return
        base, centers = self.X[:1].copy(), self.centers[:1]
        shape = len(base), len(columns)
        low, high = self.candidates.bounds(centers, self.radius)
        low, high = low[:, columns], high[:, columns]

        def loss(values: Floats) -> tuple[float, Floats]:
            base[:, columns] = values.reshape(shape)
            # Differences are taken towards the inside.
            step = np.where(base[:, columns] > 0.5, -_STEP, _STEP)
            moved = np.repeat(base[:, None], shape[1] + 1, axis=1)
            moved[:, np.arange(shape[1]), columns] += step
            score = self._score(moved.reshape(-1, base.shape[1])).reshape(len(base), -1)
            gradient = (score[:, :-1] - score[:, -1:]) / step
            return -float(score[:, -1].sum()), -gradient.ravel()

        start = np.clip(base[:, columns], low, high)
        found = minimize(
            loss, start.ravel(), jac=True, method="L-BFGS-B", options={"maxiter": _N_STEPS},
            bounds=np.column_stack([low.ravel(), high.ravel()]),
        )  # fmt: skip
        base[:, columns] = np.clip(found.x.reshape(shape), low, high)
        self._add(base, centers)
        self._sort(len(self.X))

    def _children(self, n: int) -> tuple[Designs, Designs]:
        made, parents = self.candidates.varied(self.X[:_N_PARENTS], n)
        centers = self.centers[:_N_PARENTS][parents]
        return self.candidates.within(made, centers, self.radius), centers

    def _add(self, X: Designs, centers: Designs) -> None:
        self.scores = np.concatenate([self.scores, self._score(X)])
        self.X = np.concatenate([self.X, X])
        self.centers = np.concatenate([self.centers, centers])

    def _sort(self, n: int) -> None:
        order = np.argsort(-self.scores, kind="stable")[:n]
        self.X, self.centers, self.scores = self.X[order], self.centers[order], self.scores[order]

    def _score(self, X: Designs) -> Floats:
        return self.acquisition.score(self.described(X))
