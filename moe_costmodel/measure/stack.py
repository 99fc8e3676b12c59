"""Timing MoE layers as a model runs them: one after the other, each with weights of its own.

A kernel that is called again and again finds its weights, and itself, in the caches. In a model the
other layers run in between, so layers are timed here in a stack. A stack of a model's own layers is
the best measurement there is of a plan for that model.
"""

from __future__ import annotations

import datetime
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from moe_costmodel._arrays import Ints
from moe_costmodel._checks import count, invalid, one_of
from moe_costmodel.hardware import Hardware, Link
from moe_costmodel.kernels.buffered import BufferedExperts, BufferStatistics
from moe_costmodel.kernels.dynamic import dynamic_gating
from moe_costmodel.kernels.experts import Experts
from moe_costmodel.kernels.replacement import ONLINE_POLICIES, Replacement
from moe_costmodel.measure.measurements import Measurements, Record
from moe_costmodel.shapes import LayerShape

__all__ = ["StackTimer", "clock_of", "measure_stack", "pinned_threads"]

_KEPT = (1.0, 0.8, 0.5)
_SKEWS = (0.0, 0.6, 1.2)
_RUN = 8


@contextmanager
def pinned_threads(n: int) -> Iterator[None]:
    """Let torch use `n` threads meanwhile."""
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def clock_of(name: str, device: str) -> Callable[[], float]:
    """Return a clock that reads seconds, once the device has done what it was given."""
    if device == "cuda":

        def synchronized() -> float:
            torch.cuda.synchronize()
            return time.perf_counter()

        return synchronized
    return time.perf_counter if name == "wall" else time.process_time


@dataclass
class _Point:
    """Calls that are timed together, and what they are."""

    kind: str
    at: dict[str, Any]
    shape: LayerShape
    calls: list[Callable[[], Any]]
    buffer: BufferedExperts | None = None
    repeats: list[float] = field(default_factory=list)


class StackTimer:
    """Layers of a machine in stacks, ready to be timed turn by turn.

    Parameters
    ----------
    hardware : Hardware
        This machine.
    shapes : sequence of LayerShape
        Layers to measure; each makes a stack of its own.
    n_layers : int
        Layers of a stack.
    folder : path
        Empty; where slow memory is a file, it is here.
    tokens : sequence of int
        Sizes of steps.
    policies : sequence of str
        Policies of the buffers; keeping their books takes some longer than others.
    clock : {"wall", "cpu"}
        Elapsed time, or that of the process (CPU only).
    random_state : Generator or int, optional
        Draws routing and order.

    Raises
    ------
    ValueError
        If there is no shape or size, or a parameter is out of its range.
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
        clock: str = "wall",
        random_state: np.random.Generator | int | None = 0,
    ) -> None:
        count("measure_stack", "n_layers", n_layers)
        one_of("measure_stack", "clock", clock, ("wall", "cpu"))
        for policy in policies:
            one_of("measure_stack", "policies", policy, ONLINE_POLICIES)
        if not shapes or not tokens:
            raise invalid("measure_stack", "shapes", list(shapes), "not empty, nor tokens")
        self.hardware, self.clock, self.n_layers = hardware, clock, n_layers
        self._random = np.random.default_rng(random_state)
        self._now = clock_of(clock, hardware.device)
        self._stacks: list[list[_Point]] = []
        for number, shape in enumerate(shapes):
            part = Path(folder) / str(number)
            part.mkdir()
            self._stacks += _stacks(shape, hardware, n_layers, tokens, policies, self._random, part)

    def turn(self, *, keep: bool = True) -> None:
        """Time every stack once, in random order; without `keep`, only warm up."""
        with torch.no_grad():
            for i in self._random.permutation(len(self._stacks)):
                _time(self._stacks[i], self._now, keep=keep)

    def measurements(self) -> Measurements:
        """Return what the turns took: kinds "layer", "buffered", "copy"; link "slow_to_fast"."""
        points = [point for stack in self._stacks for point in stack]
        if not points[0].repeats:
            raise invalid("measure_stack", "repeats", 0, "at least one turn")
        records = [Record(p.kind, p.at, p.repeats, p.shape) for p in points]
        copies = [record for record in records if record.kind == "copy"]
        rate = np.median([record.at["bytes"] / record.seconds for record in copies])
        links = self.hardware.links | {"slow_to_fast": Link(bandwidth=float(rate))}
        return Measurements(
            replace(self.hardware, links=links),
            records,
            "cuda" if self.hardware.device == "cuda" else self.clock,
            datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            [f"stacks of {self.n_layers} layers"],
        )


def measure_stack(
    hardware: Hardware, shapes: Sequence[LayerShape], *, repeats: int = 9, **options: Any
) -> Measurements:
    """Measure layers, resident and buffered, in stacks.

    Parameters
    ----------
    hardware, shapes
        As for :class:`StackTimer`.
    repeats : int
        Of everything; all points take turns, so that a machine that slows down disturbs all alike.
    **options
        The other parameters of :class:`StackTimer`; `n_layers` is required.

    Returns
    -------
    Measurements

    Raises
    ------
    ValueError
        If there is no shape or size, or a parameter is out of its range.
    """
    count("measure_stack", "repeats", repeats)
    with pinned_threads(hardware.threads), tempfile.TemporaryDirectory() as folder:
        timer = StackTimer(hardware, shapes, folder=folder, **options)
        timer.turn(keep=False)
        for _ in range(repeats):
            timer.turn()
        return timer.measurements()


def _time(stack: list[_Point], now: Callable[[], float], *, keep: bool) -> None:
    """Run a stack's calls in the order of a model: the first of every layer, then the second."""
    took = np.zeros(len(stack))
    for point in stack:
        if point.buffer is not None:
            used = point.buffer.replacement
            point.buffer.replacement = Replacement(used.capacity, used.policy)
            point.buffer.statistics = BufferStatistics()
    for step in range(len(stack[0].calls)):
        for i, point in enumerate(stack):
            started = now()
            point.calls[step]()
            took[i] += now() - started
    for i, point in enumerate(stack):
        if point.buffer is not None:
            point.at["misses"] = point.buffer.statistics.misses
        if keep:
            point.repeats.append(float(took[i]))


def _stacks(
    shape: LayerShape,
    hardware: Hardware,
    n_layers: int,
    tokens: Sequence[int],
    policies: Sequence[str],
    random: np.random.Generator,
    folder: Path,
) -> list[list[_Point]]:
    """Prepare the points of a shape, one list for every stack that runs together."""
    device, dtype = hardware.device, getattr(torch, shape.dtype)
    layers, slow = [], []
    for layer in range(n_layers):
        experts = Experts.random(
            shape.n_experts,
            shape.d_model,
            shape.d_ffn,
            seed=layer,
            gated=shape.gated,
            activation="silu" if shape.gated else "relu",
            dtype=dtype,
        )
        layers.append(experts.to(device))
        on_cpu = device == "cpu"
        slow.append(
            Experts.map_file(experts.save(folder / f"{layer}.safetensors")) if on_cpu else experts
        )
    stacks = []
    for n_tokens in tokens:
        x = torch.randn(n_tokens, shape.d_model, device=device).to(dtype)
        for skew in _SKEWS:
            for kept in _KEPT:
                stack = []
                for experts in layers:
                    ids, weights, counts = _draw(n_tokens, shape, skew, kept, random)
                    call = _layer(x, ids.to(device), weights.to(device), experts)
                    at = {"tokens": n_tokens, "counts": counts.tolist()}
                    stack.append(_Point("layer", at, shape, [call]))
                stacks.append(stack)
        for capacity in sorted({max(1, shape.n_experts * i // 8) for i in (1, 2, 4, 6, 7)}):
            skew, kept = random.choice(_SKEWS[1:]), random.choice(_KEPT)
            stacks.append(_buffered(shape, slow, capacity, policies, x, skew, kept, random, device))
    for experts in slow:
        up, down = torch.empty_like(experts.up[0]), torch.empty_like(experts.down[0])
        copy = _copy(experts, up.to(device), down.to(device), random)
        stacks.append([_Point("copy", {"bytes": shape.expert_bytes}, shape, [copy])])
    return stacks


def _draw(
    n_tokens: int, shape: LayerShape, skew: float, kept: float, random: np.random.Generator
) -> tuple[torch.Tensor, torch.Tensor, Ints]:
    """Draw choices (S, k) of experts whose popularity falls as a power; drop some of them."""
    popularity = np.arange(1, shape.n_experts + 1) ** -skew
    random.shuffle(popularity)
    noise = random.gumbel(size=(n_tokens, shape.n_experts))
    ids = np.argsort(-(np.log(popularity) + noise), axis=1)[:, : shape.k]
    stays = random.random(ids.shape) < kept
    stays[:, 0] = True
    weights = torch.from_numpy(stays / shape.k).float()
    counts = np.bincount(ids[stays], minlength=shape.n_experts)
    return torch.from_numpy(np.ascontiguousarray(ids)), weights, counts


def _layer(
    x: torch.Tensor, ids: torch.Tensor, weights: torch.Tensor, experts: Experts
) -> Callable[[], Any]:
    return lambda: dynamic_gating(x, ids, weights, experts)


def _buffered(
    shape: LayerShape,
    slow: Sequence[Experts],
    capacity: int,
    policies: Sequence[str],
    x: torch.Tensor,
    skew: float,
    kept: float,
    random: np.random.Generator,
    device: str,
) -> list[_Point]:
    """Prepare runs of some steps, through a buffer of every layer that starts empty."""
    stack = []
    for number, experts in enumerate(slow):
        policy = policies[number % len(policies)]
        buffer = BufferedExperts(experts, capacity, policy=policy, device=device)
        calls, counts = [], []
        for _ in range(_RUN):
            ids, weights, tokens = _draw(len(x), shape, skew, kept, random)
            calls.append(_through(buffer, x, ids.to(device), weights.to(device)))
            counts.append(tokens.tolist())
        at = {"tokens": len(x), "counts": counts, "capacity": capacity}
        stack.append(_Point("buffered", at, shape, calls, buffer))
    return stack


def _through(
    buffer: BufferedExperts, x: torch.Tensor, ids: torch.Tensor, weights: torch.Tensor
) -> Callable[[], Any]:
    return lambda: buffer(x, ids, weights)


def _copy(
    experts: Experts, up: torch.Tensor, down: torch.Tensor, random: np.random.Generator
) -> Callable[[], Any]:
    chosen = int(random.integers(experts.n_experts))

    def call() -> None:
        up.copy_(experts.up[chosen], non_blocking=True)
        down.copy_(experts.down[chosen], non_blocking=True)

    return call
