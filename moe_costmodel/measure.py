"""Timing the kernels of MoE inference on this machine."""

from __future__ import annotations

import datetime
import itertools
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F
from torch.utils.benchmark import Timer
from tqdm import tqdm

from moe_costmodel._checks import check_choice, complain
from moe_costmodel.buffering import expert_streams
from moe_costmodel.hardware import Hardware, Link
from moe_costmodel.kernels.buffered import BufferedExperts
from moe_costmodel.kernels.dynamic import dynamic_gating, expert_products
from moe_costmodel.kernels.experts import Experts
from moe_costmodel.kernels.replacement import Replacement
from moe_costmodel.measure_exchange import measure_exchange
from moe_costmodel.measurements import KINDS, Measurements, Record
from moe_costmodel.shapes import LayerShape, power_law_counts

__all__ = ["DEFAULT_SHAPES", "choices_of", "measure_kernels", "time_call"]

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
_SKEWS = (0.0, 0.6, 1.2)
_RUN = 8
_BLOCK_S = 2e-4
Job = tuple[str, LayerShape | None, dict[str, Any], Callable[[], Any]]


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
    check_choice(clock, ("wall", "cpu"), "clock", "time_call")
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
        Which of :data:`moe_costmodel.measurements.KINDS`; "all_to_all" starts two processes, which
        takes some seconds.
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
    """
    hardware = hardware or Hardware.here()
    if hardware.device == "cuda" and not torch.cuda.is_available():
        raise complain("hardware", "measure_kernels", "of this machine, which has no GPU", "cuda")
    for dtype in dtypes:
        if not isinstance(getattr(torch, dtype, None), torch.dtype):
            raise complain("dtypes", "measure_kernels", "names of torch types", repr(dtype))
    if not shapes or not tokens or not budget_s > 0:
        raise complain(
            "shapes", "measure_kernels", "not empty, nor tokens, with a positive budget", shapes
        )
    for kind in kinds:
        check_choice(kind, KINDS, "kinds", "measure_kernels")
    random = np.random.default_rng(random_state)
    records: list[Record] = []
    notes: list[str] = []
    with _pinned(hardware.threads), tempfile.TemporaryDirectory() as folder:
        jobs: list[Job] = []
        for shape in shapes:
            for dtype in dtypes:
                sized = replace(shape, dtype=dtype)
                jobs += _jobs(sized, hardware, tokens, random, Path(folder), rotate_bytes)
        jobs = [job for job in jobs if job[0] in kinds]
        if "all_to_all" in kinds:
            records += measure_exchange()
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


def choices_of(
    counts: np.ndarray[Any, np.dtype[np.int64]], n_tokens: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return ids and weights [n_tokens, k] that send ``counts[e]`` tokens to expert e.

    Dealing the sorted choices out in turn gives no token an expert twice, since no expert has
    more than n_tokens; what is over in the last column has weight 0.
    """
    flat = np.repeat(np.arange(len(counts)), counts)
    k = -(-len(flat) // n_tokens)
    padded = np.zeros(n_tokens * k, dtype=np.int64)
    padded[: len(flat)] = flat
    weight = np.zeros(n_tokens * k, dtype=np.float32)
    weight[: len(flat)] = 1.0 / k
    shape = (k, n_tokens)
    return (
        torch.from_numpy(padded.reshape(shape).T.copy()),
        torch.from_numpy(weight.reshape(shape).T.copy()),
    )


def _jobs(
    shape: LayerShape,
    hardware: Hardware,
    tokens: Sequence[int],
    random: np.random.Generator,
    folder: Path,
    rotate_bytes: int,
) -> list[Job]:
    """Prepare the points of one layer."""
    device, dtype = hardware.device, getattr(torch, shape.dtype)
    activation = "silu" if shape.gated else "relu"
    experts = Experts.random(
        shape.n_experts,
        shape.d_model,
        shape.d_ffn,
        gated=shape.gated,
        activation=activation,
        dtype=dtype,
        device=device,
    )
    n_copies = min(32, max(1, round(rotate_bytes / (shape.n_experts * experts.expert_bytes))))
    copies = [
        replace(experts, up=experts.up.clone(), down=experts.down.clone()) for _ in range(n_copies)
    ]
    gate = torch.randn(shape.n_experts, shape.d_model, device=device, dtype=dtype)
    jobs: list[Job] = []
    for n_tokens in tokens:
        x = torch.randn(n_tokens, shape.d_model, device=device).to(dtype)
        jobs.append(("gating", shape, {"tokens": n_tokens}, _router(x, gate, shape.k)))
        for skew in _SKEWS:
            # Thresholds leave a token fewer experts, so layers of fewer choices are measured too.
            kept = replace(shape, k=int(random.integers(1, shape.k + 1)) if skew else shape.k)
            counts = power_law_counts(n_tokens, kept, skew, random)
            at = {"tokens": n_tokens, "counts": counts.tolist()}
            ids, weights = (t.to(device) for t in choices_of(counts, n_tokens))
            jobs.append(("layer", shape, at, _layer(x, ids, weights, copies)))
            jobs.append(("products", shape, at, _products(counts, copies)))
    jobs += [("copy", shape, {"bytes": experts.expert_bytes}, _copy(experts, device, folder))]
    slow = experts if device == "cuda" else _mapped(experts, folder)
    for capacity in sorted({1, shape.n_experts // 4, shape.n_experts // 2} - {0}):
        for n_tokens in (1, 4, 16):
            run = [power_law_counts(n_tokens, shape, 0.6, random) for _ in range(_RUN)]
            counts = np.stack(run)
            stream = expert_streams(counts[:, None], np.zeros(shape.n_experts, int), 1)[0][0]
            misses = int(stream.misses([capacity], "paper").sum())
            at = {"tokens": n_tokens, "counts": counts.tolist(), "capacity": capacity}
            at["misses"] = misses
            jobs.append(
                ("buffered", shape, at, _buffered(slow, capacity, counts, n_tokens, device))
            )
    for batch in (1, 4, 16):
        for context in (16, 128, 512):
            at = {"batch": batch, "context": context, "tokens": batch}
            jobs.append(("rest", shape, at, _rest(shape.d_model, batch, context, device, dtype)))
    return jobs


def _router(x: torch.Tensor, gate: torch.Tensor, k: int) -> Callable[[], Any]:
    return lambda: F.linear(x, gate).float().softmax(dim=-1).topk(k, dim=-1)


def _layer(
    x: torch.Tensor, ids: torch.Tensor, weights: torch.Tensor, copies: Sequence[Experts]
) -> Callable[[], Any]:
    turn = itertools.cycle(copies)
    return lambda: dynamic_gating(x, ids, weights, next(turn))


def _products(counts: np.ndarray[Any, Any], copies: Sequence[Experts]) -> Callable[[], Any]:
    rows = torch.randn(int(counts.sum()), copies[0].d_model).to(copies[0].up)
    sizes = torch.from_numpy(counts).to(rows.device)
    turn = itertools.cycle(copies)
    return lambda: expert_products(rows, sizes, next(turn))


def _mapped(experts: Experts, folder: Path) -> Experts:
    return Experts.map_file(experts.save(folder / f"{id(experts)}.safetensors"))


def _buffered(
    slow: Experts,
    capacity: int,
    counts: np.ndarray[Any, Any],
    n_tokens: int,
    device: str,
) -> Callable[[], Any]:
    """Run some steps through a buffer that starts empty."""
    buffered = BufferedExperts(slow, capacity, device=device)
    x = torch.randn(n_tokens, slow.d_model, device=device).to(slow.up.dtype)
    steps = [tuple(t.to(device) for t in choices_of(row, n_tokens)) for row in counts]

    def call() -> None:
        buffered.replacement = Replacement(capacity, "paper")
        for ids, weights in steps:
            buffered(x, ids, weights)

    return call


def _copy(experts: Experts, device: str, folder: Path) -> Callable[[], Any]:
    """Copy one expert after another from slow memory into one slot of fast memory."""
    if device == "cuda":
        slow = replace(
            experts, up=experts.up.cpu().pin_memory(), down=experts.down.cpu().pin_memory()
        )
    else:
        slow = _mapped(experts, folder)
    up, down = torch.empty_like(experts.up[0]), torch.empty_like(experts.down[0])
    turn = 0

    def call() -> None:
        nonlocal turn
        turn = (turn + 1) % slow.n_experts
        up.copy_(slow.up[turn], non_blocking=True)
        down.copy_(slow.down[turn], non_blocking=True)

    return call


def _rest(
    width: int, batch: int, context: int, device: str, dtype: torch.dtype
) -> Callable[[], Any]:
    """One decode step of a layer's attention: projections, cache, softmax, output."""
    head = min(64, width)
    heads = width // head
    x = torch.randn(batch, 1, width, device=device).to(dtype)
    qkv = torch.randn(3 * width, width, device=device).to(dtype) * width**-0.5
    out = torch.randn(width, width, device=device).to(dtype) * width**-0.5
    keys, values = torch.randn(2, batch, heads, context, head, device=device).to(dtype)

    def call() -> torch.Tensor:
        q, k, v = F.linear(x, qkv)[..., : 3 * heads * head].view(batch, 3, heads, head).unbind(1)
        keys[:, :, -1], values[:, :, -1] = k, v
        mixed = F.scaled_dot_product_attention(q[:, :, None], keys, values)
        return F.linear(mixed.reshape(batch, heads * head), out[:, : heads * head])

    return call


def _links(records: Sequence[Record]) -> dict[str, Link]:
    """Fit latency and bandwidth to what was copied and exchanged."""
    links = {}
    for kind, name in (("copy", "slow_to_fast"), ("all_to_all", "device_to_device")):
        points = [(r.at["bytes"], r.seconds) for r in records if r.kind == kind]
        if points:
            links[name] = _fit_link(np.array(points, dtype=np.float64))
    return links


def _fit_link(points: np.ndarray[Any, np.dtype[np.float64]]) -> Link:
    from scipy.optimize import nnls

    size, seconds = points.T
    terms = np.stack([np.ones_like(size), size], axis=1) / seconds[:, None]
    (latency, per_byte), _ = nnls(terms, np.ones_like(seconds))
    if per_byte == 0:
        per_byte = float(np.median(seconds / size))
    return Link(bandwidth=1.0 / float(per_byte), latency=float(latency))
