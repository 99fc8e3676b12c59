"""The learned model of what real-valued designs are worth: a Gaussian kernel over all of them."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from moela._arrays import Floats
from moela._threads import one_thread

# Designs to know before the first fit, and by how much they grow until the next.
_MIN_ROWS, _GROWTH = 50, 0.15
# Widths of the kernel, relative to the median of the squared distances, and penalties: those that
# predict the newest designs best.
_WIDTHS, _PENALTIES, _NEWEST = (0.3, 1.0, 3.0, 10.0, 30.0), (1e-6, 1e-4, 1e-2), 200
# A rugged landscape, where one variable must leave its valley alone, is predicted less well than
# this; there, going by what the model says costs diversity that is wanted later.
_LEAST_CORRELATION = 0.95
_NARROW = 1e-12


class Surrogate:
    """Predicts objectives and constraint violation of real-valued designs.

    Kernel ridge regression, which is the mean of a Gaussian process (Rasmussen and Williams 2006,
    "Gaussian processes for machine learning", sec. 2.2), on variables that are divided by the root
    of their spread among the designs so far. Width and penalty are those with the best correlation
    of prediction and truth where each of the newest designs is left out in turn (ibid., sec. 5.4.2)
    at every refit.

    A prediction takes time in proportion to the designs, a refit with their cube, so it ends with
    `limit` of them: who can pay for more does not need it.

    Parameters
    ----------
    xl, xu : float arrays, [n_var]
        Bounds.
    limit : int
        Designs until which it is fitted and used.

    Attributes
    ----------
    n_fits : int
    correlation : float
        Of what it predicted for the newest designs, each left out, with what came, in the last fit;
        the mean over the objectives and the violation.
    """

    def __init__(self, xl: Floats, xu: Floats, limit: int) -> None:
        self.limit = limit
        self.n_fits = 0
        self.correlation = float("nan")
        self._low, self._span = xl, np.where(xu > xl, xu - xl, 1.0)
        self._X: Floats = np.empty((0, len(xl)))
        self._Y: Floats | None = None
        self._n_rows = self._fitted_at = 0

    def __deepcopy__(self, memo: dict[int, Any]) -> Surrogate:
        # Arrays are only ever replaced, so copies may share them.
        copied = self.__class__.__new__(self.__class__)
        copied.__dict__.update(self.__dict__)
        return copied

    @property
    def ready(self) -> bool:
        """Whether to go by it: it predicts well, and has not ended."""
        return self.correlation > _LEAST_CORRELATION and self._n_rows <= self.limit

    def learn(self, X: Floats, F: Floats, CV: Floats) -> None:
        """Learn that designs X [b, n_var] have objectives F [b, M] and violations CV [b]."""
        self._n_rows += len(X)
        if self._n_rows > self.limit:
            self._X, self._Y = self._X[:0], None
            return
        Y = np.column_stack([F, CV])
        self._X = np.concatenate([self._X, (X - self._low) / self._span])
        self._Y = Y if self._Y is None else np.concatenate([self._Y, Y])
        if self._n_rows >= max(_MIN_ROWS, (1.0 + _GROWTH) * self._fitted_at):
            # BLAS threads gain little on matrices this small, and how many there are would show in
            # the last digits.
            with one_thread():
                self._fit(self._Y)

    def predict(self, X: Floats) -> tuple[Floats, Floats]:
        """Predict objectives [b, M] and violations [b] of designs X [b, n_var]."""
        with one_thread():
            K = self._kernel(self._distances(self._scaled((X - self._low) / self._span)))
            Y = K @ self._weights * self._unit + self._offset
        return Y[:, :-1], np.maximum(Y[:, -1], 0.0)

    def _fit(self, Y: Floats) -> None:
        self._offset, spread = np.median(Y, axis=0), Y.std(axis=0)
        self._unit = np.where(spread > 0, spread, 1.0)
        targets = (Y - self._offset) / self._unit
        self._center, apart = self._X.mean(axis=0), self._X.std(axis=0)
        self._scale = np.sqrt(np.where(apart > _NARROW, apart, 1.0))
        self._centers = self._scaled(self._X)
        self._sizes = (self._centers**2).sum(axis=1)
        distances = self._distances(self._centers)
        newest = distances[-_NEWEST:, -_NEWEST:]
        self._choose(np.maximum(newest, 0.0), targets[-_NEWEST:][:, spread > 0])
        K = self._kernel(distances)
        K[np.diag_indices_from(K)] += self._penalty
        self._weights = cho_solve(cho_factor(K, overwrite_a=True), targets)
        self._fitted_at = self._n_rows
        self.n_fits += 1

    def _choose(self, distances: Floats, targets: Floats) -> None:
        """Set width and penalty by how designs are predicted that are left out."""
        typical = max(float(np.median(distances)), _NARROW)
        self._width, self._penalty, self.correlation = typical, _PENALTIES[-1], float("nan")
        if targets.shape[1] == 0:
            return
        best = -np.inf
        for width in _WIDTHS:
            values, vectors = np.linalg.eigh(np.exp(distances * (-1.0 / (width * typical))))
            along = vectors.T @ targets
            for penalty in _PENALTIES:
                inverse = 1.0 / (np.maximum(values, 0.0) + penalty)
                missed = (vectors @ (inverse[:, None] * along)) / (vectors**2 @ inverse)[:, None]
                score = _correlation(targets - missed, targets)
                if score > best:
                    best = self.correlation = score
                    self._width, self._penalty = width * typical, penalty

    def _scaled(self, X: Floats) -> Floats:
        # Centerd, since distances are differences of squares.
        return np.asarray((X - self._center) / self._scale)

    def _distances(self, Z: Floats) -> Floats:
        """Return squared distances [b, rows] to the designs known, give or take rounding."""
        distances = Z @ self._centers.T
        distances *= -2.0
        distances += (Z**2).sum(axis=1)[:, None]
        distances += self._sizes
        return np.asarray(distances)

    def _kernel(self, distances: Floats) -> Floats:
        distances *= -1.0 / self._width
        return np.asarray(np.exp(distances, out=distances))


def _correlation(said: Floats, came: Floats) -> float:
    """Mean over the columns [b, m] of the correlation; that of a constant is 0."""
    said, came = said - said.mean(axis=0), came - came.mean(axis=0)
    size = np.sqrt((said**2).sum(axis=0) * (came**2).sum(axis=0))
    both = (said * came).sum(axis=0)
    return float(np.divide(both, size, out=np.zeros(len(size)), where=size > 0).mean())
