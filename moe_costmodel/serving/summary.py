"""Summary of simulated requests: times to the first token and per token, and throughput."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from moe_costmodel._arrays import Floats
from moe_costmodel._checks import invalid
from moe_costmodel.serving.requests import Request
from moe_costmodel.serving.scheduler import ServedRequests

__all__ = ["ServingSummary"]


@dataclass(frozen=True, kw_only=True)
class ServingSummary:
    """Times and throughput of simulated requests.

    Attributes
    ----------
    n_requests : int
        Requests that were served.
    rate : float
        Requests that arrived per second; infinite if all arrived at once.
    ttft_mean, ttft_p50, ttft_p99 : float
        Seconds from arrival to the first token.
    tpot_mean, tpot_p50, tpot_p99 : float
        Seconds per token after the first, a mean for each request; NaN if all answers are of one
        token.
    tokens_per_s, requests_per_s : float
        Tokens of answers, and requests, per second from the first arrival to the last token.
    outside : tuple of str
        Reasons why times of steps are extrapolated; empty if they are not.

    Examples
    --------
    >>> from moe_costmodel import Request, Scheduler, ServingSummary, simulate
    >>> requests = [Request(0.0, 100, 11), Request(0.5, 100, 11)]
    >>> served = simulate(requests, Scheduler(), lambda loads: 0.01)
    >>> summary = ServingSummary.of(requests, served)
    >>> round(summary.ttft_p99, 4), round(summary.tpot_mean, 4)
    (0.01, 0.01)
    """

    n_requests: int
    rate: float
    ttft_mean: float
    ttft_p50: float
    ttft_p99: float
    tpot_mean: float
    tpot_p50: float
    tpot_p99: float
    tokens_per_s: float
    requests_per_s: float
    outside: tuple[str, ...] = ()

    @classmethod
    def of(cls, requests: Sequence[Request], served: ServedRequests) -> ServingSummary:
        """Summarize requests that were served.

        Parameters
        ----------
        requests : sequence of Request
            As they were handed to :func:`moe_costmodel.simulate`.
        served : ServedRequests
            What came back.
        """
        if len(requests) != len(served.ttft):
            expected = f"the {len(served.ttft)} requests that were served"
            raise invalid("ServingSummary", "requests", len(requests), expected)
        arrivals = np.array([request.arrival for request in requests])
        first, span = float(arrivals.min()), float(np.ptp(arrivals))
        took = float(served.finished.max()) - first
        tokens = sum(request.output_tokens for request in requests)
        return cls(
            n_requests=len(requests),
            rate=(len(requests) - 1) / span if span else np.inf,
            **_times("ttft", served.ttft),
            **_times("tpot", served.tpot),
            tokens_per_s=tokens / took if took else np.inf,
            requests_per_s=len(requests) / took if took else np.inf,
            outside=served.outside,
        )

    def to_dict(self) -> dict[str, object]:
        """Return all values for JSON; NaN and infinity become None."""
        return {
            name: None if isinstance(value, float) and not np.isfinite(value) else value
            for name, value in asdict(self).items()
        }

    def __str__(self) -> str:
        n = self.n_requests
        some = f"{n} request{'s' * (n > 1)}"
        arrived = f"at {self.rate:.4g} a second" if np.isfinite(self.rate) else "at once"
        lines = [
            f"{some if n == 1 else f'{some} {arrived}'}; served "
            f"{self.requests_per_s:.4g} requests and {self.tokens_per_s:,.0f} tokens a second",
            f"  {'':<22}{'mean':>12}{'p50':>12}{'p99':>12}",
        ]
        for name, words in (("ttft", "time to first token"), ("tpot", "time per token")):
            values = [getattr(self, f"{name}_{what}") for what in ("mean", "p50", "p99")]
            cells = "".join(f"{_cell(value):>12}" for value in values)
            if np.isnan(values).all():
                cells = "  none: every answer is of one token"
            lines.append(f"  {words:<22}{cells}")
        lines += [f"  times are extrapolated: {reason}" for reason in self.outside]
        return "\n".join(lines)


def _cell(seconds: float) -> str:
    """Return a time in ms, from 10 s on in seconds."""
    ms = seconds * 1e3
    return f"{ms:.4g} ms" if ms < 9999.5 else f"{seconds:.4g} s"


def _times(name: str, values: Floats) -> dict[str, float]:
    """Return mean, median and 99th percentile of the values that are known."""
    known = values[~np.isnan(values)]
    if not len(known):
        return {f"{name}_{what}": np.nan for what in ("mean", "p50", "p99")}
    p50, p99 = np.percentile(known, [50, 99])
    return {
        f"{name}_mean": float(known.mean()),
        f"{name}_p50": float(p50),
        f"{name}_p99": float(p99),
    }
