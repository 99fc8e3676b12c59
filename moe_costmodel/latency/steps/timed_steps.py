"""The steps that a timer runs a model in: sizes, routing, rules, devices and buffers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import cycle

import numpy as np
import torch
from torch import Tensor, nn

from moe_costmodel._arrays import Floats
from moe_costmodel._checks import count, invalid
from moe_costmodel.gating.rules import GateRule, keep_mask
from moe_costmodel.kernels.buffered import BufferedExperts
from moe_costmodel.kernels.experts import Experts
from moe_costmodel.latency.steps.model_steps import (
    Prefixes,
    StepCall,
    decode_sizes,
    decode_step,
    prefill_step,
    with_sizes_between,
)
from moe_costmodel.measure.jobs import RUN
from moe_costmodel.measure.step_routing import Choices, StepRouting
from moe_costmodel.shapes import LayerShape
from moe_costmodel.traces.trace import RoutingTrace

__all__ = ["Draw", "RoutedSteps", "TimedSteps", "points"]

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
class Draw:
    """Routing of one layer in one step."""

    ids: Tensor
    weights: Tensor
    rule: GateRule | None
    counts: list[int]  # tokens of each of the device's experts under the rule


@dataclass
class TimedSteps:
    """Steps that are timed together: each layer's draws, and the times of all repeats."""

    step: StepCall
    draws: list[list[Draw]]  # by step and layer
    lead: int = 0  # first steps, which are not timed
    n_local: int = 0  # experts of a device
    buffers: dict[int, BufferedExperts] = field(default_factory=dict)  # by layer
    seconds: list[Floats] = field(default_factory=list)  # a repeat: layers, rules and the rest
    misses: dict[int, int] = field(default_factory=dict)
    is_whole: bool = False  # whether only the whole step is timed


class RoutedSteps:
    """Steps of a model with drawn or recorded routing, on one or several devices, and with buffers.

    Parameters
    ----------
    experts : list of Experts
        Those of each layer.
    shape : LayerShape
    n_devices : sequence of int
        Numbers of devices among which the experts are divided.
    trace : RoutingTrace, optional
        Recorded routing with weights.
    random : Generator
        Source of routing and buffers.

    Attributes
    ----------
    parts : dict of int to list of Experts
        The first experts of each layer, by how many a device has.
    """

    def __init__(
        self,
        experts: list[Experts],
        shape: LayerShape,
        n_devices: Sequence[int],
        trace: RoutingTrace | None,
        random: np.random.Generator,
    ) -> None:
        self.experts, self.shape, self._random = experts, shape, random
        self.parts = self._divided(n_devices)
        self._routing = StepRouting(shape, len(experts), random, trace)
        self._rotated: Iterator[tuple[str, int]] | None = None
        self._shared: list[Experts] = []

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

    def point(self, step: StepCall, number: int, n_local: int | None = None) -> TimedSteps:
        """Return a step with one of the draws of the routing, on one or several devices."""
        n_local = n_local or self.shape.n_experts
        lead = _LEAD if step.mode == "decode" else 0
        return TimedSteps(step, self._draws(step, number, n_local, lead + 1), lead, n_local)

    def whole(self, step: StepCall) -> TimedSteps:
        """Return steps without rules and buffers, whose parts are not timed."""
        lead, n = (_LEAD, _WHOLE) if step.mode == "decode" else (0, 1)
        draws = self._draws(step, 1, self.shape.n_experts, lead + n)
        return TimedSteps(step, draws, lead, self.shape.n_experts, is_whole=True)

    def _draws(self, step: StepCall, number: int, n_local: int, n_steps: int) -> list[list[Draw]]:
        """Return the routing of consecutive steps; of all numbers, 0 alone is always drawn."""
        steps = self._routing.steps(
            step.tokens, n_steps, mode=step.mode, skew=_SKEWS[number], recorded=number > 0
        )
        return [[self._draw(one, _RULES[number], n_local) for one in layers] for layers in steps]

    def _draw(self, choices: Choices, rule: GateRule | None, n_local: int) -> Draw:
        shape, device = self.shape, self.experts[0].up.device
        ids, weights = choices
        kept = np.ones(ids.shape, bool) if rule is None else keep_mask(weights, rule)
        is_local = ids < n_local
        counts = np.bincount(ids[kept & is_local], minlength=n_local)
        if n_local < shape.n_experts:
            # What a rule drops is decided before the tokens are sent to their devices.
            weights, rule = np.where(kept & is_local, weights, 0).astype(np.float32), None
            ids = np.where(is_local, ids, 0)
        return Draw(
            torch.from_numpy(ids).to(device),
            torch.from_numpy(weights).to(device),
            rule,
            counts.tolist(),
        )

    def buffered(self, step: StepCall, policies: Sequence[str]) -> Iterator[TimedSteps]:
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
            yield TimedSteps(step, self._draws(step, number, n, RUN), 0, n, buffers)

    def _rotation(self, policies: Sequence[str]) -> Iterator[tuple[str, int]]:
        """Return policies and the first layer that is buffered, all pairs of them in turns."""
        if self._rotated is None:
            self._rotated = cycle([(policy, first) for first in (0, 1) for policy in policies])
        return self._rotated

    def _fast(self, n: int) -> list[Experts]:
        """Return fast memory of `n` experts (at least 2) for every two layers."""
        if not self._shared:
            self._shared = [
                replace(e, **{k: getattr(e, k).new_zeros(max(n, 2), *getattr(e, k).shape[1:])
                              for k in ("up", "down")})
                for e in self.experts[::2]
            ]  # fmt: skip
        return self._shared


def points(
    model: nn.Module,
    routed: RoutedSteps | None,
    batch_sizes: Sequence[int],
    contexts: Sequence[int],
    prompts: Sequence[int],
    policies: Sequence[str],
    options: Mapping[str, object],
) -> Iterator[TimedSteps]:
    """Yield what is timed; with routing, each size of a step has several draws of it."""
    prefixes = Prefixes(model, options)
    for batch_size, context in decode_sizes(sorted(batch_sizes), sorted(contexts)):
        step = decode_step(model, batch_size, context, prefixes=prefixes, **options)
        if routed is None:
            yield TimedSteps(step, [[]])
            continue
        middle = context == sorted(contexts)[len(contexts) // 2]
        for draw in range(len(_RULES) if middle else 1):
            yield routed.point(step, draw)
        for n_local in routed.parts if middle else ():
            if n_local < routed.shape.n_experts:
                for draw in _PART_DRAWS:
                    yield routed.point(step, draw, n_local)
        if policies and middle:
            yield from routed.buffered(step, policies)
        if middle:
            yield routed.whole(step)
    for n in with_sizes_between(prompts):
        step = prefill_step(model, n, **options)
        if routed is None:
            yield TimedSteps(step, [[]])
            continue
        for draw in _PREFILL_DRAWS:
            yield routed.point(step, draw)
        yield routed.whole(step)
