"""Simulation of a serving engine's scheduler, step by step."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from moe_costmodel._arrays import Floats, Ints
from moe_costmodel._checks import check_number, count, invalid, require
from moe_costmodel.serving.requests import Request
from moe_costmodel.silicon.step_time import Chunk
from moela.heartbeat.working import long_work

__all__ = ["RankLoad", "Scheduler", "ServedRequests", "simulate"]

# vLLM's balance between data-parallel ranks: a waiting request counts as four running ones.
_WAITING = 4
_NAMED = 4  # ranks whose work an error message shows


@dataclass(frozen=True)
class RankLoad:
    """Work of one data-parallel rank in a step.

    Parameters
    ----------
    n_decode : int
        Sequences of which one token is computed.
    context : float
        Their mean context in tokens.
    chunks : tuple of Chunk
        New tokens of prompts.

    Examples
    --------
    >>> from moe_costmodel import Chunk, RankLoad
    >>> RankLoad(4, 100.0, (Chunk(512),)).tokens
    516
    """

    n_decode: int = 0
    context: float = 0.0
    chunks: tuple[Chunk, ...] = ()

    @property
    def tokens(self) -> int:
        """Tokens that the step computes on this rank."""
        return self.n_decode + sum(chunk.length for chunk in self.chunks)


@dataclass(frozen=True, kw_only=True)
class Scheduler:
    """Settings of a serving engine's scheduler.

    Running sequences come first, each with one token. Prompts follow in the order of their
    arrival, as far as the tokens of a step allow, in chunks if need be.

    Parameters
    ----------
    max_num_seqs : int
        Sequences that run at a time on one rank.
    max_num_batched_tokens : int
        Tokens of a step on one rank.
    n_ranks : int
        Data-parallel ranks, which take each step together.
    kv_tokens : int
        Tokens that the cache of one rank holds; 0 if it is no limit. A request is admitted if its
        prompt and its whole answer fit.
    asynchronous : bool
        Whether the next step is composed when a step begins, and not when it ends. A request then
        waits for one step more, and the host's work is hidden.
    host_seconds : float
        Time of a step that no kernel takes.

    Raises
    ------
    ValueError
        If a number is out of range.

    Examples
    --------
    >>> from moe_costmodel import Scheduler
    >>> Scheduler(max_num_seqs=128, max_num_batched_tokens=2048, n_ranks=2).n_ranks
    2
    """

    max_num_seqs: int = 256
    max_num_batched_tokens: int = 8192
    n_ranks: int = 1
    kv_tokens: int = 0
    asynchronous: bool = True
    host_seconds: float = 0.0

    def __post_init__(self) -> None:
        for name in ("max_num_seqs", "max_num_batched_tokens", "n_ranks"):
            count("Scheduler", name, getattr(self, name))
        count("Scheduler", "kv_tokens", self.kv_tokens, 0)
        host = check_number("Scheduler", "host_seconds", self.host_seconds)
        require("Scheduler", "host_seconds", host, host >= 0, "a number of at least 0")
        if self.max_num_batched_tokens < self.max_num_seqs:
            expected = f"at least max_num_seqs = {self.max_num_seqs}"
            got = self.max_num_batched_tokens
            raise invalid("Scheduler", "max_num_batched_tokens", got, expected)


@dataclass(frozen=True)
class ServedRequests:
    """Times of simulated requests; arrays of shape (n_requests,).

    Attributes
    ----------
    ttft : ndarray
        Seconds from a request's arrival to its first token.
    tpot : ndarray
        Mean seconds per token after the first; NaN for answers of one token.
    finished : ndarray
        Seconds at which the last token came.
    rank : ndarray of int64
        Data-parallel rank that served the request.
    n_steps : int
        Steps of the simulation.
    outside : tuple of str
        Reasons why times of steps are extrapolated, of callables that have an attribute `outside`
        (a list of texts, such as that of :class:`moe_costmodel.ComposedSteps`).

    Examples
    --------
    >>> import numpy as np
    >>> from moe_costmodel import ServedRequests
    >>> one = np.ones(1)
    >>> ServedRequests(one, one, one, np.zeros(1, dtype=np.int64), 1).n_steps
    1
    """

    ttft: Floats
    tpot: Floats
    finished: Floats
    rank: Ints
    n_steps: int
    outside: tuple[str, ...] = ()


@dataclass
class _Sequence:
    """State of an admitted request."""

    number: int
    request: Request
    computed: int = 0  # tokens of the prompt
    produced: int = 0  # tokens of the answer

    @property
    def tokens(self) -> int:
        return self.computed + self.produced


@dataclass
class _Rank:
    """Queue and running sequences of one rank."""

    waiting: deque[_Sequence] = field(default_factory=deque)
    running: list[_Sequence] = field(default_factory=list)

    @property
    def burden(self) -> int:
        return _WAITING * len(self.waiting) + len(self.running)

    def compose(self, settings: Scheduler) -> tuple[RankLoad, list[_Sequence]]:
        """Compose a step, advance its sequences, and return those that gain a token."""
        budget = settings.max_num_batched_tokens
        decoding = [s for s in self.running if s.computed == s.request.input_tokens]
        context = sum(s.tokens for s in decoding)
        gaining, chunks = list(decoding), []
        budget -= len(decoding)
        self._admit(settings, budget)
        for sequence in self.running:
            left = sequence.request.input_tokens - sequence.computed
            if not left or budget <= 0:
                continue
            length = min(left, budget)
            chunks.append(Chunk(length, sequence.computed, length == left))
            sequence.computed += length
            budget -= length
            if length == left:
                gaining.append(sequence)
        for sequence in gaining:
            sequence.produced += 1
        self.running = [s for s in self.running if s.produced < s.request.output_tokens]
        mean = context / len(decoding) if decoding else 0.0
        return RankLoad(len(decoding), mean, tuple(chunks)), gaining

    def _admit(self, settings: Scheduler, budget: int) -> None:
        pending = sum(s.request.input_tokens - s.computed for s in self.running)
        held = sum(s.request.input_tokens + s.request.output_tokens for s in self.running)
        while self.waiting and len(self.running) < settings.max_num_seqs and pending < budget:
            request = self.waiting[0].request
            held += request.input_tokens + request.output_tokens
            if settings.kv_tokens and held > settings.kv_tokens and self.running:
                break
            pending += request.input_tokens
            self.running.append(self.waiting.popleft())


def _checked(seconds: float, loads: Sequence[RankLoad]) -> float:
    """Return the time of a step, or raise an error that names the work of its ranks."""
    if 0 <= seconds < np.inf:
        return seconds
    work = "; ".join(map(str, loads[:_NAMED])) + ("; ..." if len(loads) > _NAMED else "")
    expected = f"a function that returns finite seconds of at least 0, also for {work}"
    raise invalid("simulate", "step_seconds", f"{seconds} s", expected)


@long_work("simulating requests")
def simulate(
    requests: Sequence[Request],
    settings: Scheduler,
    step_seconds: Callable[[Sequence[RankLoad]], float],
    *,
    concurrency: int = 0,
) -> ServedRequests:
    """Serve requests, and return when each of their tokens came.

    Parameters
    ----------
    requests : sequence of Request
        In any order.
    settings : Scheduler
        Settings of the engine.
    step_seconds : callable
        Seconds of a step, from the work of all ranks, such as
        :class:`moe_costmodel.ProfiledKernels`; finite and not negative.
    concurrency : int
        Requests in flight, as benchmark clients keep them: so many are sent at the start, and each
        later one when an earlier one ends. Times of arrival then only give the order. If 0,
        requests arrive at their times.

    Returns
    -------
    ServedRequests
        In the order of `requests`.

    Raises
    ------
    ValueError
        If there are no requests, or one that the cache of a rank cannot hold, or `concurrency` or
        the time of a step is negative, or the time of a step is not finite.

    Examples
    --------
    >>> from moe_costmodel import Request, Scheduler, simulate
    >>> requests = [Request(0.0, 100, 11), Request(0.0, 100, 11)]
    >>> served = simulate(requests, Scheduler(), lambda loads: 0.01)
    >>> served.ttft, served.tpot
    (array([0.01, 0.01]), array([0.01, 0.01]))
    """
    count("simulate", "concurrency", concurrency, 0)
    if not requests:
        raise invalid("simulate", "requests", "none", "at least one request")
    longest = max(request.input_tokens + request.output_tokens for request in requests)
    if 0 < settings.kv_tokens < longest:
        expected = f"at least the {longest} tokens of the longest request, or 0 for no limit"
        raise invalid("simulate", "kv_tokens", settings.kv_tokens, expected)
    order = sorted(range(len(requests)), key=lambda i: requests[i].arrival)
    sent = np.array([request.arrival for request in requests])
    arriving, later = deque(order), deque[int]()
    if concurrency:
        arriving, later = deque(order[:concurrency]), deque(order[concurrency:])
        sent[:] = 0.0
    missing = [request.output_tokens for request in requests]
    ranks = [_Rank() for _ in range(settings.n_ranks)]
    first = np.full(len(requests), np.nan)
    last = np.full(len(requests), np.nan)
    served_by = np.zeros(len(requests), dtype=np.int64)
    now, n_steps = 0.0, 0

    def compose() -> tuple[list[RankLoad], list[_Sequence]]:
        while arriving and sent[arriving[0]] <= now:
            i = arriving.popleft()
            place = min(range(len(ranks)), key=lambda r: ranks[r].burden)
            served_by[i] = place
            ranks[place].waiting.append(_Sequence(i, requests[i]))
        loads, gaining = [], []
        for rank in ranks:
            load, gains = rank.compose(settings)
            loads.append(load)
            gaining += gains
        return loads, gaining

    planned = compose()
    while True:
        loads, gaining = planned
        if not any(load.tokens for load in loads):
            if not arriving:
                break
            now = max(now, float(sent[arriving[0]]))
            planned = compose()
            continue
        # Before the step has ended, its sequences count as served.
        if settings.asynchronous:
            planned = compose()
        now += _checked(step_seconds(loads), loads) + settings.host_seconds
        n_steps += 1
        for sequence in gaining:
            if np.isnan(first[sequence.number]):
                first[sequence.number] = now
            last[sequence.number] = now
            missing[sequence.number] -= 1
            if later and not missing[sequence.number]:
                sent[later[0]] = now
                arriving.append(later.popleft())
        if not settings.asynchronous:
            planned = compose()
    more = np.array([request.output_tokens - 1 for request in requests])
    with np.errstate(invalid="ignore"):
        tpot = np.where(more > 0, (last - first) / np.maximum(more, 1), np.nan)
    outside = tuple(getattr(step_seconds, "outside", ()))
    return ServedRequests(first - sent, tpot, last, served_by, n_steps, outside)
