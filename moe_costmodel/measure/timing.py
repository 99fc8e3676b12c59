"""Timing of calls on this machine: clocks, threads, and repeats."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

import torch

from moe_costmodel._checks import check_number, one_of, require

__all__ = [
    "CLOCKS",
    "Call",
    "check_budget",
    "clock_for",
    "clock_of",
    "coarse_to_fine",
    "pinned_threads",
    "scratch_folder",
    "time_call",
]

Call: TypeAlias = Callable[[], object]
CLOCKS = ("wall", "cpu")
_BLOCK_S = 2e-4
_LONGEST_BLOCK = 100_000  # calls, for a clock that ticks slower than a call
_REPEATS = 5


@contextmanager
def pinned_threads(n: int) -> Iterator[None]:
    """Let torch use `n` threads while the context lasts."""
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """Yield a folder that is removed at the end.

    Weights are mapped from files in it, and Windows does not remove a file that is still mapped.
    """
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def coarse_to_fine(n: int) -> list[int]:
    """Return 0 .. n - 1: both ends, the middle, the middles of the halves, and so on."""
    order = list(dict.fromkeys([0, n - 1]))
    parts = [(0, n - 1)]
    while parts:
        finer = []
        for low, high in parts:
            middle = (low + high) // 2
            if low < middle < high:
                order.append(middle)
                finer += [(low, middle), (middle, high)]
        parts = finer
    return order


def check_budget(owner: str, budget_s: object) -> float:
    """Return a budget of time, which must be a positive, finite number of seconds."""
    expected = "a positive, finite number of seconds"
    seconds = check_number(owner, "budget_s", budget_s, expected)
    require(owner, "budget_s", budget_s, seconds > 0, expected)
    return seconds


def clock_for(clock: str | None, threads: int) -> str:
    """Return a checked clock; by default "cpu" for one thread, and "wall" for several."""
    if clock is None:
        return "cpu" if threads == 1 else "wall"
    return one_of("measure", "clock", clock, CLOCKS)


def clock_of(name: str, device: str) -> Callable[[], float]:
    """Return a clock that reads seconds after the device has finished its work."""
    if device != "cuda":
        return time.perf_counter if name == "wall" else time.process_time

    def synchronized() -> float:
        torch.cuda.synchronize()
        return time.perf_counter()

    return synchronized


def time_call(
    call: Call,
    *,
    device: str = "cpu",
    min_seconds: float = 0.05,
    clock: str = "wall",
    threads: int = 1,
) -> list[float]:
    """Time a call repeatedly after a warm-up, and return the seconds of every repeat.

    There are at least five repeats, which take `min_seconds` together. On a GPU, CUDA events are
    recorded around each call. On the CPU, blocks of calls run with `threads` threads of torch; the
    clock "wall" reads the elapsed time, and "cpu" the time of this process, which other processes
    disturb less.
    """
    one_of("time_call", "clock", clock, CLOCKS)
    with torch.no_grad():
        if device == "cuda":
            return _time_cuda(call, min_seconds)
        now = clock_of(clock, device)
        repeats: list[float] = []
        with pinned_threads(threads):
            call()
            number = 1
            while len(repeats) < _REPEATS or sum(repeats) * number < min_seconds:
                started = now()
                for _ in range(number):
                    call()
                took = (now() - started) / number
                if not repeats and number == 1 and took < _BLOCK_S:
                    # Reading the clock takes a two-hundredth of such a block at most.
                    number = max(2, round(max(_BLOCK_S, min_seconds / 10) / max(took, 1e-9)))
                    number = min(number, _LONGEST_BLOCK)
                    continue
                repeats.append(took)
        return repeats


def _time_cuda(call: Call, min_seconds: float) -> list[float]:
    for _ in range(3):
        call()
    torch.cuda.synchronize()
    repeats: list[float] = []
    while len(repeats) < 5 or sum(repeats) < min_seconds:
        start = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        end = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        start.record()
        call()
        end.record()
        torch.cuda.synchronize()
        repeats.append(start.elapsed_time(end) / 1e3)
    return repeats
