"""Prediction: seconds of steps, with an interval."""

from __future__ import annotations

from dataclasses import dataclass, field

from moe_costmodel._arrays import Floats

__all__ = ["Prediction"]


@dataclass(frozen=True)
class Prediction:
    """Seconds of steps, with an interval.

    Attributes
    ----------
    seconds, low, high : ndarray
        Median, and the bounds of the interval.
    coverage : float
        Share of measured steps of unseen shapes that are in such an interval.
    outside : list of str
        Reasons why this is an extrapolation, whose interval is that of all shapes; else empty.

    Examples
    --------
    >>> from moe_costmodel.example.measured import example_latency, example_shape
    >>> prediction = example_latency().predict(example_shape(), [4] * 8 + [0] * 24)
    >>> bool(prediction.low <= prediction.seconds <= prediction.high)
    True
    """

    seconds: Floats
    low: Floats
    high: Floats
    coverage: float
    outside: list[str] = field(default_factory=list)
