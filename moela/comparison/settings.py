"""The parameters of a comparison, checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral

import numpy as np
from numpy.typing import ArrayLike

from moela._checks import require
from moela.comparison.scale import LARGER_IS_BETTER

INDICATORS = tuple(LARGER_IS_BETTER)

RefPoint = ArrayLike | Mapping[str, ArrayLike | Mapping[str, float]] | None
"""A point, numbers by objective, "problem", "pooled", or one of these by problem."""


@dataclass(frozen=True)
class ComparisonSettings:
    """The parameters of `moela.compare` that determine the numbers; see there.

    `reference_front` only says whether one was given.
    """

    ref_point: RefPoint = None
    reference_front: str | None = None
    indicators: Sequence[str] = INDICATORS
    baseline: str | None = None
    at: int | str | None = None
    archive_size: int | None = None
    paired: bool | None = None
    alpha: float = 0.05

    def __post_init__(self) -> None:
        names = self.indicators if isinstance(self.indicators, list | tuple) else ()
        known = len(names) > 0 and all(name in INDICATORS for name in names)
        expected = f"some of {', '.join(INDICATORS)}"
        require("compare", "indicators", self.indicators, known, expected)
        fits = self.at is None or self.at == "common" or _is_whole(self.at, 1)
        require("compare", "at", self.at, fits, 'None, "common", or at least 1')
        size = self.archive_size
        fits = size is None or _is_whole(size, 2)
        require("compare", "archive_size", size, fits, "None or an integer of at least 2")
        fits = self.paired is None or isinstance(self.paired, bool | np.bool_)
        require("compare", "paired", self.paired, fits, "None, True or False")
        fits = isinstance(self.alpha, float) and 0 < self.alpha < 1
        require("compare", "alpha", self.alpha, fits, "between 0 and 1")
        object.__setattr__(self, "indicators", list(dict.fromkeys(names)))


def _is_whole(value: object, least: int) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= least
