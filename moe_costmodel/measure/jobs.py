"""What is measured of a layer: each point as a call that can be timed."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from moe_costmodel._arrays import Ints
from moe_costmodel.buffering.replay import expert_streams
from moe_costmodel.hardware import Hardware
from moe_costmodel.kernels.buffered import BufferedExperts
from moe_costmodel.kernels.dynamic import dynamic_gating, expert_products
from moe_costmodel.kernels.experts import Experts
from moe_costmodel.kernels.replacement import Replacement
from moe_costmodel.shapes import LayerShape, power_law_counts

__all__ = ["Job", "choices_of", "jobs_of"]

_SKEWS = (0.0, 0.6, 1.2)
_RUN = 8
# (kind, layer, what is measured, the call)
Job = tuple[str, LayerShape | None, dict[str, Any], Callable[[], Any]]


def choices_of(counts: Ints, n_tokens: int) -> tuple[torch.Tensor, torch.Tensor]:
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


def jobs_of(
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
