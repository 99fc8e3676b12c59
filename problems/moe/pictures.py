"""Steps that the pictures of fronts share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from problems._arrays import Floats
from problems._checks import setting_error

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["checked_front", "saved"]


def checked_front(F: ArrayLike, n_obj: int, owner: str) -> Floats:
    """Return F as floats [n, n_obj], or raise if it has another shape or no rows."""
    array = np.asarray(F, dtype=float)
    if array.ndim != 2 or array.shape[1] != n_obj or len(array) == 0:
        raise setting_error(owner, "F", f"of shape [n, {n_obj}]", array.shape)
    return array


def saved(figure: Figure, path: str | Path | None) -> Figure:
    """Return the figure, saved if there is a path."""
    if path is not None:
        figure.savefig(path, dpi=130)
    return figure
