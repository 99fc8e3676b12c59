"""Calls that measurements time, and the points of a layer for :func:`measure_kernels`."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from moe_costmodel._arrays import Ints
from moe_costmodel._checks import invalid
from moe_costmodel.buffering.replay import expert_streams
from moe_costmodel.gating.rules import GateRule, apply_rule
from moe_costmodel.hardware import Hardware
from moe_costmodel.kernels.buffered import BufferedExperts
from moe_costmodel.kernels.dynamic import dynamic_gating, products_of
from moe_costmodel.kernels.experts import Experts
from moe_costmodel.kernels.offloaded import OffloadedExperts
from moe_costmodel.measure.measurements import At
from moe_costmodel.measure.timing import Call
from moe_costmodel.offloading.policies import Admission
from moe_costmodel.shapes import LayerShape, power_law_counts
from moela.files.guard import brief

__all__ = [
    "RUN",
    "SKEWS",
    "Job",
    "between_call",
    "choices_of",
    "copy_call",
    "draw_choices",
    "jobs_of",
    "layer_call",
    "offloaded_jobs",
    "random_experts",
    "rule_call",
    "share_buffers",
    "slow_experts",
    "step_call",
    "torch_type",
]

SKEWS = (0.0, 0.6, 1.2)  # exponents of the experts' popularity
_TYPES = ("float64", "float32", "bfloat16", "float16")
_CONTEXT = 32  # tokens that attention between layers attends to
RUN = 8  # steps of a run through a buffer


class Job(NamedTuple):
    """A point to be timed; fields as those of :class:`Record`, and the call."""

    kind: str
    shape: LayerShape
    at: At
    call: Call


def torch_type(owner: str, name: str, dtype: str) -> torch.dtype:
    """Return the type of torch that weights of a layer are measured in.

    A ValueError in the name of `owner` is raised if torch computes no products of it.
    """
    if dtype not in _TYPES:
        expected = f"of a dtype that torch computes, one of {', '.join(_TYPES)}"
        raise invalid(owner, name, f"dtype {brief(dtype)}", expected)
    found: torch.dtype = getattr(torch, dtype)
    return found


def random_experts(shape: LayerShape, seed: int = 0) -> Experts:
    """Return random experts of a shape, in CPU memory."""
    return Experts.random(
        shape.n_experts,
        shape.d_model,
        shape.d_ffn,
        seed=seed,
        gated=shape.gated,
        activation="silu" if shape.gated else "relu",
        dtype=torch_type("LayerShape", "dtype", shape.dtype),
    )


def slow_experts(experts: Experts, device: str, path: Path) -> Experts:
    """Return experts in the slow memory of a device: those of the CPU are mapped from a file."""
    return experts if device == "cuda" else Experts.map_file(experts.save(path))


def layer_call(x: Tensor, ids: Tensor, weights: Tensor, copies: Sequence[Experts]) -> Call:
    """Return a call that computes the layer, with the next copy of the experts each time."""
    device, experts = x.device, itertools.cycle(copies)
    ids, weights = ids.to(device), weights.to(device)
    return lambda: dynamic_gating(x, ids, weights, next(experts))


def step_call(
    buffer: BufferedExperts | OffloadedExperts, x: Tensor, ids: Tensor, weights: Tensor
) -> Call:
    """Return a call that computes the layer through a buffer."""
    ids, weights = ids.to(x.device), weights.to(x.device)
    return lambda: buffer(x, ids, weights)


def copy_call(slow: Experts, ids: Sequence[int], device: str) -> Call:
    """Return a call that copies the next of some experts from slow into fast memory."""
    up = torch.empty_like(slow.up[0], device=device)
    down = torch.empty_like(slow.down[0], device=device)
    order = itertools.cycle(ids)

    def call() -> None:
        expert = next(order)
        up.copy_(slow.up[expert], non_blocking=True)
        down.copy_(slow.down[expert], non_blocking=True)

    return call


def draw_choices(
    n_tokens: int,
    shape: LayerShape,
    skew: float,
    random: np.random.Generator,
    *,
    shuffle: bool = True,
) -> tuple[Ints, NDArray[np.float32]]:
    """Return ids and weights (n_tokens, k) of random choices, heaviest first.

    The popularity of experts is a power law of exponent `skew`, in the order of their ids unless
    it is shuffled. A token's weights sum to 1.
    """
    popularity = np.arange(1, shape.n_experts + 1) ** -skew
    if shuffle:
        random.shuffle(popularity)
    noise = random.gumbel(size=(n_tokens, shape.n_experts))
    ids = np.argsort(-(np.log(popularity) + noise), axis=1)[:, : shape.k]
    weights = -np.sort(-random.dirichlet(np.ones(shape.k), size=n_tokens), axis=1)
    return np.ascontiguousarray(ids), weights.astype(np.float32)


def share_buffers(buffers: Sequence[BufferedExperts], fast: Sequence[Experts]) -> None:
    """Let each buffer use the first experts of a larger fast memory, so that many share one."""
    for buffer, memory in zip(buffers, fast, strict=True):
        slots = buffer.fast.n_experts
        buffer.fast = replace(memory, up=memory.up[:slots], down=memory.down[:slots])


def choices_of(counts: Ints, n_tokens: int) -> tuple[Tensor, Tensor]:
    """Return ids and weights [n_tokens, k] that send ``counts[e]`` tokens to expert e.

    The sorted choices are dealt out in turn. No token gets an expert twice, because no expert has
    more than n_tokens. Unused entries of the last column have weight 0.
    """
    flat = torch.from_numpy(np.repeat(np.arange(len(counts)), counts))
    k = -(-len(flat) // n_tokens)
    unused = (0, n_tokens * k - len(flat))
    ids, weights = F.pad(flat, unused), F.pad(torch.full(flat.shape, 1.0 / k), unused)
    return ids.view(k, n_tokens).t().contiguous(), weights.view(k, n_tokens).t().contiguous()


def jobs_of(
    shape: LayerShape,
    hardware: Hardware,
    tokens: Sequence[int],
    random: np.random.Generator,
    folder: Path,
    rotate_bytes: int,
) -> list[Job]:
    """Prepare the points of one layer; parameters as for :func:`measure_kernels`."""
    device, dtype = hardware.device, torch_type("LayerShape", "dtype", shape.dtype)
    cpu_experts = random_experts(shape)
    experts = cpu_experts.to(device)
    n_copies = min(32, max(1, round(rotate_bytes / (shape.n_experts * experts.expert_bytes))))
    copies = [
        replace(experts, up=experts.up.clone(), down=experts.down.clone()) for _ in range(n_copies)
    ]
    gate = torch.randn(shape.n_experts, shape.d_model, device=device, dtype=dtype)
    jobs: list[Job] = []
    for n_tokens in tokens:
        x = torch.randn(n_tokens, shape.d_model, device=device).to(dtype)
        jobs.append(Job("gating", shape, {"tokens": n_tokens}, _router(x, gate, shape.k)))
        jobs.append(Job("rule", shape, {"tokens": n_tokens}, rule_call(shape, n_tokens, device)))
        for skew in SKEWS:
            # Gate rules leave tokens fewer experts, so layers with fewer choices are measured too.
            kept = replace(shape, k=int(random.integers(1, shape.k + 1)) if skew else shape.k)
            counts = power_law_counts(n_tokens, kept, skew, random)
            at: At = {"tokens": n_tokens, "counts": counts.tolist()}
            layer = layer_call(x, *choices_of(counts, n_tokens), copies)
            jobs.append(Job("layer", shape, at, layer))
            jobs.append(Job("products", shape, at, _products(counts, copies)))
    slow = slow_experts(cpu_experts, device, folder / f"{id(experts)}.safetensors")
    source = slow.pinned() if device == "cuda" else slow
    copy = copy_call(source, range(shape.n_experts), device)
    jobs.append(Job("copy", shape, {"bytes": experts.expert_bytes}, copy))
    for capacity in sorted({1, shape.n_experts // 4, shape.n_experts // 2} - {0}):
        for n_tokens in (1, 4, 16):
            counts = np.stack([power_law_counts(n_tokens, shape, 0.6, random) for _ in range(RUN)])
            stream = expert_streams(counts[:, None], np.zeros(shape.n_experts, int), 1)[0][0]
            misses = int(stream.misses([capacity], "paper").sum())
            at = {"tokens": n_tokens, "counts": counts.tolist(), "capacity": capacity}
            at["misses"] = misses
            x = torch.randn(n_tokens, shape.d_model, device=device).to(dtype)
            buffer = BufferedExperts(slow, capacity, device=device)
            jobs.append(Job("buffered", shape, at, _run(buffer, x, counts)))
    jobs += offloaded_jobs(shape, slow, tokens, random, device)
    for batch_size, context in itertools.product((1, 4, 16), (16, 128, 512)):
        at = {"batch": batch_size, "context": context, "tokens": batch_size}
        rest = _rest(shape.d_model, batch_size, context, device, dtype)
        jobs.append(Job("rest", shape, at, rest))
    return jobs


def offloaded_jobs(
    shape: LayerShape,
    slow: Experts,
    tokens: Sequence[int],
    random: np.random.Generator,
    device: str,
) -> list[Job]:
    """Prepare runs whose misses are computed in slow memory, and one that misses nothing.

    Attention runs after every step, so that uploads have something to run behind.
    """
    n, jobs = shape.n_experts, []
    memory = slow.to(device, copy=True)
    settings = [(n, math.inf, 1), (1, 0.0, 1)]
    settings += [(c, math.inf, 1) for c in sorted({max(1, n // 4), max(1, n // 2)})]
    settings += [(max(1, n // 2), 1.0, 1), (max(1, n // 2), math.inf, 2)]
    for n_tokens in [size for size in tokens if size in (1, 4, 16)]:
        counts = np.stack([power_law_counts(n_tokens, shape, 0.6, random) for _ in range(RUN)])
        x = torch.randn(n_tokens, shape.d_model, device=device).to(memory.up.dtype)
        for capacity, per_step, after in settings:
            start = np.ones(n) if capacity == n else None
            layer = OffloadedExperts(
                slow, capacity, policy="lru", admission=Admission(after=after, per_step=per_step),
                start=start, device=device, fast=memory,
            )  # fmt: skip
            needed = [np.flatnonzero(row).tolist() for row in counts]
            events = [layer.residency.event(experts) for experts in needed]
            at: At = {"tokens": n_tokens, "counts": counts.tolist(), "capacity": capacity}
            at["misses"] = sum(slot < 0 for event in events for slot in event.slots)
            at["uploads"] = sum(len(event.uploads) for event in events)
            jobs.append(Job("offloaded", shape, at, _offloaded_run(layer, x, counts, shape)))
    return jobs


def _offloaded_run(layer: OffloadedExperts, x: Tensor, counts: Ints, shape: LayerShape) -> Call:
    """Return a call that runs some steps, each followed by attention."""
    steps = [step_call(layer, x, *choices_of(row, len(x))) for row in counts]
    between = between_call(shape, x)

    def call() -> None:
        if layer.residency.capacity < layer.slow.n_experts:
            layer.reset()  # nothing is copied, since it begins empty
        for step in steps:
            step()
            between()

    return call


def rule_call(shape: LayerShape, n_tokens: int, device: torch.device | str) -> Call:
    """Return a call that applies a gate rule to the choices of `n_tokens` tokens.

    Top-p takes longest of the rules on a GPU; on a CPU all take the same time.
    """
    weights = torch.rand(n_tokens, shape.k, device=device)
    rule = GateRule("top-p", 0.7)
    return lambda: apply_rule(weights, rule)


def between_call(shape: LayerShape, x: Tensor) -> Call:
    """Return a call of what a model computes before an MoE layer: attention, norms and router."""
    device, dtype = x.device, x.dtype
    attention = _rest(shape.d_model, len(x), _CONTEXT, str(device), dtype)
    gate = torch.randn(shape.n_experts, shape.d_model, device=device, dtype=dtype)
    router = _router(x, gate, shape.k)

    def call() -> None:
        F.rms_norm(x, x.shape[1:])
        attention()
        F.rms_norm(x, x.shape[1:])
        router()

    return call


def _router(x: Tensor, gate: Tensor, k: int) -> Call:
    return lambda: F.linear(x, gate).float().softmax(dim=-1).topk(k, dim=-1)


def _products(counts: Ints, copies: Sequence[Experts]) -> Call:
    rows = torch.randn(int(counts.sum()), copies[0].d_model).to(copies[0].up)
    sizes = torch.from_numpy(counts).to(rows.device)
    experts = itertools.cycle(copies)
    return lambda: products_of(rows, sizes, next(experts))


def _run(buffer: BufferedExperts, x: Tensor, counts: Ints) -> Call:
    """Return a call that runs some steps through a buffer that is empty at first."""
    steps = [step_call(buffer, x, *choices_of(row, len(x))) for row in counts]

    def call() -> None:
        buffer.reset()
        for step in steps:
            step()

    return call


def _rest(width: int, batch_size: int, context: int, device: str, dtype: torch.dtype) -> Call:
    """Return a call of one decode step of a layer's attention, with projections and KV cache."""
    head = min(64, width)
    heads = width // head
    normal = partial(torch.randn, device=device)
    x = normal(batch_size, 1, width).to(dtype)
    qkv = normal(3 * width, width).to(dtype) * width**-0.5
    out = normal(width, width).to(dtype) * width**-0.5
    keys, values = normal(2, batch_size, heads, context, head).to(dtype)

    def call() -> Tensor:
        projected = F.linear(x, qkv)[..., : 3 * heads * head]
        q, k, v = projected.view(batch_size, 3, heads, head).unbind(1)
        keys[:, :, -1], values[:, :, -1] = k, v
        mixed = F.scaled_dot_product_attention(q[:, :, None], keys, values)
        return F.linear(mixed.reshape(batch_size, heads * head), out[:, : heads * head])

    return call
