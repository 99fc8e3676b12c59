"""Measurement of MoE layers as a model runs them: in a stack, each layer with its own weights.

A kernel that is called again and again finds its weights and its code in the caches. In a model the
other layers run in between, so layers are timed here in a stack, and before each of them runs an
attention and a router that are not timed. If the model itself is at hand, `measure_model` times the
layers in it, which is more accurate.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch

from moe_costmodel._arrays import Ints
from moe_costmodel._checks import count, invalid, one_of
from moe_costmodel.hardware import Hardware, Link
from moe_costmodel.kernels.buffered import BufferedExperts
from moe_costmodel.kernels.experts import Experts
from moe_costmodel.kernels.replacement import ONLINE_POLICIES
from moe_costmodel.measure.jobs import (
    RUN,
    SKEWS,
    between_call,
    copy_call,
    layer_call,
    random_experts,
    rule_call,
    share_buffers,
    slow_experts,
    step_call,
    torch_type,
)
from moe_costmodel.measure.measurements import At, Measurements, Record
from moe_costmodel.measure.timing import Call, clock_for, clock_of, pinned_threads, scratch_folder
from moe_costmodel.shapes import LayerShape
from moela.heartbeat.working import long_work

__all__ = ["StackTimer", "measure_stack"]

_KEPT = (1.0, 0.8, 0.5)
_EIGHTHS = (1, 2, 4, 6, 7)  # of the experts, that buffers hold


@dataclass(frozen=True)
class _Memory:
    """Experts of a layer, the same in slow memory, and fast memory for the largest buffer."""

    layers: Experts
    slow: Experts
    fast: Experts


@dataclass
class _Point:
    """Calls whose times are added up, and the point that they measure."""

    kind: str
    at: At
    shape: LayerShape
    calls: list[Call]
    between: Call  # what a model computes before the layer, not timed
    buffer: BufferedExperts | None = None
    repeats: list[float] = field(default_factory=list)


class StackTimer:
    """Stacks of `n_layers` layers, one or more for each shape, that are timed in turns.

    A shape with fewer `n_local` than `n_experts` is the part of a layer that one device has: tokens
    choose among all experts, and the device computes its own.

    The files that are the slow memory of a CPU go into an empty folder. All shapes and buffers use
    parts of the same memory, which is 1 7/8 times that of the largest shape's experts. `tokens` are
    the sizes of steps, and `policies` those of the buffers, which take different times to choose an
    expert. `clock` is as for :func:`moe_costmodel.measure_kernels`. Routing and order are random.
    """

    def __init__(
        self,
        hardware: Hardware,
        shapes: Sequence[LayerShape],
        *,
        n_layers: int,
        folder: str | Path,
        tokens: Sequence[int] = (1, 2, 4, 8, 16, 32, 64),
        policies: Sequence[str] = ("paper",),
        clock: str | None = None,
        random_state: np.random.Generator | int | None = 0,
    ) -> None:
        count("measure_stack", "n_layers", n_layers)
        clock = clock_for(clock, hardware.threads)
        for policy in policies:
            one_of("measure_stack", "policies", policy, ONLINE_POLICIES)
        if not shapes or not tokens:
            raise invalid("measure_stack", "shapes", list(shapes), "not empty, nor tokens")
        self.hardware, self.clock, self.n_layers = hardware, clock, n_layers
        self._random = np.random.default_rng(random_state)
        self._now = clock_of(clock, hardware.device)
        self._stacks: list[list[_Point]] = []
        largest = max(shapes, key=lambda shape: shape.n_local * shape.expert_bytes)
        self._layers = self._memory(largest, Path(folder))
        for shape in shapes:
            layers = self._layers
            if shape != largest:
                layers = [_parts_of(memory, shape) for memory in layers]
            self._add_stacks(shape, tokens, policies, layers)

    def _memory(self, shape: LayerShape, folder: Path) -> list[_Memory]:
        """Return the memory of every layer, for the largest shape."""
        device, out = self.hardware.device, []
        n = shape.n_local
        most = max(1, n * max(_EIGHTHS) // 8)
        for layer in range(self.n_layers):
            experts = random_experts(replace(shape, n_experts=n, k=min(shape.k, n)), seed=layer)
            slow = slow_experts(experts, device, folder / f"{layer}.safetensors")
            # On a CPU, a page of the file that was read is as fast as other memory.
            layers = slow if device == "cpu" else experts.to(device)
            fast = replace(
                layers,
                up=layers.up.new_zeros(most, *layers.up.shape[1:]),
                down=layers.down.new_zeros(most, *layers.down.shape[1:]),
            )
            out.append(_Memory(layers, slow, fast))
        return out

    def _add_stacks(
        self,
        shape: LayerShape,
        tokens: Sequence[int],
        policies: Sequence[str],
        memory: list[_Memory],
    ) -> None:
        """Prepare the points of a shape, one list for each stack."""
        device = self.hardware.device
        dtype = torch_type("LayerShape", "dtype", shape.dtype)
        random = self._random
        layers, slow = [m.layers for m in memory], [m.slow for m in memory]
        for n_tokens in tokens:
            x = torch.randn(n_tokens, shape.d_model, device=device).to(dtype)
            between = between_call(shape, x)
            rule = rule_call(shape, n_tokens, x.device)
            point = _Point("rule", {"tokens": n_tokens}, shape, [rule], between)
            self._stacks.append([replace(point, repeats=[]) for _ in layers])
            for skew in SKEWS:
                for kept in _KEPT:
                    stack = []
                    for experts in layers:
                        ids, weights, counts = _draw(n_tokens, shape, skew, kept, random)
                        at: At = {"tokens": n_tokens, "counts": counts.tolist()}
                        call = layer_call(x, ids, weights, [experts])
                        stack.append(_Point("layer", at, shape, [call], between))
                    self._stacks.append(stack)
            for capacity in sorted({max(1, shape.n_local * i // 8) for i in _EIGHTHS}):
                skew, kept = random.choice(SKEWS[1:]), random.choice(_KEPT)
                stack = []
                for experts, policy in zip(slow, itertools.cycle(policies), strict=False):
                    buffer = BufferedExperts(experts, capacity, policy=policy, device=x.device)
                    stack.append(self._run(shape, buffer, x, skew, kept, between))
                share_buffers([p.buffer for p in stack if p.buffer], [m.fast for m in memory])
                self._stacks.append(stack)
        for experts in slow:
            copy = copy_call(experts, [int(random.integers(shape.n_local))], device)
            at = {"bytes": shape.expert_bytes}
            self._stacks.append([_Point("copy", at, shape, [copy], between)])

    def _run(
        self,
        shape: LayerShape,
        buffer: BufferedExperts,
        x: torch.Tensor,
        skew: float,
        kept: float,
        between: Call,
    ) -> _Point:
        """Prepare a run of several steps through a buffer that is empty at first."""
        calls, counts = [], []
        for _ in range(RUN):
            ids, weights, tokens = _draw(len(x), shape, skew, kept, self._random)
            calls.append(step_call(buffer, x, ids, weights))
            counts.append(tokens.tolist())
        at = {"tokens": len(x), "counts": counts, "capacity": buffer.replacement.capacity}
        return _Point("buffered", at, shape, calls, between, buffer)

    def turn(self, *, keep: bool = True) -> None:
        """Time every stack once, in random order; without `keep`, only to warm up."""
        with torch.no_grad():
            for i in self._random.permutation(len(self._stacks)):
                _time(self._stacks[i], self._now, keep=keep)

    def measurements(self) -> Measurements:
        """Return the times of all turns: kinds "layer", "rule", "buffered", "copy"; and a link."""
        points = [point for stack in self._stacks for point in stack]
        if not points[0].repeats:
            raise invalid("measure_stack", "repeats", 0, "at least one turn")
        records = [Record(p.kind, p.at, p.repeats, p.shape) for p in points]
        copies = [record for record in records if record.kind == "copy"]
        rate = np.median([record.at["bytes"] / record.seconds for record in copies])
        return Measurements.taken_now(
            self.hardware,
            records,
            links={"slow_to_fast": Link(bandwidth=float(rate))},
            clock=self.clock,
            notes=[f"stacks of {self.n_layers} layers"],
        )


def _parts_of(memory: _Memory, shape: LayerShape) -> _Memory:
    """Return parts of a larger shape's memory as experts of `shape`."""

    def part(experts: Experts, n_experts: int) -> Experts:
        inner = shape.d_ffn * (2 if shape.gated else 1)
        sizes = (n_experts, inner, shape.d_model), (n_experts, shape.d_model, shape.d_ffn)
        views = [
            tensor.reshape(-1)[: int(np.prod(size))].view(size)
            for tensor, size in zip((experts.up, experts.down), sizes, strict=True)
        ]
        activation = "silu" if shape.gated else "relu"
        return Experts(views[0], views[1], activation, shape.gated)

    most = max(1, shape.n_local * max(_EIGHTHS) // 8)
    return _Memory(
        part(memory.layers, shape.n_local),
        part(memory.slow, shape.n_local),
        part(memory.fast, most),
    )


@long_work("measuring stacks of layers")
def measure_stack(
    hardware: Hardware, shapes: Sequence[LayerShape], *, repeats: int = 9, **options: object
) -> Measurements:
    """Measure layers, resident and buffered, in stacks; `options` are those of StackTimer.

    All points are timed in each of the `repeats` turns, so that a machine that slows down affects
    all of them.
    """
    count("measure_stack", "repeats", repeats)
    with (
        pinned_threads(hardware.threads),
        scratch_folder() as folder,
    ):
        timer = StackTimer(hardware, shapes, folder=folder, **options)  # type: ignore[arg-type]
        timer.turn(keep=False)
        for _ in range(repeats):
            timer.turn()
        return timer.measurements()


def _time(stack: list[_Point], now: Callable[[], float], *, keep: bool) -> None:
    """Run the calls of a stack in the order of a model: step by step, all layers of a step."""
    seconds = np.zeros(len(stack))
    for point in stack:
        if point.buffer is not None:
            point.buffer.reset()
    for step in range(len(stack[0].calls)):
        for i, point in enumerate(stack):
            point.between()
            started = now()
            point.calls[step]()
            seconds[i] += now() - started
    for i, point in enumerate(stack):
        if point.buffer is not None:
            point.at["misses"] = point.buffer.statistics.misses
        if keep:
            point.repeats.append(float(seconds[i]))


def _draw(
    n_tokens: int, shape: LayerShape, skew: float, kept: float, random: np.random.Generator
) -> tuple[torch.Tensor, torch.Tensor, Ints]:
    """Return ids, weights (S, k) and counts of random choices with power-law popularity.

    A share `kept` of the choices, and the first choice of each token, have a weight above 0, if
    they are of the experts of this device; the others have the id 0.
    """
    popularity = np.arange(1, shape.n_experts + 1) ** -skew
    random.shuffle(popularity)
    noise = random.gumbel(size=(n_tokens, shape.n_experts))
    ids = np.argsort(-(np.log(popularity) + noise), axis=1)[:, : shape.k]
    stays = random.random(ids.shape) < kept
    stays[:, 0] = True
    own = ids < shape.n_local
    ids, stays = np.where(own, ids, 0), stays & own
    weights = torch.from_numpy(stays / shape.k).float()
    counts = np.bincount(ids[stays], minlength=shape.n_local)
    return torch.from_numpy(np.ascontiguousarray(ids)), weights, counts
