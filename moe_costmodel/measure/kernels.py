"""Timing the kernels of MoE inference on this machine."""

from __future__ import annotations

import datetime
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.benchmark import Timer
from tqdm import tqdm

from moe_costmodel._arrays import Floats
from moe_costmodel._checks import invalid, one_of
from moe_costmodel.hardware import Hardware, Link
from moe_costmodel.measure.exchange import measure_exchange
from moe_costmodel.measure.jobs import Job, jobs_of
from moe_costmodel.measure.measurements import KINDS, Measurements, Record
from moe_costmodel.shapes import LayerShape

__all__ = ["DEFAULT_SHAPES", "measure_kernels", "time_call"]

# A spread of sizes that a laptop runs in minutes; pass the shapes of your own model instead.
DEFAULT_SHAPES = (
    LayerShape(n_experts=8, k=2, d_model=256, d_ffn=512, gated=True),
    LayerShape(n_experts=16, k=2, d_model=128, d_ffn=512),
    LayerShape(n_experts=32, k=4, d_model=128, d_ffn=40, gated=True),
    LayerShape(n_experts=32, k=2, d_model=256, d_ffn=256),
    LayerShape(n_experts=64, k=6, d_model=192, d_ffn=128, gated=True),
    LayerShape(n_experts=16, k=4, d_model=384, d_ffn=192, gated=True),
)
_TOKENS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
_BLOCK_S = 2e-4


def time_call(
    call: Callable[[], Any],
    *,
    device: str = "cpu",
    min_seconds: float = 0.05,
    clock: str = "wall",
    threads: int = 1,
) -> list[float]:
    """Time a call again and again, after warming up; return every repeat in seconds.

    Parameters
    ----------
    call : callable
        What to time, under ``torch.no_grad``.
    device : {"cpu", "cuda"}
        On a GPU, CUDA events are recorded around each call. On the CPU
        :class:`torch.utils.benchmark.Timer` runs blocks of calls.
    min_seconds : float
        How long to go on (at least five repeats).
    clock : {"wall", "cpu"}
        CPU only: elapsed time, or the time of this process, which other work on the machine
        disturbs less.
    threads : int
        Threads that torch may use meanwhile (CPU).
    """
    one_of("time_call", "clock", clock, ("wall", "cpu"))
    with torch.no_grad():
        if device == "cuda":
            return _time_cuda(call, min_seconds)
        timer = Timer(
            "call()",
            globals={"call": call},
            num_threads=threads,
            timer=time.perf_counter if clock == "wall" else time.process_time,
        )
        # Timer's own blocks grow until reading the clock is a ten-thousandth of them, which costs
        # far more than a point's budget on small kernels; a two-hundredth is lost in the noise.
        once = timer.timeit(1).median
        number = max(1, round(max(_BLOCK_S, min_seconds / 10) / once))
        repeats: list[float] = []
        while len(repeats) < 5 or sum(repeats) * number < min_seconds:
            repeats += timer.timeit(number).times
        return [float(seconds) for seconds in repeats]


def _time_cuda(call: Callable[[], Any], min_seconds: float) -> list[float]:
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


def measure_kernels(
    hardware: Hardware | None = None,
    shapes: Sequence[LayerShape] = DEFAULT_SHAPES,
    dtypes: Sequence[str] = ("float32",),
    budget_s: float = 120.0,
    *,
    tokens: Sequence[int] = _TOKENS,
    kinds: Sequence[str] = tuple(KINDS),
    rotate_bytes: int = 64 << 20,
    clock: str = "wall",
    progress: bool = True,
    random_state: np.random.Generator | int | None = 0,
) -> Measurements:
    """Measure what an MoE layer costs here: router, products, layer, copies, exchange, the rest.

    Parameters
    ----------
    hardware : Hardware, optional
        By default :meth:`Hardware.here`; must be of this machine's kind.
    shapes : sequence of LayerShape
        Layers to measure; best those of the model to be planned for.
    dtypes : sequence of str
        torch types, such as "float32" or "bfloat16".
    budget_s : float
        Seconds of timing, once everything is prepared. Every point gets an equal part of what is
        left. Copies come first, since every plan needs them; the other points are taken in random
        order, so that a drifting machine does not look like an effect of size. If the time runs
        out, the result says how many were left.
    tokens : sequence of int
        Sizes of steps.
    kinds : sequence of str
        Which of `measure.measurements.KINDS`; "all_to_all" starts two processes, which takes some
        seconds.
    rotate_bytes : int
        Calls go round copies of the layer's weights that take this much memory together, since a
        model's other layers push a layer's weights out of the caches between two steps. Give the
        model's size, if it is smaller.
    clock : {"wall", "cpu"}
        As for :func:`time_call`.
    progress : bool
        Show a progress bar.
    random_state : Generator or int, optional
        Draws routing and order.

    Returns
    -------
    Measurements
        Whose hardware has the measured links.

    Raises
    ------
    ValueError
        If the hardware is of another kind, a dtype is unknown, or nothing is to be measured.

    Examples
    --------
    >>> from moe_costmodel import Hardware, LatencyModel, measure_kernels
    >>> latency = LatencyModel.fit(measure_kernels(Hardware.here(), budget_s=60))  # doctest: +SKIP
    """
    hardware = hardware or Hardware.here()
    if hardware.device == "cuda" and not torch.cuda.is_available():
        raise invalid("measure_kernels", "hardware", "cuda", "of this machine, which has no GPU")
    for dtype in dtypes:
        if not isinstance(getattr(torch, dtype, None), torch.dtype):
            raise invalid("measure_kernels", "dtypes", repr(dtype), "names of torch types")
    if not shapes or not tokens or not budget_s > 0:
        raise invalid(
            "measure_kernels", "shapes", shapes, "not empty, nor tokens, with a positive budget"
        )
    for kind in kinds:
        one_of("measure_kernels", "kinds", kind, KINDS)
    random = np.random.default_rng(random_state)
    records: list[Record] = []
    notes: list[str] = []
    with _pinned(hardware.threads), tempfile.TemporaryDirectory() as folder:
        jobs: list[Job] = []
        for shape in shapes:
            for dtype in dtypes:
                sized = replace(shape, dtype=dtype)
                jobs += jobs_of(sized, hardware, tokens, random, Path(folder), rotate_bytes)
        jobs = [job for job in jobs if job[0] in kinds]
        if "all_to_all" in kinds:
            several = hardware.device == "cuda" and torch.cuda.device_count() > 1
            records += measure_exchange(backend="nccl" if several else "gloo")
        started = time.perf_counter()
        order = sorted(random.permutation(len(jobs)), key=lambda i: jobs[i][0] != "copy")
        for done, i in enumerate(tqdm(order, disable=not progress, desc="measure", unit="point")):
            left = budget_s - (time.perf_counter() - started)
            if left <= 0:
                notes.append(f"the budget ended with {len(jobs) - done} of {len(jobs)} points left")
                break
            kind, layer, at, call = jobs[i]
            repeats = time_call(
                call,
                device=hardware.device,
                min_seconds=min(0.5, left / (len(jobs) - done)),
                clock=clock,
                threads=hardware.threads,
            )
            records.append(Record(kind, at, repeats, layer))
    return Measurements(
        replace(hardware, links={**hardware.links, **_links(records)}),
        records,
        "cuda" if hardware.device == "cuda" else clock,
        datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        notes,
    )


@contextmanager
def _pinned(threads: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _links(records: Sequence[Record]) -> dict[str, Link]:
    """Fit latency and bandwidth to what was copied and exchanged."""
    links = {}
    for kind, name in (("copy", "slow_to_fast"), ("all_to_all", "device_to_device")):
        points = [(r.at["bytes"], r.seconds) for r in records if r.kind == kind]
        if points:
            links[name] = _fit_link(np.array(points, dtype=np.float64))
    return links


def _fit_link(points: Floats) -> Link:
    from scipy.optimize import nnls

    size, seconds = points.T
    terms = np.stack([np.ones_like(size), size], axis=1) / seconds[:, None]
    (latency, per_byte), _ = nnls(terms, np.ones_like(seconds))
    if per_byte == 0:
        per_byte = float(np.median(seconds / size))
    return Link(bandwidth=1.0 / float(per_byte), latency=float(latency))
