"""Calls that measurements time: an MoE layer, a copy of an expert, a step through a buffer."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from moe_costmodel.kernels.buffered import BufferedExperts
from moe_costmodel.kernels.dynamic import dynamic_gating
from moe_costmodel.kernels.experts import Experts
from moe_costmodel.measure.timing import Call
from moe_costmodel.shapes import LayerShape

__all__ = ["RUN", "SKEWS", "copy_call", "layer_call", "random_experts", "slow_experts", "step_call"]

SKEWS = (0.0, 0.6, 1.2)  # exponents of the experts' popularity
RUN = 8  # steps of a run through a buffer


def random_experts(shape: LayerShape, seed: int = 0) -> Experts:
    """Return random experts of a shape, in CPU memory."""
    return Experts.random(
        shape.n_experts,
        shape.d_model,
        shape.d_ffn,
        seed=seed,
        gated=shape.gated,
        activation="silu" if shape.gated else "relu",
        dtype=getattr(torch, shape.dtype),
    )


def slow_experts(experts: Experts, device: str, path: Path) -> Experts:
    """Return experts in the slow memory of a device: those of the CPU are mapped from a file."""
    return experts if device == "cuda" else Experts.map_file(experts.save(path))


def layer_call(x: Tensor, ids: Tensor, weights: Tensor, copies: Sequence[Experts]) -> Call:
    """Return a call that computes the layer, with the next copy of the experts each time."""
    device, experts = x.device, itertools.cycle(copies)
    ids, weights = ids.to(device), weights.to(device)
    return lambda: dynamic_gating(x, ids, weights, next(experts))


def step_call(buffer: BufferedExperts, x: Tensor, ids: Tensor, weights: Tensor) -> Call:
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
