"""MissCost: the time of a step in which some experts are not in fast memory."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import nnls

from moe_costmodel._arrays import Floats
from moe_costmodel._checks import check_number, require, shape_of

__all__ = ["MissCost"]


@dataclass(frozen=True)
class MissCost:
    """Seconds of a step: base + misses computed in slow memory + uploads that are not hidden.

    A step takes ``base + per_miss * misses + max(0, per_upload * uploads - hidden)``. Misses and
    uploads are those of all layers together.

    Parameters
    ----------
    base : float
        Seconds of a step in which no expert is missed.
    per_miss : float
        Seconds that a missed expert takes longer in slow memory than in fast memory.
    per_upload : float
        Seconds to copy an expert into fast memory.
    hidden : float
        Seconds of uploads that a step hides behind its computation.

    Raises
    ------
    ValueError
        If a number is negative or not finite, or all are zero.

    Examples
    --------
    The published fit of one machine (:meth:`published`), and a step of 34 misses and 2 uploads:

    >>> from moe_costmodel import MissCost
    >>> cost = MissCost.published()
    >>> round(float(cost.step_seconds(34, 2)) * 1e3, 3)
    6.062
    """

    base: float
    per_miss: float
    per_upload: float
    hidden: float = 0.0

    def __post_init__(self) -> None:
        total = 0.0
        for name in ("base", "per_miss", "per_upload", "hidden"):
            value = check_number("MissCost", name, getattr(self, name))
            require("MissCost", name, value, value >= 0, "at least 0")
            total += value
        require("MissCost", "base", self.base, total > 0, "above 0 if the other numbers are 0")

    @classmethod
    def published(cls) -> MissCost:
        """Return 4.18 + .047 x misses + .142 x uploads, in milliseconds.

        The fit of https://github.com/everett6/moe-prefetch: Qwen3-30B-A3B (Q4_K_M) on an RTX 5070
        and a CPU; its residuals are at most 4.9 %.
        """
        return cls(base=4.18e-3, per_miss=0.047e-3, per_upload=0.142e-3)

    @classmethod
    def fit(cls, misses: ArrayLike, uploads: ArrayLike, seconds: ArrayLike) -> MissCost:
        """Fit the constants to measured steps or runs, by non-negative least squares.

        Relative errors are minimized. `hidden` is chosen among the upload times that occur, if a
        threshold fits better than a straight line.

        Parameters
        ----------
        misses, uploads, seconds : array_like of shape (n,)
            Mean misses and uploads of a step, and its measured seconds. At least four.
        """
        rows = [np.asarray(values, dtype=np.float64) for values in (misses, uploads, seconds)]
        for name, values in zip(("misses", "uploads", "seconds"), rows, strict=True):
            good = values.ndim == 1 and len(values) >= 4 and values.shape == rows[0].shape
            good = good and bool((np.isfinite(values) & (values >= 0)).all())
            expected = "at least four finite numbers of at least 0, as many as of the others"
            require("MissCost.fit", name, shape_of(values), good, expected)
        missed, uploaded, took = rows
        require("MissCost.fit", "seconds", took.min(), bool(took.min() > 0), "above 0")
        best = (np.inf, cls(base=float(took.mean()), per_miss=0.0, per_upload=0.0))
        for free in np.unique(np.append(0.0, uploaded[:-1])):
            beyond = np.maximum(0.0, uploaded - free)
            terms = np.column_stack((np.ones(len(took)), missed, beyond))
            size = np.maximum(terms.max(axis=0), 1e-300)
            scaled, error = nnls(terms / size / took[:, None], np.ones(len(took)))
            base, per_miss, per_upload = (float(value) for value in scaled / size)
            # A threshold is another parameter, and has to earn it.
            if error < (0.9 if best[0] < np.inf else 1.0) * best[0]:
                fitted = cls(base, per_miss, per_upload, float(free) * per_upload)
                best = (float(error), fitted)
        return best[1]

    def step_seconds(self, misses: ArrayLike, uploads: ArrayLike) -> Floats:
        """Return the seconds of steps with these misses and uploads, which broadcast."""
        copies = self.per_upload * np.asarray(uploads, dtype=np.float64)
        added = self.per_miss * np.asarray(misses, dtype=np.float64)
        return self.base + added + np.maximum(0.0, copies - self.hidden)
