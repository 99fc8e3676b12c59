"""The learned model of what designs are worth, for designs that are described by zeros and ones."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from sklearn.kernel_ridge import KernelRidge

from moela._arrays import Floats
from moela._threads import one_thread
from moela.learning.window import Window

Singles = NDArray[np.float32]

# Designs to know before the first fit, and by how much they grow until the next, as a share of
# those kept: less often while nobody goes by the model.
_MIN_ROWS = 200
_GROWTH_USED, _GROWTH_IDLE = 0.2, 0.5
_PENALTY = 0.01
# Moves change few columns, and then products with mostly zeros are worth skipping.
_SPARSE = 0.1


class Landscape:
    """Predicts the objectives of a design from those of designs that differ from it in little.

    Kernel ridge regression with a Gaussian kernel on the number of columns that differ (Hamming
    distance) over its median among the designs at hand (cf. Moraglio and Kattan 2011, "Geometric
    generalization of surrogate model based optimization to combinatorial spaces", EvoCOP; Zaefferer
    et al. 2014, "Efficient global optimization for combinatorial problems", GECCO). Unlike a linear
    model it knows that a move pays in one place and not in another. Only zeros and ones are taken,
    since with them the distance forgets nothing.

    Parameters
    ----------
    window : int
        Designs kept, the newest ones. Time grows with its square, and with its cube at a refit.
    """

    def __init__(self, window: int = 1500) -> None:
        self.rows = Window(window)
        self.n_fits = 0
        self._fitted_at = 0
        self._centers: Singles = np.empty((0, 0), dtype=np.float32)

    def __deepcopy__(self, memo: dict[int, Any]) -> Landscape:
        # What was fitted is only ever replaced, so copies may share it.
        copied = self.__class__.__new__(self.__class__)
        copied.__dict__.update(self.__dict__)
        copied.rows = deepcopy(self.rows, memo)
        return copied

    @property
    def ready(self) -> bool:
        """Whether the model has been fitted."""
        return self.n_fits > 0

    @staticmethod
    def takes(features: Floats) -> bool:
        """Say whether features [b, d] are zeros and ones only."""
        return features.shape[1] > 0 and bool(((features == 0.0) | (features == 1.0)).all())

    def add(self, features: Floats, F: Floats) -> None:
        """Learn that designs with these features [b, d] have objectives F [b, M]."""
        self.rows.add(features, F)

    def fit_if_due(self, *, used: bool) -> bool:
        """Refit once the rows have grown enough, sooner where the model is used; say if it did."""
        n_rows = self.rows.n_rows
        growth = (_GROWTH_USED if used else _GROWTH_IDLE) * min(n_rows, self.rows.size)
        if n_rows < max(_MIN_ROWS, self._fitted_at + growth):
            return False
        features, F = self.rows.arrays()
        Z = features.astype(np.float32)
        self._offset = F.mean(axis=0)
        spread = F.std(axis=0)
        self._unit = np.where(spread > 0, spread, 1.0)
        # The centers lie one a column, which is how products with sparse moves read them.
        self._centers = np.ascontiguousarray(Z.T)
        self._sizes = Z.sum(axis=1)
        # BLAS threads gain nothing on matrices this small, and lose much on a busy machine.
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
        """Predict the change of the objectives that moves bring.

        Parameters
        ----------
        features : float array, [n, d]
            Where the moves start.
        moves : float array, [n, k, d]
            What they add to the features.

        Returns
        -------
        float array, [n, k, M]
        """
        n, k, _ = moves.shape
        here = self._distances(features)
        there = self._stepped(moves, here).reshape(n * k, -1)
        return self._values(there).reshape(n, k, -1) - self._values(here)[:, None]

    def _stepped(self, moves: Floats, here: Singles) -> Singles:
        """Return the distances [n, k, centers] after moves [n, k, d] from places so far away.

        Whole numbers below 2^24, so that single precision is exact.
        """
        n, k, d = moves.shape
        # A column that changes adds one to the size of a design, or takes one away.
        stepped, grown = self._shared(moves.reshape(n * k, d))
        stepped *= -2.0
        stepped += grown[:, None]
        stepped = stepped.reshape(n, k, -1)
        stepped += here[:, None]
        return stepped

    def _distances(self, Z: Floats | Singles) -> Singles:
        shared, sizes = self._shared(Z)
        shared *= -2.0
        shared += sizes[:, None]
        shared += self._sizes
        return shared

    def _shared(self, rows: Floats | Singles) -> tuple[Singles, Singles]:
        """Return the products of rows [b, d] with the centers, [b, centers], and their sums [b]."""
        # Looking for what is not zero takes a third of the time where zeros are False.
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
