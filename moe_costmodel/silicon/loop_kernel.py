"""Compiled simulation of a benchmark with a constant number of requests in flight.

Arrays of one value a request are named in the singular (`left`, `todo`). Rows of `queue`, `running`
and `chunk` are data-parallel ranks. `ends` holds head and tail of each rank's queue, `counts` its
running sequences.
"""

from __future__ import annotations

import numpy as np

from moe_costmodel._arrays import Floats, Ints
from moela.compilation.jit import cached_njit

__all__ = ["MIXED", "PROMPTS_FIRST", "WHOLE_PROMPTS", "run_loop"]

# Steps of prompts and tokens together, with prompts in chunks; steps of prompts alone, before all
# else; steps of both, with prompts that fit as a whole.
MIXED, PROMPTS_FIRST, WHOLE_PROMPTS = range(3)
_HEAD, _TAIL, _STARTED, _DONE, _SINCE_POLL, _WAITED = range(6)
_WAITING = 4  # running sequences that a waiting request counts for in choosing a rank
_MANY = 1 << 40


@cached_njit(nogil=True)
def _between(x: float, xs: Floats, ys: Floats) -> float:
    """Interpolate linearly; go on with the last slope beyond the end."""
    if x <= xs[0]:
        return ys[0]
    n = len(xs)
    for i in range(1, n):
        if x <= xs[i]:
            return ys[i - 1] + (x - xs[i - 1]) / (xs[i] - xs[i - 1]) * (ys[i] - ys[i - 1])
    slope = (ys[n - 1] - ys[n - 2]) / (xs[n - 1] - xs[n - 2])
    return ys[n - 1] + (x - xs[n - 1]) * slope


@cached_njit(nogil=True)
def _receive(
    now: float, gap: float, marks: Ints, pending: Ints, arrival: Floats, queue: Ints, ends: Ints,
    counts: Ints,
) -> None:  # fmt: skip
    """Hand requests that have arrived to the ranks with the least to do."""
    while marks[_HEAD] < marks[_TAIL] and arrival[pending[marks[_HEAD]]] + gap <= now:
        i = pending[marks[_HEAD]]
        marks[_HEAD] += 1
        best, least = 0, _MANY
        for r in range(len(counts)):
            burden = _WAITING * (ends[r, 1] - ends[r, 0]) + counts[r]
            if burden < least:
                best, least = r, burden
        queue[best, ends[best, 1]] = i
        ends[best, 1] += 1


@cached_njit(nogil=True)
def _may_start(
    marks: Ints, queue: Ints, ends: Ints, counts: Ints, left: Ints, wait_steps: int,
    wait_tokens: float, balanced: bool,
) -> bool:  # fmt: skip
    """Return whether waiting prompts may start, or are to wait for others."""
    tokens, running, every = 0, 0, True
    for r in range(len(counts)):
        for q in range(ends[r, 0], ends[r, 1]):
            tokens += left[queue[r, q]]
        running += counts[r]
        every = every and ends[r, 1] > ends[r, 0]
    if tokens == 0 or running == 0 or marks[_WAITED] >= wait_steps:
        marks[_WAITED] = 0
        return True
    enough = every if balanced else tokens + running >= wait_tokens
    marks[_WAITED] = 0 if enough else marks[_WAITED] + 1
    return enough


@cached_njit(nogil=True)
def _compose(
    r: int, policy: int, start: bool, room: int, slots: int, queue: Ints, ends: Ints, running: Ints,
    chunk: Ints, counts: Ints, left: Ints,
) -> tuple[int, int]:  # fmt: skip
    """Fill a rank's step; return how many sequences decode, and the tokens of prompts."""
    decoding, tokens = 0, 0
    for k in range(counts[r]):
        chunk[r, k] = 0
        if left[running[r, k]] == 0:
            decoding += 1
    if policy != PROMPTS_FIRST:
        room -= decoding
    for k in range(counts[r]):
        length = min(left[running[r, k]], max(room, 0))
        chunk[r, k] = length
        room -= length
        tokens += length
    while start and ends[r, 0] < ends[r, 1] and counts[r] < slots and room > 0:
        i = queue[r, ends[r, 0]]
        if policy == WHOLE_PROMPTS and left[i] > room and tokens > 0:
            break
        length = min(left[i], room)
        running[r, counts[r]] = i
        chunk[r, counts[r]] = length
        counts[r] += 1
        ends[r, 0] += 1
        room -= length
        tokens += length
    return decoding, tokens


@cached_njit(nogil=True)
def _steps_alike(
    marks: Ints, ends: Ints, running: Ints, counts: Ints, todo: Ints, slots: int, poll_steps: int
) -> int:
    """Return how many steps pass until a sequence ends or a request may come in."""
    steps = _MANY
    for r in range(len(counts)):
        if ends[r, 1] > ends[r, 0] and counts[r] < slots:
            return 1
        for k in range(counts[r]):
            steps = min(steps, todo[running[r, k]])
    if marks[_HEAD] < marks[_TAIL]:
        steps = min(steps, poll_steps - marks[_SINCE_POLL])
    return max(steps, 1)


@cached_njit(nogil=True)
def _advance(
    r: int, now: float, steps: int, decode: bool, marks: Ints, running: Ints, chunk: Ints,
    counts: Ints, left: Ints, todo: Ints, arrival: Floats, first: Floats, last: Floats,
    pending: Ints,
) -> None:  # fmt: skip
    """Count a rank's tokens, and let the next requests follow those that end."""
    kept = 0
    for k in range(counts[r]):
        i = running[r, k]
        if left[i] > 0:
            left[i] -= chunk[r, k]
            if left[i] == 0:
                first[i] = last[i] = now
                todo[i] -= 1
        elif decode:
            todo[i] -= steps
            last[i] = now
        if todo[i] > 0 or left[i] > 0:
            running[r, kept] = i
            kept += 1
            continue
        marks[_DONE] += 1
        if marks[_STARTED] < len(left):
            j = marks[_STARTED]
            arrival[j] = now
            pending[marks[_TAIL]] = j
            marks[_TAIL] += 1
            marks[_STARTED] += 1
    counts[r] = kept


@cached_njit(nogil=True)
def run_loop(
    policy: int, concurrency: int, n_ranks: int, inputs: Ints, outputs: Ints, decode_sizes: Floats,
    decode_seconds: Floats, prompt_tokens: Floats, prompt_seconds: Floats, per_decoding: float,
    step_tokens: int, slots: int, poll_steps: int, wait_steps: int, wait_tokens: float,
    balanced: bool, gap: float,
) -> tuple[Floats, Floats, Floats]:  # fmt: skip
    """Serve requests, each sent when an earlier one ends; return arrivals, first and last tokens.

    Parameters
    ----------
    policy : int
        One of `MIXED`, `PROMPTS_FIRST`, `WHOLE_PROMPTS`.
    concurrency, n_ranks : int
        Requests in flight on all data-parallel ranks, which take each step together.
    inputs, outputs : ndarray of shape (n,), int64
        Tokens of prompts and answers.
    decode_sizes, decode_seconds : ndarray
        Seconds of a step by decoding sequences of a rank.
    prompt_tokens, prompt_seconds : ndarray
        Seconds of a step by tokens of prompts.
    per_decoding : float
        Seconds that a decoding sequence adds to a step with prompts.
    step_tokens, slots : int
        Tokens of a step, and running sequences, of one rank at most.
    poll_steps : int
        Steps between two looks for new requests.
    wait_steps : int
        Steps that prompts wait at most for `wait_tokens` tokens, or for prompts on all ranks if
        `balanced`.
    gap : float
        Seconds between the end of a request and the arrival of the next at the scheduler.
    """
    n, most = len(inputs), max(concurrency, 1) + 1
    left, todo, pending = inputs.copy(), outputs.copy(), np.zeros(n, np.int64)
    arrival, first, last = np.zeros(n), np.full(n, np.nan), np.full(n, np.nan)
    queue, ends = np.zeros((n_ranks, n), np.int64), np.zeros((n_ranks, 2), np.int64)
    running, chunk = np.zeros((n_ranks, most), np.int64), np.zeros((n_ranks, most), np.int64)
    counts, marks = np.zeros(n_ranks, np.int64), np.zeros(6, np.int64)
    begun = min(concurrency, n)
    for i in range(begun):
        pending[i] = i
    marks[_TAIL] = marks[_STARTED] = begun
    marks[_SINCE_POLL] = poll_steps
    now = 0.0
    while marks[_DONE] < n:
        idle = counts.sum() == 0 and (ends[:, 1] - ends[:, 0]).sum() == 0
        if idle:
            now = max(now, arrival[pending[marks[_HEAD]]] + gap)
        if idle or marks[_SINCE_POLL] >= poll_steps:
            marks[_SINCE_POLL] = 0
            _receive(now, gap, marks, pending, arrival, queue, ends, counts)
        start = wait_steps == 0 or _may_start(
            marks, queue, ends, counts, left, wait_steps, wait_tokens, balanced
        )
        seconds, prompts = 0.0, 0
        for r in range(n_ranks):
            decoding, tokens = _compose(
                r, policy, start, step_tokens, slots, queue, ends, running, chunk, counts, left
            )
            prompts += tokens
            if tokens:
                time = _between(float(tokens), prompt_tokens, prompt_seconds)
                if policy != PROMPTS_FIRST:
                    time += per_decoding * decoding
                seconds = max(seconds, time)
            elif decoding:
                seconds = max(seconds, _between(float(decoding), decode_sizes, decode_seconds))
        steps = 1
        if start and prompts == 0:
            steps = _steps_alike(marks, ends, running, counts, todo, slots, poll_steps)
        now += steps * seconds
        decode = prompts == 0 or policy != PROMPTS_FIRST
        for r in range(n_ranks):
            _advance(
                r, now, steps, decode, marks, running, chunk, counts, left, todo, arrival, first,
                last, pending,
            )  # fmt: skip
        if prompts:
            marks[_SINCE_POLL] = poll_steps
        else:
            marks[_SINCE_POLL] = (marks[_SINCE_POLL] + steps - 1) % poll_steps + 1
    return arrival, first, last
