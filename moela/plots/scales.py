"""Logarithmic axes of objectives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from moela._arrays import Bools, Floats
from moela._checks import require
from moela.quality.words import nearest

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.ticker import Locator

LogAxes: TypeAlias = "bool | Sequence[str]"
"""Objectives with a logarithmic axis: all, none, or those named."""

PLAIN = "{x:g}"
"""Format of numbers without powers of ten, as far as they are short."""

# From here on, ticks at 1, 2 and 5 times powers of ten tell more than evenly spaced ones.
_WIDE = 10.0


def logarithmic(owner: str, log: LogAxes, names: Sequence[str], F: Floats) -> Bools:
    """Return which objectives of F [n, M] get a logarithmic axis: all, none, or those named.

    Raises
    ------
    ValueError
        A name is no objective, or an objective on a logarithmic axis has a value of at most 0.
    """
    known = list(names)
    if isinstance(log, bool):
        chosen = known if log else []
    else:
        chosen = [log] if isinstance(log, str) else list(log)
    for name in chosen:
        expected = f"True, False, or objectives: {', '.join(known)}.{nearest(name, known)}"
        require(owner, "log", log, name in known, expected.removesuffix("."))
    columns = np.isin(known, chosen)
    for j in np.flatnonzero(columns):
        least = F[:, j].min(initial=np.inf)
        if least <= 0:
            raise ValueError(
                f"The 'log' parameter of {owner} must name objectives whose values are all "
                f"positive. Got {known[j]!r}, which has the value {least:.6g}; leave it out."
            )
    return columns


def log_axes(axes: Axes, *, x: bool, y: bool) -> None:
    """Make axes logarithmic, once everything is drawn, with plain numbers at their ticks."""
    from matplotlib.ticker import NullFormatter

    for chosen, axis, limits in ((x, axes.xaxis, axes.set_xlim), (y, axes.yaxis, axes.set_ylim)):
        if not chosen:
            continue
        axis.axes.set(**{f"{axis.axis_name}scale": "log"})  # type: ignore[attr-defined]
        axes.autoscale_view()
        axis.set_major_locator(log_ticks(*sorted(limits())))
        axis.set_major_formatter(PLAIN)
        axis.set_minor_formatter(NullFormatter())


def log_ticks(low: float, high: float) -> Locator:
    """Return where to put ticks on a logarithmic axis between two values."""
    from matplotlib.ticker import LogLocator, MaxNLocator

    if high <= _WIDE * low:
        return MaxNLocator(5)
    return LogLocator(subs=(1.0, 2.0, 5.0) if high < _WIDE**3 * low else (1.0,))
