"""Hamming-kernel model: predicts objectives of designs that are described by zeros and ones."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from sklearn.kernel_ridge import KernelRidge

from moela._arrays import Floats
from moela._threads import one_thread
from moela.core.scaling import Normalization
from moela.learning.window import SharedFits, Window, spread_of

Singles = NDArray[np.float32]

# Rows before the first fit, and growth until the next one as a fraction of the window: larger while
# the model is not used.
_MIN_ROWS = 200
_GROWTH_USED, _GROWTH_IDLE = 0.2, 0.5
_PENALTY = 0.01
# Below this share of nonzero elements, products are computed with a sparse matrix; moves change few
# columns.
_SPARSE = 0.1


class HammingModel(SharedFits):
    """Kernel ridge regression on Hamming distances.

    The kernel is exp(-d / median d), where d is the number of columns that differ (cf. Moraglio and
    Kattan 2011, "Geometric generalization of surrogate model based optimization to combinatorial
    spaces", EvoCOP; Zaefferer et al. 2014, "Efficient global optimization for combinatorial
    problems", GECCO). Unlike a linear model of moves, it can predict that the same move pays at one
    design and not at another. Features must be zeros and ones, for which the Hamming distance loses
    nothing. The time of a prediction grows with `size`, the number of designs kept, that of a fit
    with its cube.
    """

    _mutable = ("window",)

    def __init__(self, size: int = 1500) -> None:
        self.window = Window(size)
        self.n_fits = self._fitted_at = 0
        self._centers: Singles = np.empty((0, 0), dtype=np.float32)

    @property
    def ready(self) -> bool:
        """Whether the model has been fitted."""
        return self.n_fits > 0

    @staticmethod
    def accepts(features: Floats) -> bool:
        """Return whether features [b, d] are zeros and ones only."""
        return features.shape[1] > 0 and bool(((features == 0.0) | (features == 1.0)).all())

    def add(self, features: Floats, F: Floats) -> None:
        """Add designs with features [b, d] and objectives F [b, M]."""
        self.window.add(features, F)

    def fit_if_due(self, normalization: Normalization | None = None, *, used: bool) -> bool:
        """Refit if enough rows are new, fewer if the model is used; return whether it did.

        The normalization, if given, limits objectives far beyond the nadir.
        """
        n_rows = self.window.n_rows
        growth = (_GROWTH_USED if used else _GROWTH_IDLE) * min(n_rows, self.window.size)
        if n_rows < max(_MIN_ROWS, self._fitted_at + growth):
            return False
        features, F = self.window.arrays()
        F = F if normalization is None else normalization.learned(F)
        Z = features.astype(np.float32)
        self._offset = F.mean(axis=0)
        spread = spread_of(F)
        self._unit = np.where(spread > 0, spread, 1.0)
        # One center per column, the layout that products with sparse moves read.
        self._centers = np.ascontiguousarray(Z.T)
        self._sizes = Z.sum(axis=1)
        # On matrices this small, several BLAS threads gain nothing and lose much on a busy machine.
        with one_thread():
            distances = self._distances(Z)
            sampled = distances[:: max(1, len(Z) // 200)]
            self._width = max(float(np.median(sampled)), 1.0)
            K = self._kernel(distances).astype(float)
            model = KernelRidge(alpha=_PENALTY, kernel="precomputed")
            model.fit(K, (F - self._offset) / self._unit)
        self._weights = model.dual_coef_.astype(np.float32)
        self._fitted_at = n_rows
        self.n_fits += 1
        return True

    def predict(self, features: Floats) -> Floats:
        """Predict the objectives [b, M] of designs with these features [b, d]."""
        return self._values(self._distances(features))

    def changes(self, features: Floats, moves: Floats) -> Floats:
        """Predict how moves [n, k, d] from designs with features [n, d] change F, [n, k, M]."""
        n, k, _ = moves.shape
        before = self._distances(features)
        after = self._distances_after(moves, before).reshape(n * k, -1)
        return self._values(after).reshape(n, k, -1) - self._values(before)[:, None]

    def _distances_after(self, moves: Floats, before: Singles) -> Singles:
        """Return the distances [n, k, centers] after moves [n, k, d], given those before.

        Distances are whole numbers below 2^24, for which single precision is exact.
        """
        n, k, d = moves.shape
        # A column that changes adds one to the size of a design, or subtracts one.
        distances, growth = self._products(moves.reshape(n * k, d))
        distances *= -2.0
        distances += growth[:, None]
        distances = distances.reshape(n, k, -1)
        distances += before[:, None]
        return distances

    def _distances(self, Z: Floats | Singles) -> Singles:
        distances, sizes = self._products(Z)
        distances *= -2.0
        distances += sizes[:, None]
        distances += self._sizes
        return distances

    def _products(self, rows: Floats | Singles) -> tuple[Singles, Singles]:
        """Return the products of rows [b, d] with the centers, [b, centers], and their sums [b]."""
        # Finding nonzero elements takes a third of the time in a boolean array.
        row, column = np.nonzero(rows != 0)
        if len(row) >= _SPARSE * rows.size:
            dense = rows.astype(np.float32)
            return dense @ self._centers, dense.sum(axis=1)
        value = rows[row, column].astype(np.float32)
        start = np.searchsorted(row, np.arange(len(rows) + 1))
        product = csr_array((value, column, start), shape=rows.shape) @ self._centers
        return product, np.bincount(row, value, len(rows)).astype(np.float32)

    def _kernel(self, distances: Singles) -> Singles:
        scaled = distances * np.float32(-1.0 / self._width)
        return np.asarray(np.exp(scaled, out=scaled))

    def _values(self, distances: Singles) -> Floats:
        return np.asarray((self._kernel(distances) @ self._weights) * self._unit + self._offset)
