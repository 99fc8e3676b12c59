"""Timing of a model as it runs: every MoE layer where it stands, and the rest of the step.

A layer takes longer inside a model than alone: attention, norms and routers evict its weights and
its code from the caches. So the layers are timed in the model, with drawn routing, and the rest is
what is left of the step.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import cycle, zip_longest
from types import MappingProxyType

import numpy as np
import torch
from torch import Tensor, nn

from moe_costmodel._arrays import Floats
from moe_costmodel._checks import count, invalid
from moe_costmodel.gating.rules import GateRule, apply_rule, keep_mask
from moe_costmodel.kernels.buffered import BufferedExperts
from moe_costmodel.kernels.dynamic import dynamic_gating
from moe_costmodel.kernels.experts import Experts
from moe_costmodel.latency.steps.model_steps import (
    Layer,
    Prefixes,
    StepCall,
    decode_sizes,
    decode_step,
    is_example,
    layers_of,
    prefill_step,
    replaced_layers,
    with_sizes_between,
)
from moe_costmodel.measure.jobs import RUN
from moe_costmodel.measure.measurements import At, Record
from moe_costmodel.measure.step_routing import Choices, StepRouting
from moe_costmodel.measure.timing import clock_of, coarse_to_fine
from moe_costmodel.shapes import LayerShape
from moe_costmodel.traces.families import count_chosen, find_routers
from moe_costmodel.traces.trace import RoutingTrace

__all__ = ["ModelTimer"]

_RULES = (
    None, None, GateRule("top-p", 0.8), GateRule("top-p", 0.5), GateRule("top-k", 1), None,
)  # fmt: skip
_SKEWS = (0.0, 1.2, 0.6, 1.2, 0.6, 0.6)
_PREFILL_DRAWS = (0, 2, 3)
_PART_DRAWS = (0, 1, 3)
_LEAD = 2  # steps before the one that is timed, which leave the caches as a running model does
_WHOLE = 4  # steps that are timed as a whole, one after another
_CAPACITIES = (0.25, 0.5, 0.75, 0.875)  # shares of the experts that a buffer holds


@dataclass
class _Draw:
    """Routing of one layer in one step."""

    ids: Tensor
    weights: Tensor
    rule: GateRule | None
    counts: list[int]  # tokens of each of the device's experts under the rule


@dataclass
class _Point:
    """Steps that are timed together: each layer's draws, and the times of all repeats."""

    step: StepCall
    draws: list[list[_Draw]]  # by step and layer
    lead: int = 0  # first steps, which are not timed
    n_local: int = 0  # experts of a device
    buffers: dict[int, BufferedExperts] = field(default_factory=dict)  # by layer
    seconds: list[Floats] = field(default_factory=list)  # a repeat: layers, rules and the rest
    misses: dict[int, int] = field(default_factory=dict)
    is_whole: bool = False  # whether only the whole step is timed


class ModelTimer:
    """Times the layers and the rest of a model in steps of several sizes, in turns.

    Parameters
    ----------
    model : Module
        The packaged example model, or a causal language model of Hugging Face whose experts are
        beside its routers. It is used as it is. Beside it, memory is needed for the largest KV
        cache, and if there are `policies`, for half of the experts.
    batch_sizes, contexts : sequence of int
        Sequences that are decoded together, and tokens in the cache of each; none to leave decode
        out. All batch sizes are timed at the middle context, the largest one at the shortest, and
        the smallest and the middle one at the longest.
    prompts : sequence of int
        Lengths of prompts, `with_sizes_between` them; none to leave prefill out.
    policies : sequence of str
        Eviction policies of buffers; none to leave buffers out.
    n_devices : sequence of int
        Numbers of devices among which the experts are divided; of several, the first device's part
        of a layer is timed in decode.
    trace : RoutingTrace, optional
        Recorded routing with weights, whose steps the layers are timed in; by default, and where
        it has no step of a size, routing is drawn.
    routing : bool
        Whether layers run with drawn routing, by dynamic gating, as plans run them. If not, the
        model computes its layers itself, and only the rest is measured.
    clock : {"wall", "cpu"}
        As for :func:`moe_costmodel.measure.timing.time_call`.
    random_state : Generator or int, optional
        Source of routing and order.
    options : mapping
        Passed to every call of the model.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        batch_sizes: Sequence[int] = (1, 2, 4, 8, 16, 32),
        contexts: Sequence[int] = (16, 128, 512),
        prompts: Sequence[int] = (64, 256, 1024),
        policies: Sequence[str] = (),
        n_devices: Sequence[int] = (1,),
        trace: RoutingTrace | None = None,
        routing: bool = True,
        clock: str = "cpu",
        random_state: np.random.Generator | int | None = 0,
        options: Mapping[str, object] = MappingProxyType({}),
    ) -> None:
        sizes = {"batch_sizes": batch_sizes, "contexts": contexts, "prompts": prompts}
        for name, values in sizes.items():
            for size in values:
                count("measure_rest", name, size)
        if not (batch_sizes and contexts) and not prompts:
            raise invalid("measure_rest", "batch_sizes", "nothing to time", "not empty")
        self.model, self.routing, self.clock = model, routing, clock
        self._random = np.random.default_rng(random_state)
        self._now = clock_of(clock, next(model.parameters()).device.type)
        layers_of(model)
        self.experts = self._experts() if routing else []
        self._parts = self._divided(n_devices) if routing else {}
        if routing:
            self._routing = StepRouting(self.shape, len(self.experts), self._random, trace)
        with torch.no_grad():
            self._points = list(self._steps(batch_sizes, contexts, prompts, policies, options))
        self._current: tuple[_Point, int, Floats] | None = None

    def _divided(self, n_devices: Sequence[int]) -> dict[int, list[Experts]]:
        """Return the first experts of each layer, by how many a device has."""
        n_experts, parts = self.experts[0].n_experts, {}
        for n in n_devices:
            if count("measure_model", "n_devices", n) > n_experts:
                expected = f"at most the {n_experts} experts of a layer"
                raise invalid("measure_model", "n_devices", n, expected)
            n_local = -(-n_experts // n)
            parts[n_local] = [
                replace(e, up=e.up[:n_local], down=e.down[:n_local]) for e in self.experts
            ]
        parts[n_experts] = self.experts
        return parts

    def _experts(self) -> list[Experts]:
        if is_example(self.model):
            held = [block.mlp.experts for block in self.model.model.layers]
            return [
                Experts(m.gate_up_proj.detach(), m.down_proj.detach(), "silu", True) for m in held
            ]
        return [Experts.from_module(module) for module in layers_of(self.model)]

    @property
    def d_model(self) -> int:
        """Width of the model."""
        return int(self.model.config.hidden_size)

    @property
    def shape(self) -> LayerShape:
        """Sizes of an MoE layer."""
        first = self.experts[0]
        return LayerShape(
            n_experts=first.n_experts,
            k=self._k,
            d_model=first.d_model,
            d_ffn=first.d_ffn,
            gated=first.gated,
            dtype=str(first.up.dtype).removeprefix("torch."),
        )

    @property
    def _k(self) -> int:
        if is_example(self.model):
            return int(self.model.model.layers[0].mlp.k)
        return count_chosen(self.model, next(iter(find_routers(self.model)[1])))

    def _steps(
        self,
        batch_sizes: Sequence[int],
        contexts: Sequence[int],
        prompts: Sequence[int],
        policies: Sequence[str],
        options: Mapping[str, object],
    ) -> Iterator[_Point]:
        """Yield the points; each size of a step has several draws of the routing."""
        prefixes = Prefixes(self.model, options)
        for batch_size, context in decode_sizes(sorted(batch_sizes), sorted(contexts)):
            step = decode_step(self.model, batch_size, context, prefixes=prefixes, **options)
            middle = context == sorted(contexts)[len(contexts) // 2]
            for draw in range(len(_RULES) if middle and self.routing else 1):
                yield self._point(step, draw)
            for n_local in self._parts if middle and self.routing else ():
                if n_local < self.shape.n_experts:
                    for draw in _PART_DRAWS:
                        yield self._point(step, draw, n_local)
            if policies and middle and self.routing:
                yield from self._buffered(step, policies)
            if middle and self.routing:
                yield self._whole(step)
        for n in with_sizes_between(prompts):
            step = prefill_step(self.model, n, **options)
            for draw in _PREFILL_DRAWS if self.routing else (0,):
                yield self._point(step, draw)
            if self.routing:
                yield self._whole(step)

    def _point(self, step: StepCall, number: int, n_local: int | None = None) -> _Point:
        if not self.routing:
            return _Point(step, [[]])
        n_local = n_local or self.shape.n_experts
        lead = _LEAD if step.mode == "decode" else 0
        return _Point(step, self._draws(step, number, n_local, lead + 1), lead, n_local)

    def _whole(self, step: StepCall) -> _Point:
        """Return steps without rules and buffers, whose parts are not timed."""
        lead, n = (_LEAD, _WHOLE) if step.mode == "decode" else (0, 1)
        draws = self._draws(step, 1, self.shape.n_experts, lead + n)
        return _Point(step, draws, lead, self.shape.n_experts, is_whole=True)

    def _draws(self, step: StepCall, number: int, n_local: int, n_steps: int) -> list[list[_Draw]]:
        """Return the routing of consecutive steps; of all numbers, 0 alone is always drawn."""
        steps = self._routing.steps(
            step.tokens, n_steps, mode=step.mode, skew=_SKEWS[number], recorded=number > 0
        )
        return [[self._draw(one, _RULES[number], n_local) for one in layers] for layers in steps]

    def _draw(self, choices: Choices, rule: GateRule | None, n_local: int) -> _Draw:
        shape, device = self.shape, self.experts[0].up.device
        ids, weights = choices
        kept = np.ones(ids.shape, bool) if rule is None else keep_mask(weights, rule)
        is_local = ids < n_local
        counts = np.bincount(ids[kept & is_local], minlength=n_local)
        if n_local < shape.n_experts:
            # What a rule drops is decided before the tokens are sent to their devices.
            weights, rule = np.where(kept & is_local, weights, 0).astype(np.float32), None
            ids = np.where(is_local, ids, 0)
        return _Draw(
            torch.from_numpy(ids).to(device),
            torch.from_numpy(weights).to(device),
            rule,
            counts.tolist(),
        )

    def _buffered(self, step: StepCall, policies: Sequence[str]) -> Iterator[_Point]:
        """Yield runs of several steps through buffers of three capacities.

        Of more than half of the experts, every other layer has a buffer, the even and the odd ones
        in turns. So two layers share a memory of the size of one.
        """
        n, n_layers = self.shape.n_experts, len(self.experts)
        half, fast = max(1, n // 2), self._fast(n)
        for share in self._random.choice(_CAPACITIES, 3, replace=False):
            capacity, (policy, first) = max(1, int(share * n)), next(self._rotation(policies))
            is_small, buffers = capacity <= half, {}
            for layer in range(n_layers) if is_small else range(first % n_layers, n_layers, 2):
                own, at = fast[layer // 2], half * (layer % 2) if is_small else 0
                buffers[layer] = BufferedExperts(
                    self.experts[layer], capacity, policy=policy, device=own.up.device,
                    fast=replace(own, up=own.up[at:], down=own.down[at:]),
                )  # fmt: skip
            number = int(self._random.integers(len(_RULES)))
            yield _Point(step, self._draws(step, number, n, RUN), 0, n, buffers)

    def _rotation(self, policies: Sequence[str]) -> Iterator[tuple[str, int]]:
        """Return policies and the first layer that is buffered, all pairs of them in turns."""
        if not hasattr(self, "_rotated"):
            self._rotated = cycle([(policy, first) for first in (0, 1) for policy in policies])
        return self._rotated

    def _fast(self, n: int) -> list[Experts]:
        """Return fast memory of `n` experts (at least 2) for every two layers."""
        if not hasattr(self, "_shared"):
            self._shared = [
                replace(e, **{k: getattr(e, k).new_zeros(max(n, 2), *getattr(e, k).shape[1:])
                              for k in ("up", "down")})
                for e in self.experts[::2]
            ]  # fmt: skip
        return self._shared

    def turn(self, *, keep: bool = True) -> None:
        """Time every point once, in random order; without `keep`, only to warm up."""
        order = self._random.permutation(len(self._points))
        self._timed([self._points[i] for i in order], keep=keep)

    def _timed(self, points: Sequence[_Point], *, keep: bool) -> None:
        make = self._drawn if self.routing else self._own
        with torch.no_grad(), replaced_layers(self.model, make):
            for point in points:
                self._time(point, keep)

    def _time(self, point: _Point, keep: bool) -> None:
        n_layers = len(layers_of(self.model))
        took = np.zeros((3, max(1, n_layers)))
        call = point.step.begin()
        if point.step.mode == "decode" and not point.lead:
            # The first step of a new cache touches memory for the first time.
            self._current = point, 0, took
            call()
            took[:] = 0.0
        for buffer in point.buffers.values():
            buffer.reset()
        for number in range(len(point.draws)):
            if number == point.lead:
                took[:] = 0.0
            self._current = point, number, took
            started = self._now()
            call()
            took[2, 0] += self._now() - started
        took[2, 0] -= took[:2].sum()
        point.misses = {i: buffer.statistics.misses for i, buffer in point.buffers.items()}
        if keep:
            point.seconds.append(took)

    def _own(self, layer: int, own: Layer) -> Layer:
        """Time a layer as the model computes it."""

        def timed(x: Tensor, ids: Tensor, weights: Tensor) -> Tensor:
            assert self._current is not None
            started = self._now()
            out = own(x, ids, weights)
            self._current[2][0, layer] += self._now() - started
            return out

        return timed

    def _drawn(self, layer: int, own: Layer) -> Layer:
        """Time a layer with the current point's routing, as an applied plan computes it."""

        def timed(x: Tensor, ids: Tensor, weights: Tensor) -> Tensor:
            assert self._current is not None
            point, number, took = self._current
            draw = point.draws[number][layer]
            if point.is_whole:
                return dynamic_gating(x, draw.ids, draw.weights, self.experts[layer])
            weights = draw.weights
            if draw.rule is not None:
                started = self._now()
                weights = apply_rule(weights, draw.rule)
                took[1, layer] += self._now() - started
            started = self._now()
            with torch.no_grad():
                if layer not in point.buffers:
                    part = self._parts[point.n_local][layer]
                    out = dynamic_gating(x, draw.ids, weights, part)
                else:
                    out = point.buffers[layer](x, draw.ids, weights)
            took[0, layer] += self._now() - started
            return out

        return timed

    def run(self, end: float) -> list[str]:
        """Warm up, and time turns until ``time.perf_counter()`` says `end`; return notes.

        Points are warmed up from coarse to fine in each kind of them. Those that a quarter of the
        time does not suffice for are left out, but for two of each kind.
        """
        begun, n_points = time.perf_counter(), len(self._points)
        kinds: dict[tuple[object, ...], list[_Point]] = {}
        for point in self._points:
            kind = point.step.mode, point.n_local, not point.buffers, point.is_whole
            kinds.setdefault(kind, []).append(point)
        orders = [[own[i] for i in coarse_to_fine(len(own))] for own in kinds.values()]
        self._points = []
        for number, row in enumerate(zip_longest(*orders)):
            for point in row:
                now = time.perf_counter()
                if point is not None and (number < 2 or now - begun < (end - begun) / 4):
                    self._timed([point], keep=False)
                    self._points.append(point)
        a_turn, turns = time.perf_counter() - begun, 0
        while turns < 1 or time.perf_counter() + a_turn < end:
            started = time.perf_counter()
            self.turn()
            turns, a_turn = turns + 1, time.perf_counter() - started
        left_out = n_points - len(self._points)
        notes = [f"{turns} turns of {len(self._points)} kinds of step"]
        if left_out:
            notes.append(f"the budget left {left_out} of {n_points} kinds of step out")
        return notes

    @property
    def speeds(self) -> Floats:
        """Time that steps took in each turn, relative to their medians over the turns, (n_turns,).

        Others that use the machine slow it down for minutes. A median over turns then depends on
        how many of them were slow, and differs from point to point by as much as they slow it down.
        What slows down most points of a turn alike is therefore divided out of the records.
        """
        took = np.array([[np.sum(one) for one in point.seconds] for point in self._points])
        return np.asarray(
            np.exp(np.median(np.log(took / np.median(took, axis=1)[:, None]), axis=0))
        )

    def steps(self) -> Iterator[Record]:
        """Yield the rest of all steps, and those timed as a whole: kinds "step" and "whole"."""
        speeds = self.speeds
        shape = LayerShape(n_experts=1, k=1, d_model=self.d_model, d_ffn=1)
        for point in self._points:
            step, n = point.step, len(point.draws) - point.lead
            at: At = {"tokens": step.tokens, "context": step.context}
            at["prefill"] = int(step.mode == "prefill")
            rest = np.array([took[2, 0] for took in point.seconds])
            seconds = (rest / speeds / n).tolist()
            if point.is_whole:
                draws = point.draws[point.lead :]
                counts = [[draw.counts for draw in layers] for layers in draws]
                yield Record("whole", at | {"counts": counts}, seconds, self.shape)
            else:
                yield Record("step", at, seconds, self.shape if self.routing else shape)

    def records(self) -> Iterator[Record]:
        """Yield the layers of all points: kinds "layer", "rule" and "buffered"."""
        speeds = self.speeds[:, None, None]
        for number, point in enumerate(self._points):
            if point.is_whole:
                continue
            n = point.n_local
            shape = replace(self.shape, n_local=n)
            seconds = np.stack(point.seconds) / speeds  # (repeats, 3, layers)
            tokens = point.step.tokens
            for layer in range(len(self.experts)):
                draws = [step[layer] for step in point.draws[point.lead :]]
                at: At = {"tokens": tokens, "counts": draws[0].counts, "step": number}
                if not point.buffers:
                    yield Record("layer", at, seconds[:, 0, layer].tolist(), shape)
                elif layer in point.buffers:
                    at |= {
                        "counts": [draw.counts for draw in draws],
                        "capacity": point.buffers[layer].replacement.capacity,
                        "misses": point.misses[layer],
                    }
                    yield Record("buffered", at, seconds[:, 0, layer].tolist(), shape)
                n_ruled = sum(draw.rule is not None for draw in draws)
                if n_ruled:
                    took = (seconds[:, 1, layer] / n_ruled).tolist()
                    yield Record("rule", {"tokens": tokens}, took, shape)
