"""Hamming-kernel model: predicts objectives of designs that are described by zeros and ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_factor, cho_solve, solve_triangular

from moela._arrays import Bools, Floats, Ints
from moela._threads import one_thread
from moela.core.scaling import Normalization, spread_of
from moela.learning.hamming_kernel import (
    Shorts,
    Signs,
    Singles,
    Words,
    changes_after,
    distance_counts,
    hamming_distances,
    similarities,
    similarity_triangle,
)
from moela.learning.permutations import Aspect
from moela.learning.window import SharedFits, Window

Kind = Aspect | None

# Rows before the first fit, and growth until the next one as a fraction of the rows once the window
# is full: larger while the model is not used. With fewer rows, a fit takes far less time, so that
# the fraction is smaller by as much as there are fewer rows.
_MIN_ROWS = 50
_GROWTH_USED, _GROWTH_IDLE = 0.25, 0.5
_PENALTY = 0.001
# The newest designs by which a fit is judged.
_MOST_CHECKED = 100
# Distance at which the kernel has fallen to 1/e, in median distances.
_WIDTH = 1.5


class HammingFit:
    """Kernel ridge regression on Hamming distances, fitted to rows of zeros and ones [n, d].

    The kernel is exp(-d / w), where d is the number of columns that differ, and w is 1.5 times its
    median (cf. Moraglio and Kattan 2011, "Geometric generalization of surrogate model based
    optimization to combinatorial spaces", EvoCOP; Zaefferer et al. 2014, "Efficient global
    optimization for combinatorial problems", GECCO).

    Parameters
    ----------
    features : array of shape (n, d)
    F : array of shape (n, M)
    left_out : array of shape (c,)
        Rows to predict by a fit without each of them. `errors` [c, M] of these are the observed
        minus the predicted objectives, in units of their spread. An error is a weight over an
        element of the diagonal of the inverse of the kernel matrix (Sundararajan and Keerthi 2001,
        "Predictive approaches for choosing hyperparameters in Gaussian processes", Neural
        Computation 13).
    """

    def __init__(self, features: Signs, F: Floats, left_out: Ints) -> None:
        self._offset = F.mean(axis=0)
        spread = spread_of(F)
        self.unit = np.where(spread > 0, spread, 1.0)
        self._sizes = features.sum(axis=1, dtype=np.int16)
        # A row of these is added for each column that a move changes.
        self._signs = np.ascontiguousarray(1 - 2 * features.T)
        bits, n_columns = _packed(features), features.shape[1]
        median = _median(distance_counts(bits, n_columns, max(1, len(F) // 200)))
        width = _WIDTH * max(median, 1.0)
        self._table = np.exp(np.arange(n_columns + 1) / -width).astype(np.float32)
        # On matrices this small, several BLAS threads gain nothing and lose much on a busy machine.
        with one_thread():
            K = similarity_triangle(bits, self._table, _PENALTY)
            targets = ((F - self._offset) / self.unit).astype(np.float32)
            # Single precision: the penalty keeps the condition number far below its limit. The
            # lower triangle is the upper one of the transpose, which LAPACK takes without a copy.
            factor = cho_factor(K.T, lower=False, overwrite_a=True, check_finite=False)
            weights = cho_solve(factor, targets, check_finite=False)
            self.errors = weights[left_out] / _inverse_at(factor[0], left_out)[:, None]
        self._weights = np.ascontiguousarray(weights.T)
        self._rates = np.array([np.cosh(1.0 / width), np.sinh(1.0 / width)], dtype=np.float32)

    def predict(self, features: Floats) -> Floats:
        """Predict the objectives [b, M] of designs with these zeros and ones [b, d]."""
        kernel = similarities(self.distances(features), self._table)
        return np.asarray((kernel @ self._weights.T) * self.unit + self._offset)

    def changes_to(self, features: Floats, near: Floats) -> Floats:
        """Predict the change of F [n, k, M] from zeros and ones [n, d] to others [n, k, d]."""
        kernel = similarities(self.distances(features), self._table)
        return changes_after(
            features, near, kernel, self._weights, self._signs, self._rates, self.unit
        )

    def distances(self, features: Floats) -> Shorts:
        """Return the Hamming distances [b, n] from these zeros and ones [b, d]."""
        return hamming_distances(features, self._sizes, self._signs)


@dataclass(frozen=True)
class LeftOutDesigns:
    """Designs [c] and their changes from similar ones, as predicted by fits without them."""

    features: Floats  # [c, d]
    base: Floats  # [c, d], features of the most similar one of the designs that were added before
    predicted: Floats  # [c, M], changes of the objectives from there, by a fit without the design
    observed: Floats  # [c, M]


class HammingModel(SharedFits):
    """Predicts objectives by a `HammingFit` to the newest designs.

    Unlike a linear model of moves, it can predict that the same move pays at one design and not at
    another. Features must be zeros and ones, for which the Hamming distance loses nothing. The time
    of a prediction grows with `size`, the number of designs kept, that of a fit with its cube.
    """

    _mutable = ("window", "_unchosen")
    # Of the rows that are kept; a byte holds a zero or one, so that fits copy less.
    _dtype: type[np.signedinteger] = np.int8

    def __init__(self, size: int = 1000) -> None:
        self.window = Window(size)
        self.n_fits = self._fitted_at = 0
        # By these, the newest fit can be judged.
        self.left_out = LeftOutDesigns(*[np.empty((0, 0))] * 4)
        self._unchosen: list[Bools] = []
        # Kinds of features, objectives that are predicted from them, and the fits.
        self._parts: list[tuple[Kind, Ints, HammingFit]] = []

    @property
    def ready(self) -> bool:
        """Whether the model has been fitted."""
        return self.n_fits > 0

    def accepts(self, features: Floats) -> bool:
        """Return whether features [b, d] are zeros and ones only."""
        return features.shape[1] > 0 and bool(((features == 0.0) | (features == 1.0)).all())

    def add(self, features: Floats, F: Floats, unchosen: Bools | None = None) -> None:
        """Add designs with features [b, d] and objectives F [b, M].

        Fits are judged by those that no model has chosen, `unchosen` [b]; by default, none.
        """
        dropped = self.window.add(features.astype(self._dtype), F)
        del self._unchosen[: len(dropped)]
        self._unchosen.append(np.zeros(len(F), dtype=bool) if unchosen is None else unchosen)

    def fit_if_due(self, normalization: Normalization | None = None, *, used: bool) -> bool:
        """Refit if enough rows are new, fewer if the model is used; return whether it did.

        The normalization, if given, limits objectives far beyond the nadir.
        """
        n_rows = self.window.n_rows
        n_kept = min(n_rows, self.window.size)
        growth = (_GROWTH_USED if used else _GROWTH_IDLE) * n_kept * n_kept / self.window.size
        if n_rows < max(_MIN_ROWS, self._fitted_at + growth):
            return False
        rows, F = self.window.arrays()
        F = F if normalization is None else normalization.learned(F)
        checked = np.flatnonzero(np.concatenate(self._unchosen))
        checked = checked[checked > 0][-_MOST_CHECKED:]
        self._parts = [
            (kind, some, HammingFit(self._ones(rows, kind).astype(np.int8), F[:, some], checked))
            for kind, some in self._kinds(rows, F)
        ]
        self.left_out = self._left_out(rows, F, checked)
        self._fitted_at = n_rows
        self.n_fits += 1
        return True

    def predict(self, features: Floats) -> Floats:
        """Predict the objectives [b, M] of designs with these features [b, d]."""
        return self._joined(
            [fit.predict(self._ones(features, kind)) for kind, _, fit in self._parts]
        )

    def changes(self, features: Floats, moves: Floats) -> Floats:
        """Predict how moves [n, k, d] from designs with features [n, d] change F, [n, k, M]."""
        return self.changes_to(features, features[:, None] + moves)

    def changes_to(self, features: Floats, near: Floats) -> Floats:
        """Predict the change of F [n, k, M] from designs [n, d] to their neighbors [n, k, d]."""
        n, k, d = near.shape
        changes = []
        for kind, _, fit in self._parts:
            ends = self._ones(near.reshape(n * k, d), kind).reshape(n, k, -1)
            changes.append(fit.changes_to(self._ones(features, kind), ends))
        return self._joined(changes)

    def _kinds(self, rows: Floats, F: Floats) -> list[tuple[Kind, Ints]]:
        """Return the kinds of features that are used, each with the objectives that it predicts."""
        return [(None, np.arange(F.shape[1]))]

    def _ones(self, features: Floats, kind: Kind) -> Floats:
        """Return the features of designs [b, d] as zeros and ones of some kind [b, columns]."""
        return features

    def _joined(self, values: list[Floats]) -> Floats:
        """Join what the parts say of their objectives, each [..., some], to [..., M]."""
        if len(values) == 1:
            return values[0]
        order = np.concatenate([some for _, some, _ in self._parts])
        return np.concatenate(values, axis=-1)[..., order.argsort()]

    def _left_out(self, rows: Floats, F: Floats, checked: Ints) -> LeftOutDesigns:
        """Return these rows [c], and what fits without each of them predict."""
        kind, _, fit = self._parts[0]
        distances = fit.distances(self._ones(rows[checked], kind).astype(float))
        distances[np.arange(len(rows)) >= checked[:, None]] = np.iinfo(distances.dtype).max
        base = distances.argmin(axis=1)
        errors = self._joined([fit.errors * fit.unit for _, _, fit in self._parts])
        observed = F[checked] - F[base]
        near, before = rows[checked].astype(float), rows[base].astype(float)
        return LeftOutDesigns(near, before, observed - errors, observed)


def _inverse_at(factor: Singles, rows: Ints) -> Singles:
    """Return elements [c] of the diagonal of the inverse of a matrix with this upper factor."""
    if len(rows) == 0:
        return np.empty(0, dtype=np.float32)
    # Columns of the inverse of the factor are zero before their diagonal element.
    first = rows[0]
    unit = np.zeros((len(factor) - first, len(rows)), dtype=np.float32)
    unit[rows - first, np.arange(len(rows))] = 1.0
    columns = solve_triangular(factor[first:, first:], unit, trans="T", check_finite=False)
    return np.asarray((columns**2).sum(axis=0))


def _packed(features: Signs) -> Words:
    """Pack rows of zeros and ones [n, d] into words of 64 columns, [words, n]."""
    n, d = features.shape
    packed = np.zeros((n, -(-d // 64) * 8), dtype=np.uint8)
    packed[:, : -(-d // 8)] = np.packbits(features, axis=1)
    return np.ascontiguousarray(packed.view(np.uint64).T)


def _median(counts: Ints) -> float:
    """Return the median of whole numbers from 0 on, each of which occurs so many times."""
    total = counts.cumsum()
    middle = np.searchsorted(total, [(total[-1] - 1) // 2, total[-1] // 2], side="right")
    return float(middle.mean())
