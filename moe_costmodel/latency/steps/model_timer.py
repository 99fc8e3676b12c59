"""Timing of a model as it runs: every MoE layer where it stands, and the rest of the step.

A layer takes longer inside a model than alone: attention, norms and routers evict its weights and
its code from the caches. So the layers are timed in the model, with drawn routing, and the rest is
what is left of the step.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import zip_longest
from types import MappingProxyType

import numpy as np
import torch
from torch import Tensor, nn

from moe_costmodel._arrays import Floats
from moe_costmodel._checks import count, invalid
from moe_costmodel.gating.rules import apply_rule
from moe_costmodel.kernels.dynamic import dynamic_gating
from moe_costmodel.kernels.experts import Experts
from moe_costmodel.latency.steps.model_steps import Layer, is_example, layers_of, replaced_layers
from moe_costmodel.latency.steps.timed_steps import RoutedSteps, TimedSteps, points
from moe_costmodel.measure.measurements import At, Record
from moe_costmodel.measure.timing import clock_of, coarse_to_fine
from moe_costmodel.shapes import LayerShape
from moe_costmodel.traces.families import count_chosen, find_routers
from moe_costmodel.traces.trace import RoutingTrace

__all__ = ["ModelTimer"]


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
        self._steps: RoutedSteps | None = None
        if routing:
            self._steps = RoutedSteps(self.experts, self.shape, n_devices, trace, self._random)
        with torch.no_grad():
            self._points = list(
                points(model, self._steps, batch_sizes, contexts, prompts, policies, options)
            )
        self._current: tuple[TimedSteps, int, Floats] | None = None

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

    def turn(self, *, keep: bool = True) -> None:
        """Time every point once, in random order; without `keep`, only to warm up."""
        order = self._random.permutation(len(self._points))
        self._timed([self._points[i] for i in order], keep=keep)

    def _timed(self, points: Sequence[TimedSteps], *, keep: bool) -> None:
        make = self._drawn if self.routing else self._own
        with torch.no_grad(), replaced_layers(self.model, make):
            for point in points:
                self._time(point, keep)

    def _time(self, point: TimedSteps, keep: bool) -> None:
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
                    assert self._steps is not None
                    part = self._steps.parts[point.n_local][layer]
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
        kinds: dict[tuple[object, ...], list[TimedSteps]] = {}
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
