"""Objectives of a deployment: names, units and directions, and their predicted values."""

from __future__ import annotations

from dataclasses import dataclass

from moe_costmodel._checks import check_number, invalid

__all__ = ["OBJECTIVES", "SERVING_OBJECTIVES", "Objective", "Predicted", "quantity"]


@dataclass(frozen=True)
class Objective:
    """An objective of deployments."""

    unit: str  # "s", "bytes", "tokens/s", or "" for a number without unit
    maximize: bool
    words: str


OBJECTIVES: dict[str, Objective] = {
    "tokens_per_s": Objective("tokens/s", True, "tokens per second, all devices together"),
    "step_mean_s": Objective("s", False, "mean time of a step"),
    "step_p50_s": Objective("s", False, "median time of a step"),
    "step_p99_s": Objective("s", False, "99th percentile of the time of a step"),
    "memory_bytes": Objective("bytes", False, "memory of the fullest device"),
    "expert_bytes": Objective("bytes", False, "experts kept on the fullest device"),
    "quality_loss": Objective("", False, "quality lost by the thresholds"),
    "avg_max_load": Objective("", False, "mean share of a step's tokens on its busiest device"),
    "p99_max_load": Objective(
        "", False, "99th percentile of the share of a step's tokens on its busiest device"
    ),
    "miss_mean_s": Objective("s", False, "mean time that a step waits for copies of experts"),
    "miss_p99_s": Objective(
        "s", False, "99th percentile of the time that a step waits for copies of experts"
    ),
    "cross_node_bytes": Objective("bytes", False, "bytes between nodes per token, all layers"),
    "replica_bytes": Objective(
        "bytes", False, "replicas on one device, all layers; ExpertPlacement counts all devices"
    ),
}

SERVING_OBJECTIVES: dict[str, Objective] = {
    "tokens_per_s_per_user": Objective("tokens/s", True, "tokens per second of a request"),
    "tokens_per_s_per_gpu": Objective("tokens/s", True, "tokens per second and GPU"),
    "ttft": Objective("s", False, "mean time to the first token, without queueing"),
    "tpot_mean": Objective("s", False, "mean time per token after the first"),
    "tpot_p99": Objective("s", False, "99th percentile of the time per token after the first"),
    "memory_bytes": Objective("bytes", False, "memory of the fullest GPU"),
    "cost_per_million_tokens": Objective("", False, "cost of a million tokens"),
    "quality_loss": Objective("", False, "share of the routers' weight that rules drop"),
}
"""Objectives of serving a whole model."""


@dataclass(frozen=True)
class Predicted:
    """A predicted value of an objective, with its interval, in the unit of the objective.

    Parameters
    ----------
    value : float
        Mean over the windows of traffic.
    low, high : float
        Interval: the lowest and highest window, each widened by the error of the cost model.
    worst : float, optional
        Value of the worst window; by default `value`.

    Raises
    ------
    ValueError
        If a number is not finite, or the value lies outside the interval.

    Examples
    --------
    >>> from moe_costmodel import Predicted
    >>> Predicted(value=1.0, low=0.9, high=1.3).worst
    1.0
    """

    value: float
    low: float
    high: float
    worst: float | None = None

    def __post_init__(self) -> None:
        for name in ("value", "low", "high", "worst"):
            number = getattr(self, name)
            if name == "worst" and number is None:
                number = self.value
            object.__setattr__(self, name, check_number("Predicted", name, number))
        if not self.low <= self.value <= self.high:
            expected = f"in its interval {self.low} .. {self.high}"
            raise invalid("Predicted", "value", self.value, expected)


_SCALES = {
    "s": ((1.0, "s"), (1e-3, "ms"), (1e-6, "us")),
    "bytes": ((2.0**30, "GiB"), (2.0**20, "MiB"), (2.0**10, "KiB"), (1.0, "B")),
}


def beyond(factor: float) -> str:
    """Return in words how far a time lies outside what was measured; infinite without a table."""
    if factor == float("inf"):
        return "a roofline bound, since no table has it"
    return f"extrapolated by a factor of {factor:.3g}"


def quantity(value: float, unit: str) -> str:
    """Return a number with its unit, scaled to a readable size."""
    if unit == "s" and not value:
        return "0 s"
    scales = _SCALES.get(unit, ((1.0, unit),))
    # 0.9996 ms is shown as 1 ms, and not as 1000 us.
    fitting = [item for item in scales if float(f"{abs(value) / item[0]:.3g}") >= 1]
    scale, name = (fitting or scales[-1:])[0]
    digits = 4 if not unit else 2 if unit == "tokens/s" else 3
    return f"{_digits(value / scale, digits)} {name}".rstrip()


def _digits(value: float, n: int) -> str:
    """Return a number with `n` significant digits, all of those before the point, and no power."""
    return f"{value:.{n}g}" if abs(value) < 10**n - 0.5 else f"{value:,.0f}"
