"""Surrogate: predicts objectives and constraint violation of real-valued designs."""

from __future__ import annotations

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from moela._arrays import Floats
from moela._codes import NO_CODES, Codes
from moela._threads import one_thread
from moela.core.scaling import Normalization, spread_of
from moela.learning.window import SharedFits

# Designs before the first fit, and relative growth until the next one.
_MIN_ROWS, _GROWTH = 50, 0.25
# Candidate kernel widths, relative to the median squared distance, and penalties; the pair that
# predicts the newest designs best is chosen.
_WIDTHS, _PENALTIES, _NEWEST = (0.3, 1.0, 3.0, 10.0, 30.0), (1e-6, 1e-4, 1e-2), 120
# Below this correlation the surrogate is not used. Rugged problems, on which one variable must
# leave its valley alone, stay below it; there, following a model costs diversity needed later.
# Runs of few evaluations have no later, and labels have no valleys.
_LEAST_CORRELATION, _LEAST_OF_FEW = 0.95, 0.8
_NARROW = 1e-12
# Violations are limited to this multiple of the lower quartile of the positive ones.
_MOST_VIOLATED = 2.0**10


class Surrogate(SharedFits):
    """Kernel ridge regression of objectives and constraint violation on real variables.

    The prediction is the mean of a Gaussian process with a Gaussian kernel (Rasmussen and Williams
    2006, "Gaussian processes for machine learning", sec. 2.2). Variables are divided by the square
    root of their standard deviation among the designs so far. Every fit chooses the kernel width
    and penalty with the best leave-one-out correlation on the newest designs (ibid., sec. 5.4.2).

    The time of a prediction grows with the number of designs, that of a fit with its cube, so the
    surrogate stops after `limit` designs. `correlation` is that of the last fit, averaged over the
    objectives and the violation.

    Parameters
    ----------
    xl, xu : array [n_var]
        Bounds of the variables.
    limit : int
        Number of designs from which on the surrogate is not used.
    lenient : bool
        Whether worse predictions are used, too.
    codes : Codes
        Which variables are labels. The model sees a column of zeros and ones for each value.
    """

    def __init__(
        self,
        xl: Floats,
        xu: Floats,
        limit: int,
        *,
        lenient: bool = False,
        codes: Codes = NO_CODES,
    ) -> None:
        self.limit = limit
        self._labels = codes.labels
        self._numbers = np.delete(np.arange(len(xl)), codes.labels)
        # The value of each column of a label's description, and the label.
        low, high = np.ceil(xl[codes.labels]).astype(int), np.floor(xu[codes.labels]).astype(int)
        self._described = np.repeat(codes.labels, high - low + 1)
        ranges = [np.arange(a, b + 1) for a, b in zip(low, high, strict=True)]
        self._values = np.concatenate([np.empty(0), *ranges])
        self._least = _LEAST_OF_FEW if lenient else _LEAST_CORRELATION
        self.n_fits = 0
        self.correlation = float("nan")
        self._low, self._span = xl, np.where(xu > xl, xu - xl, 1.0)
        self._X: Floats = np.empty((0, len(self._numbers) + len(self._values)))
        self._Y: Floats | None = None
        self._n_rows = self._fitted_at = 0

    @property
    def ready(self) -> bool:
        """Whether the surrogate predicts well and has not reached its limit."""
        return self.correlation > self._least and self._n_rows <= self.limit

    @property
    def full(self) -> bool:
        """Whether the surrogate has reached its limit, and learns no more."""
        return self._n_rows > self.limit

    def add(
        self, X: Floats, F: Floats, CV: Floats, normalization: Normalization | None = None
    ) -> None:
        """Add designs X [b, n_var] with objectives F [b, M] and violations CV [b]; maybe refit.

        The normalization, if given, limits objectives far beyond the nadir.
        """
        self._n_rows += len(X)
        if self._n_rows > self.limit:
            self._X, self._Y = self._X[:0], None
            return
        Y = np.column_stack([F, CV])
        self._X = np.concatenate([self._X, self._features(X)])
        self._Y = Y if self._Y is None else np.concatenate([self._Y, Y])
        if self._n_rows >= max(_MIN_ROWS, (1.0 + _GROWTH) * self._fitted_at):
            # On matrices this small, several BLAS threads gain little, and their number would show
            # in the last digits.
            with one_thread():
                self._fit(_limited(self._Y, normalization))

    def predict(self, X: Floats) -> tuple[Floats, Floats]:
        """Predict objectives [b, M] and violations [b] of designs X [b, n_var]."""
        with one_thread():
            K = self._kernel(self._distances(self._scaled(self._features(X))))
            Y = K @ self._weights * self._unit + self._offset
        return Y[:, :-1], np.maximum(Y[:, -1], 0.0)

    def _features(self, X: Floats) -> Floats:
        """Return designs [b, n_var] as numbers in [0, 1], and columns of zeros and ones."""
        scaled = (X - self._low) / self._span
        if len(self._labels) == 0:
            return np.asarray(scaled)
        is_value = np.rint(X[:, self._described]) == self._values
        return np.concatenate([scaled[:, self._numbers], is_value], axis=1)

    def _fit(self, Y: Floats) -> None:
        self._offset, spread = np.median(Y, axis=0), spread_of(Y)
        self._unit = np.where(spread > 0, spread, 1.0)
        targets = (Y - self._offset) / self._unit
        self._center, deviation = self._X.mean(axis=0), self._X.std(axis=0)
        self._scale = np.sqrt(np.where(deviation > _NARROW, deviation, 1.0))
        self._centers = self._scaled(self._X)
        self._sizes = (self._centers**2).sum(axis=1)
        distances = self._distances(self._centers)
        newest = distances[-_NEWEST:, -_NEWEST:]
        self._choose(np.maximum(newest, 0.0), targets[-_NEWEST:][:, spread > 0])
        K = self._kernel(distances)
        K[np.diag_indices_from(K)] += self.penalty
        self._weights = cho_solve(cho_factor(K, overwrite_a=True), targets)
        self._fitted_at = self._n_rows
        self.n_fits += 1

    def _choose(self, distances: Floats, targets: Floats) -> None:
        """Choose width and penalty by leave-one-out predictions of the targets [n, m]."""
        typical = max(float(np.median(distances)), _NARROW)
        self.width, self.penalty, self.correlation = typical, _PENALTIES[-1], float("nan")
        if targets.shape[1] == 0:
            return
        best = -np.inf
        for width in _WIDTHS:
            values, vectors = np.linalg.eigh(np.exp(distances * (-1.0 / (width * typical))))
            projected = vectors.T @ targets
            for penalty in _PENALTIES:
                inverse = 1.0 / (np.maximum(values, 0.0) + penalty)
                diagonal = (vectors**2 @ inverse)[:, None]
                residuals = vectors @ (inverse[:, None] * projected) / diagonal
                score = _correlation(targets - residuals, targets)
                if score > best:
                    best = self.correlation = score
                    self.width, self.penalty = width * typical, penalty

    def _scaled(self, X: Floats) -> Floats:
        # Centered, since distances are differences of squares.
        return np.asarray((X - self._center) / self._scale)

    def _distances(self, Z: Floats) -> Floats:
        """Return squared distances [b, n] to the known designs, up to rounding."""
        distances = Z @ self._centers.T
        distances *= -2.0
        distances += (Z**2).sum(axis=1)[:, None]
        distances += self._sizes
        return np.asarray(distances)

    def _kernel(self, distances: Floats) -> Floats:
        distances *= -1.0 / self.width
        return np.asarray(np.exp(distances, out=distances))


def _limited(Y: Floats, normalization: Normalization | None) -> Floats:
    """Limit objectives, and violations in the last column, that are far larger than others."""
    F, CV = Y[:, :-1], Y[:, -1]
    if normalization is not None:
        F = normalization.learned(F)
    violated = np.sort(CV[CV > 0.0])
    if len(violated):
        CV = np.minimum(CV, _MOST_VIOLATED * violated[len(violated) // 4])
    return np.column_stack([F, CV])


def _correlation(predicted: Floats, true: Floats) -> float:
    """Return the mean correlation over the columns [b, m]; that of a constant is 0."""
    predicted, true = predicted - predicted.mean(axis=0), true - true.mean(axis=0)
    size = np.sqrt((predicted**2).sum(axis=0) * (true**2).sum(axis=0))
    product = (predicted * true).sum(axis=0)
    return float(np.divide(product, size, out=np.zeros(len(size)), where=size > 0).mean())
