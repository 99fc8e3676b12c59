"""Measurement of the kernels of MoE inference on this machine."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence, Sized
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from moe_costmodel._arrays import Floats
from moe_costmodel._checks import count, invalid, require, several_of
from moe_costmodel.hardware import Hardware, Link
from moe_costmodel.measure.exchange import measure_exchange
from moe_costmodel.measure.jobs import Job, jobs_of, torch_type
from moe_costmodel.measure.measurements import KINDS, Measurements, Record
from moe_costmodel.measure.timing import (
    check_budget,
    clock_for,
    coarse_to_fine,
    pinned_threads,
    scratch_folder,
    time_call,
)
from moe_costmodel.shapes import DTYPE_BYTES, LayerShape
from moela.heartbeat.working import long_work

__all__ = ["DEFAULT_SHAPES", "links_of", "measure_kernels", "with_exchange"]

# Various sizes that a laptop runs in minutes; better pass the shapes of your own model.
DEFAULT_SHAPES = (
    LayerShape(n_experts=8, k=2, d_model=256, d_ffn=512, gated=True),
    LayerShape(n_experts=16, k=2, d_model=128, d_ffn=512),
    LayerShape(n_experts=32, k=4, d_model=128, d_ffn=40, gated=True),
    LayerShape(n_experts=32, k=2, d_model=256, d_ffn=256),
    LayerShape(n_experts=64, k=6, d_model=192, d_ffn=128, gated=True),
    LayerShape(n_experts=16, k=4, d_model=384, d_ffn=192, gated=True),
)
_EXCHANGE_S = 5.0  # that two processes take to start, on the machines that it was tried on
_TOKENS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)


@long_work("measuring kernels")
def measure_kernels(
    hardware: Hardware | None = None,
    shapes: Sequence[LayerShape] = DEFAULT_SHAPES,
    dtypes: Sequence[str] = ("float32",),
    budget_s: float = 120.0,
    *,
    tokens: Sequence[int] = _TOKENS,
    kinds: Sequence[str] = tuple(KINDS),
    rotate_bytes: int = 64 << 20,
    clock: str | None = None,
    progress: bool = True,
    random_state: np.random.Generator | int | None = 0,
    path: str | Path | None = None,
) -> Measurements:
    """Measure the parts of an MoE layer here: router, products, layer, copies, exchange, the rest.

    Parameters
    ----------
    hardware : Hardware, optional
        Description of this machine; by default :meth:`Hardware.here`.
    shapes : sequence of LayerShape
        Layers to measure, preferably those of the model to be planned for.
    dtypes : sequence of str
        torch types, such as "float32" or "bfloat16".
    budget_s : float
        Seconds of preparation and timing; the first calls of the last point may take longer. Each
        point gets an equal part of the remaining time. Copies come first, because every plan needs
        them. Then come the ends and the middle of each kind of point and shape, and so on between
        them, so that a budget that ends early leaves gaps rather than missing ends; points of which
        no prediction is made ("products" and "gating") come last. Points of one rank are in random
        order, so that a drift of the machine does not look like an effect of size. The notes of the
        result tell if the budget ended early, or left no time for the exchange.
    tokens : sequence of int
        Numbers of tokens in a step.
    kinds : sequence of str
        Names from `measure.measurements.KINDS`; "all_to_all" starts two processes, which takes some
        5 seconds. It is left out of a shorter budget.
    rotate_bytes : int
        Calls rotate over copies of the layer's weights that take this much memory together, because
        in a model the other layers evict a layer's weights from the caches between two steps. Use
        the size of the model if it is smaller.
    clock : {"cpu", "wall"}, optional
        The time of this process, which other processes disturb less, or the elapsed time; by
        default "cpu" for one thread, and "wall" for several, whose times "cpu" would add up.
    progress : bool
        Show a progress bar.
    random_state : Generator or int, optional
        Source of routing and order.
    path : str or Path, optional
        File to save the result in. It is opened before anything is measured, and gets what was
        measured if Ctrl-C or an error ends the measurement.

    Returns
    -------
    Measurements
        The hardware has the measured links.

    Raises
    ------
    ValueError
        If the hardware is of another kind, a dtype is unknown, there is nothing to measure, or the
        budget ended before a point was measured.
    OSError
        If the file cannot be written.

    Examples
    --------
    >>> from moe_costmodel import Hardware, LatencyModel, measure_kernels
    >>> latency = LatencyModel.fit(measure_kernels(Hardware.here(), budget_s=60))  # doctest: +SKIP
    """
    hardware = hardware or Hardware.here()
    if hardware.device == "cuda" and not torch.cuda.is_available():
        raise invalid("measure_kernels", "hardware", "cuda", "of this machine, which has no GPU")
    for dtype in several_of("measure_kernels", "dtypes", dtypes, DTYPE_BYTES):
        torch_type("measure_kernels", "dtypes", dtype)
    budget_s = check_budget("measure_kernels", budget_s)
    for name, sizes in (("shapes", shapes), ("tokens", tokens)):
        is_full = isinstance(sizes, Sized) and len(sizes) > 0
        require("measure_kernels", name, sizes, is_full, "a sequence that is not empty")
    tokens = [count("measure_kernels", "tokens", n) for n in tokens]
    clock = clock_for(clock, hardware.threads)
    kinds = several_of("measure_kernels", "kinds", kinds, KINDS)
    random = np.random.default_rng(random_state)
    records: list[Record] = []
    notes: list[str] = []
    started = time.perf_counter()
    taken = partial(_taken, hardware, records, clock, notes)
    with (
        _kept(path, taken),
        pinned_threads(hardware.threads),
        scratch_folder() as folder,
    ):
        if "all_to_all" in kinds and budget_s < _EXCHANGE_S:
            notes.append(f"a budget below {_EXCHANGE_S:g} s leaves no time for the exchange")
        elif "all_to_all" in kinds:
            records += _exchange(hardware)
        layers = [replace(shape, dtype=dtype) for shape in shapes for dtype in dtypes]
        jobs = [
            job
            for layer in layers
            for job in jobs_of(layer, hardware, tokens, random, folder, rotate_bytes)
            if job.kind in kinds
        ]
        ranks = _ranks(jobs)
        order = sorted(random.permutation(len(jobs)), key=lambda i: ranks[i])
        for done, i in enumerate(tqdm(order, disable=not progress, desc="measure", unit="point")):
            left = budget_s - (time.perf_counter() - started)
            if left <= 0 and jobs[i].kind != "copy":
                notes.append(f"the budget ended with {len(jobs) - done} of {len(jobs)} points left")
                break
            job = jobs[i]
            repeats = time_call(
                job.call,
                device=hardware.device,
                min_seconds=min(0.5, max(left, 0.0) / (len(jobs) - done)),
                clock=clock,
                threads=hardware.threads,
            )
            records.append(Record(job.kind, job.at, repeats, job.shape))
        if not records:
            expected = (
                "long enough to prepare and to measure a point (the exchange takes "
                f"{_EXCHANGE_S:g} s)"
            )
            raise invalid("measure_kernels", "budget_s", f"{budget_s:g} s", expected)
        found = taken()
        if path is not None:
            found.save(path)
    return found


def with_exchange(measured: Measurements) -> Measurements:
    """Return measurements with the exchange between two devices, which takes some seconds more."""
    exchanges = _exchange(measured.hardware)
    hardware = replace(measured.hardware, links=measured.hardware.links | links_of(exchanges))
    return replace(measured, hardware=hardware, records=[*measured.records, *exchanges])


def _exchange(hardware: Hardware) -> list[Record]:
    several = hardware.device == "cuda" and torch.cuda.device_count() > 1
    return measure_exchange(backend="nccl" if several else "gloo")


def _taken(hardware: Hardware, records: list[Record], clock: str, notes: list[str]) -> Measurements:
    links = links_of(records)
    return Measurements.taken_now(hardware, records, links=links, clock=clock, notes=notes)


@contextmanager
def _kept(path: str | Path | None, taken: Callable[[], Measurements]) -> Iterator[None]:
    """Make sure that a file can be written, and save what was taken if the context fails."""
    if path is None:
        yield
        return
    path = Path(path)
    is_new = not path.exists()
    with path.open("ab"):
        pass
    try:
        yield
    except BaseException as error:
        found = taken()
        if not found.records:
            if is_new:
                path.unlink()
            raise
        found.notes.append(f"ended early, after {len(found.records)} points")
        found.save(path)
        if isinstance(error, KeyboardInterrupt):
            points = f"{len(found.records)} points that were measured"
            raise KeyboardInterrupt(f"interrupted; {path} holds the {points}") from None
        raise


def _ranks(jobs: Sequence[Job]) -> list[float]:
    """Return the order in which points are timed: from coarse to fine in each kind and shape."""
    places: dict[tuple[str, LayerShape], list[int]] = {}
    for i, job in enumerate(jobs):
        places.setdefault((job.kind, job.shape), []).append(i)
    ranks = [0.0] * len(jobs)
    for (kind, _), own in places.items():
        first = {"copy": -1.0, "products": 1e6, "gating": 1e6}.get(kind, 0.0)
        for rank, position in enumerate(coarse_to_fine(len(own))):
            ranks[own[position]] = first + rank
    return ranks


def links_of(records: Sequence[Record]) -> dict[str, Link]:
    """Return links whose latency and bandwidth are fitted to the copies and exchanges."""
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
