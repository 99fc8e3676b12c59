"""Rates of requests: times over the rate, and the highest rate that meets limits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from moe_costmodel._checks import check_fraction, check_number, invalid, one_of
from moe_costmodel.serving.requests import Request, at_rate
from moe_costmodel.serving.scheduler import RankLoad, Scheduler, simulate
from moe_costmodel.serving.summary import ServingSummary
from moela.heartbeat.working import long_work

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["MaxRate", "RateSweep", "max_rate", "rate_sweep"]

_STATISTICS = ("mean", "p50", "p99")
_SLOW = 32.0  # times below the capacity, where hardly any requests meet others
_MOST_ALONE = 48
StepSeconds = Callable[[Sequence[RankLoad]], float]


@dataclass(frozen=True)
class MaxRate:
    """Highest rate of requests that meets limits.

    Attributes
    ----------
    rate : float
        Requests per second.
    summary : ServingSummary
        Times and throughput at that rate.
    limit : str
        Limit that a slightly higher rate breaks ("ttft_slo" or "tpot_slo"), or "capacity": at this
        rate all hold, but a full queue is served no faster, so that it grows beyond it.

    Examples
    --------
    >>> import numpy as np
    >>> from moe_costmodel import Scheduler, max_rate, poisson_requests
    >>> requests = poisson_requests(1.0, 200, 64, 32, random_state=np.random.default_rng(0))
    >>> found = max_rate(requests, Scheduler(max_num_seqs=8), lambda loads: 0.01, ttft_slo=0.1)
    >>> found.limit
    'ttft_slo'
    """

    rate: float
    summary: ServingSummary
    limit: str

    def __str__(self) -> str:
        bound = f"limited by {self.limit}"
        return f"highest rate {self.rate:.4g} requests/s, {bound}\n{self.summary}"


@dataclass(frozen=True)
class RateSweep:
    """Times and throughput over the rate of requests.

    Attributes
    ----------
    rates : tuple of float
        Requests per second.
    summaries : tuple of ServingSummary
        One for each rate.

    Examples
    --------
    >>> import numpy as np
    >>> from moe_costmodel import Scheduler, poisson_requests, rate_sweep
    >>> requests = poisson_requests(1.0, 100, 64, 32, random_state=np.random.default_rng(0))
    >>> sweep = rate_sweep(requests, Scheduler(max_num_seqs=8), lambda loads: 0.01, [5, 20, 80])
    >>> bool(sweep.summaries[0].ttft_mean < sweep.summaries[2].ttft_mean)
    True
    """

    rates: tuple[float, ...]
    summaries: tuple[ServingSummary, ...]

    def __str__(self) -> str:
        lines = [
            f"{'requests/s':>12}{'tokens/s':>12}{'TTFT mean':>12}{'p50':>10}{'p99':>10}"
            f"{'TPOT mean':>12}{'p99':>10}   (ms)"
        ]
        for rate, row in zip(self.rates, self.summaries, strict=True):
            mark = "  extrapolated" if row.outside else ""
            lines.append(
                f"{rate:>12.4g}{row.tokens_per_s:>12,.0f}{row.ttft_mean * 1e3:>12.4g}"
                f"{row.ttft_p50 * 1e3:>10.4g}{row.ttft_p99 * 1e3:>10.4g}"
                f"{row.tpot_mean * 1e3:>12.4g}{row.tpot_p99 * 1e3:>10.4g}{mark}"
            )
        reasons = dict.fromkeys(reason for row in self.summaries for reason in row.outside)
        return "\n".join([*lines, *(f"extrapolated: {reason}" for reason in reasons)])

    def plot(self, *, ttft_slo: float | None = None, tpot_slo: float | None = None) -> Figure:
        """Draw times to the first token and per token over the rate.

        Parameters
        ----------
        ttft_slo, tpot_slo : float, optional
            Limits in seconds, drawn as lines.
        """
        from moela.notebook.style import COLORS, SMALL, dress, new_figure

        figure = new_figure(13.0, 5.6)
        panels = (("ttft", "time to first token", ttft_slo), ("tpot", "time per token", tpot_slo))
        outside = [bool(row.outside) for row in self.summaries]
        for axes, (name, words, slo) in zip(figure.subplots(1, 2), panels, strict=True):
            dress(axes, "requests per second", f"{words} (ms)")
            kinds = (("mean", "o-"), ("p50", "s--"), ("p99", "^-."))
            for color, (what, style) in zip(COLORS, kinds, strict=False):
                values = np.array([getattr(row, f"{name}_{what}") for row in self.summaries]) * 1e3
                axes.plot(self.rates, values, style, color=color, lw=2, ms=7, label=what)
                if any(outside):
                    axes.plot(
                        np.array(self.rates)[outside], values[outside], "o", markersize=13,
                        markerfacecolor="none", color="0.5",
                        label="extrapolated" if what == "p99" else None,
                    )  # fmt: skip
            if slo is not None:
                axes.axhline(slo * 1e3, color="0.4", linestyle=":", lw=2, label="limit")
            axes.set_xscale("log")
            axes.set_yscale("log")
            axes.legend(fontsize=SMALL, framealpha=0.85, edgecolor="none")
        return figure


@long_work("simulating rates of requests")
def rate_sweep(
    requests: Sequence[Request],
    settings: Scheduler,
    step_seconds: StepSeconds,
    rates: Sequence[float],
) -> RateSweep:
    """Serve the same requests at several rates.

    Parameters
    ----------
    requests : sequence of Request
        The gaps between them are scaled (:func:`moe_costmodel.at_rate`).
    settings, step_seconds
        As for :func:`moe_costmodel.simulate`.
    rates : sequence of float
        Requests per second.

    Returns
    -------
    RateSweep

    Raises
    ------
    ValueError
        If there is no rate, one is not positive, or the requests have no rate.

    Examples
    --------
    >>> import numpy as np
    >>> from moe_costmodel import Scheduler, poisson_requests, rate_sweep
    >>> requests = poisson_requests(1.0, 50, 64, 8, random_state=np.random.default_rng(0))
    >>> len(rate_sweep(requests, Scheduler(), lambda loads: 0.01, [1.0, 10.0]).summaries)
    2
    """
    if not len(rates):
        raise invalid("rate_sweep", "rates", "none", "at least one rate")
    rows = tuple(_served(requests, settings, step_seconds, rate) for rate in rates)
    return RateSweep(tuple(float(rate) for rate in rates), rows)


@long_work("searching for the highest rate of requests")
def max_rate(
    requests: Sequence[Request],
    settings: Scheduler,
    step_seconds: StepSeconds,
    *,
    ttft_slo: float | None = None,
    tpot_slo: float | None = None,
    statistic: str = "p99",
    tolerance: float = 0.02,
) -> MaxRate:
    """Return the highest rate of requests that meets limits, by bisection.

    Parameters
    ----------
    requests : sequence of Request
        The gaps between them are scaled (:func:`moe_costmodel.at_rate`). A few hundred are needed
        for a queue to build up. The rate is at most that at which they are served if all come at
        once.
    settings, step_seconds
        As for :func:`moe_costmodel.simulate`.
    ttft_slo, tpot_slo : float, optional
        Limits on the time to the first token and per token, in seconds; at least one.
    statistic : {"mean", "p50", "p99"}
        Statistic over the requests that the limits concern.
    tolerance : float
        Relative width of the last interval of rates.

    Returns
    -------
    MaxRate

    Raises
    ------
    ValueError
        If there is no limit, or requests that meet no others do not meet one; the message names the
        least limit that would do.

    Examples
    --------
    >>> import numpy as np
    >>> from moe_costmodel import Scheduler, max_rate, poisson_requests
    >>> requests = poisson_requests(1.0, 300, 64, 32, random_state=np.random.default_rng(0))
    >>> slow = lambda loads: 0.01 + 1e-3 * loads[0].n_decode
    >>> found = max_rate(requests, Scheduler(max_num_seqs=32), slow, tpot_slo=0.03)
    >>> found.summary.tpot_p99 <= 0.03
    True
    """
    owner = "max_rate"
    one_of(owner, "statistic", statistic, _STATISTICS)
    check_fraction(owner, "tolerance", tolerance)
    limits = {"ttft_slo": ttft_slo, "tpot_slo": tpot_slo}
    given = {name: value for name, value in limits.items() if value is not None}
    if not given:
        raise invalid(owner, "ttft_slo", None, "a number of seconds, unless tpot_slo is given")
    for name, value in given.items():
        if check_number(owner, name, value) <= 0:
            raise invalid(owner, name, value, "a positive number of seconds")

    def broken(summary: ServingSummary) -> str:
        for name, value in given.items():
            if getattr(summary, f"{name.removesuffix('_slo')}_{statistic}") > value:
                return name
        return ""

    def served(rate: float) -> ServingSummary:
        return _served(requests, settings, step_seconds, rate)

    # Beyond the rate at which a full queue is served, the queue grows without end.
    capacity = served(1e6).requests_per_s
    found = served(capacity)
    if not (name := broken(found)):
        return MaxRate(capacity, found, "capacity")
    low, high = 0.0, capacity
    while not low:  # slow rates take many steps, and are tried last
        summary = served(high / 2)
        if reason := broken(summary):
            high, name = high / 2, reason
        else:
            low, found = high / 2, summary
        if not low and high < capacity / _SLOW:
            low, found = _alone(requests, settings, step_seconds, capacity)
            if name := broken(found):
                what = f"{name.removesuffix('_slo')}_{statistic}"
                least = getattr(found, what)
                expected = f"at least {least:.4g} s, which requests without others take"
                raise invalid(owner, name, limits[name], expected)
    while high > low * (1 + tolerance):
        middle = float(np.sqrt(low * high))
        summary = served(middle)
        if reason := broken(summary):
            high, name = middle, reason
        else:
            low, found = middle, summary
    return MaxRate(low, found, name)


def _alone(
    requests: Sequence[Request], settings: Scheduler, step_seconds: StepSeconds, capacity: float
) -> tuple[float, ServingSummary]:
    """Return a rate at which requests meet no others, and some of them at that rate."""
    some = requests[:: -(-len(requests) // _MOST_ALONE)]
    longest = max(request.input_tokens + request.output_tokens for request in requests)
    rate = capacity / (10.0 * len(requests) * longest)
    apart = [
        Request(i / rate, request.input_tokens, request.output_tokens)
        for i, request in enumerate(some)
    ]
    return rate, ServingSummary.of(apart, simulate(apart, settings, step_seconds))


def _served(
    requests: Sequence[Request], settings: Scheduler, step_seconds: StepSeconds, rate: float
) -> ServingSummary:
    scaled = at_rate(requests, rate)
    return ServingSummary.of(scaled, simulate(scaled, settings, step_seconds))
