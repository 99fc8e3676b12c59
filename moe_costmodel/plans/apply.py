"""Application of a plan to a model in this process: thresholds and buffered experts.

A hook edits the choices of a router. The experts module of every layer then computes the remaining
choices by dynamic gating, from the plan's buffers if the layer is buffered. All devices of the plan
run on one device here, each with its own buffers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import Module

from moe_costmodel._arrays import Bools
from moe_costmodel._checks import invalid
from moe_costmodel.gating.rules import apply_rule
from moe_costmodel.kernels.buffered import BufferedExperts
from moe_costmodel.kernels.dynamic import dynamic_gating
from moe_costmodel.kernels.experts import Experts
from moe_costmodel.kernels.offloaded import OffloadedExperts
from moe_costmodel.traces.families import count_chosen, count_experts, find_routers
from moe_costmodel.traces.record import edit_routing, layer_numbers

if TYPE_CHECKING:
    from moe_costmodel.plans.plan import Plan

__all__ = ["AppliedPlan", "PlannedLayer", "SlowMemory", "apply"]

SlowMemory = Callable[[int, Experts], Experts]
_MARK = "_moe_costmodel_plan"  # attribute of the modules that a plan has changed


class PlannedLayer:
    """Experts of one layer as a plan places them: on devices, resident or buffered.

    They run on `device`, by default the one that they are on. `buffers` has one entry per device
    of the plan, none if the layer is not buffered. `slow` holds the experts that buffers are filled
    from, by default `experts`.
    """

    def __init__(
        self,
        experts: Experts,
        plan: Plan,
        layer: int,
        device: torch.device | str | None = None,
        *,
        slow: Experts | None = None,
    ) -> None:
        self.experts = experts
        self.buffers: Sequence[BufferedExperts | OffloadedExperts] = []
        where = torch.device(device or experts.up.device)
        slow = slow or experts
        if plan.by_layer[layer].offload is not None:
            self.buffers = _offloaded(slow, plan, layer, where, experts.up.dtype)
        elif plan.by_layer[layer].policy is not None:
            self.buffers = [
                BufferedExperts(slow, int(capacity), policy=plan.policy, device=where)
                for capacity in plan.capacities[layer]
            ]
        held = torch.as_tensor(plan.placement.on_device()[layer], device=where)
        self._copies = held.sum(dim=1)
        # Devices of an expert's copies, in order; beyond the last, the first ones again.
        most = int(self._copies.max())
        devices = torch.zeros(len(held), most, dtype=torch.int64, device=where)
        for expert, row in enumerate(held.tolist()):
            own = [device for device, copies in enumerate(row) for _ in range(copies)]
            devices[expert] = torch.tensor([own[i % len(own)] for i in range(most)])
        self._devices = devices
        self._step = 0

    def __call__(self, x: Tensor, ids: Tensor, weights: Tensor) -> Tensor:
        """Return the layer's output [S, d_model]; choices of weight 0 are not computed."""
        with torch.no_grad():
            if not self.buffers:
                return dynamic_gating(x, ids, weights, self.experts)
            if len(self.buffers) == 1:
                return self.buffers[0](x, ids, weights)
            device = self.device_of(ids, weights)
            out = torch.zeros_like(x)
            for number, buffer in enumerate(self.buffers):
                out += buffer(x, ids, torch.where(device == number, weights, 0.0))
            return out

    def device_of(self, ids: Tensor, weights: Tensor) -> Tensor:
        """Return the device that computes each choice, (S, k).

        The copies of an expert take turns with its tokens; each step, and each further expert,
        begins one copy later.
        """
        copies = self._copies[ids]
        if self._devices.shape[1] == 1:
            return self._devices[ids, 0]
        flat = torch.where(weights.reshape(-1) != 0, ids.reshape(-1), -1)
        order = flat.argsort(stable=True)
        ordered = flat[order]
        first = torch.searchsorted(ordered, ordered)
        place = torch.empty_like(flat)
        place[order] = torch.arange(len(flat), device=flat.device) - first
        turn = (place.view_as(ids) + self._step + ids) % copies
        self._step += 1
        return self._devices[ids, turn]

    @property
    def hits(self) -> int:
        """Needed experts that were resident."""
        return sum(buffer.statistics.hits for buffer in self.buffers)

    @property
    def misses(self) -> int:
        """Needed experts that were not resident: they were copied, or computed in slow memory."""
        return sum(buffer.statistics.misses for buffer in self.buffers)

    @property
    def uploads(self) -> int:
        """Experts that were copied for later steps, if the plan has a rule for misses."""
        return sum(
            buffer.statistics.uploads
            for buffer in self.buffers
            if isinstance(buffer, OffloadedExperts)
        )


def _offloaded(
    slow: Experts, plan: Plan, layer: int, device: torch.device, dtype: torch.dtype
) -> list[OffloadedExperts]:
    """Return the offloaded experts of each of the plan's devices."""
    rule, start = plan.by_layer[layer].offload, plan.by_layer[layer].start
    assert rule is not None
    held: Bools = plan.placement.on_device()[layer] > 0
    buffers = []
    for number, capacity in enumerate(plan.capacities[layer].tolist()):
        # Experts of the device that were never used come before those of other devices.
        uses = None if start is None else np.where(held[:, number], np.maximum(start, 1e-300), 0.0)
        buffers.append(
            OffloadedExperts(
                slow, capacity, policy=rule.policy, admission=rule.admission, start=uses,
                start_weight=rule.start_weight, half_life=rule.half_life, in_place=rule.in_place,
                device=device, dtype=dtype,
            )
        )  # fmt: skip
    return buffers


class AppliedPlan:
    """A plan that is installed in a model; call :meth:`undo`, or use it as a context manager.

    `layers` are the layers whose experts the plan computes: all, or none if the model's experts
    stay as they are.
    """

    def __init__(self, plan: Plan, layers: list[PlannedLayer], stack: ExitStack) -> None:
        self.plan = plan
        self.layers = layers
        self._stack = stack

    def undo(self) -> None:
        """Restore the model; further calls change nothing."""
        self._stack.close()

    def __enter__(self) -> AppliedPlan:
        return self

    def __exit__(self, *error: object) -> None:
        self.undo()

    def __str__(self) -> str:
        misses = sum(layer.misses for layer in self.layers)
        needed = misses + sum(layer.hits for layer in self.layers)
        applied = f"{self.plan.model}: applied to {self.plan.n_layers} layers"
        if not needed:
            return applied
        rule, share = self.plan.offload, misses / needed
        uploads = sum(layer.uploads for layer in self.layers)
        fate = "copied" if rule is None or not rule.in_place else "computed in slow memory"
        more = "" if rule is None else f", {uploads:,} uploads"
        return f"{applied}, {misses:,} of {needed:,} needed experts were {fate} ({share:.1%}){more}"


def apply(
    plan: Plan, model: Any, *, part: str | None = None, slow: SlowMemory | None = None
) -> AppliedPlan:
    """Install a plan's thresholds and experts in a model.

    Parameters
    ----------
    plan : Plan
    model : Module
        A Hugging Face model of a family that can be steered
        (:func:`moe_costmodel.edit_routing`), or the packaged example model. It answers
        without gradients while the plan is applied. On a GPU, the experts of buffered layers are
        moved to the memory of the CPU, and back when the plan is undone. Experts with biases or
        interleaved gates (gpt-oss) stay as they are, which a plan with buffers does not allow.
    part : {"encoder", "decoder"}, optional
        Which half of an encoder-decoder model.
    slow : callable, optional
        ``slow(layer, experts)`` returns the experts of a buffered layer as they lie in slow memory,
        such as mapped from a file, or in a narrower type if the plan has a rule for misses. By
        default they stay where they are, or, on a GPU, are moved to the memory of the CPU.

    Returns
    -------
    AppliedPlan

    Raises
    ------
    ValueError
        If the plan is for another model, or the model belongs to no such family, or has a plan
        already. The message says what differs.
    """
    is_example = type(model).__name__ == "ExampleModel"
    experts: list[Experts | None]
    if is_example:
        changed = [block.mlp for block in model.model.layers]
        modules = [block.experts for block in changed]
        experts = [
            Experts(module.gate_up_proj.detach(), module.down_proj.detach(), "silu", True)
            for module in modules
        ]
        k, numbers = [block.k for block in changed], list(range(len(changed)))
        n_experts = len(modules[0].down_proj)
    else:
        _, routers = find_routers(model, part=part)
        changed = modules = [_experts_beside(model, name) for name in routers]
        experts = [_experts_of(module, plan) for module in modules]
        k = [count_chosen(model, name) for name in routers]
        numbers, n_experts = layer_numbers(list(routers)), count_experts(routers)
    name = type(model).__name__
    _check(plan, name, experts, k, tuple(numbers), n_experts)
    stack = ExitStack()
    layers = []
    try:
        for i, (module, weights) in enumerate(zip(modules, experts, strict=True)):
            _mark(changed[i], name, stack)
            if weights is None:
                continue
            layer = _layer(plan, i, module, weights, stack, slow)
            layers.append(layer)
            if is_example:
                _replace(changed[i], "compute", _compute_of(layer, plan, i), stack)
            else:
                _replace(module, "forward", _forward_of(layer), stack)
        if plan.has_thresholds and not is_example:
            stack.enter_context(edit_routing(model, partial(_ruled, plan), part=part))
    except BaseException:
        stack.close()
        raise
    return AppliedPlan(plan, layers, stack)


def _experts_of(module: Module, plan: Plan) -> Experts | None:
    """Return the experts of a module; None if it computes them itself, as the plan allows."""
    try:
        return Experts.from_module(module)
    except ValueError:
        if plan.is_buffered:
            raise
        return None


def _mark(module: Module, model: str, stack: ExitStack) -> None:
    """Mark a module as one of an applied plan; a second plan is a ValueError.

    Two plans in a module would be undone in any order, and the buffers of one would not be used.
    """
    if _MARK in vars(module):
        got = f"{model}, which has a plan"
        raise invalid("Plan.apply", "model", got, "one without a plan (undo() removes another)")
    _replace(module, _MARK, True, stack)


def _replace(module: Module, name: str, value: object, stack: ExitStack) -> None:
    """Set an attribute of a module until the stack is closed, and then what it was before."""
    own = vars(module)
    if name in own:
        stack.callback(own.__setitem__, name, own[name])
    else:
        stack.callback(own.pop, name, None)
    own[name] = value


def _experts_beside(model: Any, router: str) -> Any:
    """Return the module of the experts that a router's name belongs to."""
    parent = model.get_submodule(router.rpartition(".")[0])
    if getattr(parent, "experts", None) is None:
        got, expected = (
            f"{type(parent).__name__} without them",
            "one whose experts are beside its routers",
        )
        raise invalid("Plan.apply", "model", got, expected)
    return parent.experts


def _layer(
    plan: Plan,
    i: int,
    module: Any,
    experts: Experts,
    stack: ExitStack,
    slow: SlowMemory | None,
) -> PlannedLayer:
    """Return a planned layer; a buffered one's experts leave the GPU until the plan is undone."""
    device = experts.up.device
    if plan.by_layer[i].policy is not None and device.type == "cuda":
        experts = experts.to("cpu")
        first = "gate_up_proj" if experts.gated else "up_proj"
        for name, held in ((first, experts.up), ("down_proj", experts.down)):
            parameter = getattr(module, name)
            parameter.data = held
            stack.callback(_move, parameter, device)
    is_buffered = plan.by_layer[i].policy is not None
    held_in = slow(i, experts) if slow is not None and is_buffered else None
    return PlannedLayer(experts, plan, i, device, slow=held_in)


def _move(parameter: Tensor, device: torch.device) -> None:
    parameter.data = parameter.data.to(device)


def _ruled(plan: Plan, layer: int, ids: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Return the choices of a layer under the plan's threshold."""
    gate = plan.gates[layer]
    return ids, weights if gate is None else apply_rule(weights, gate)


def _compute_of(layer: PlannedLayer, plan: Plan, i: int) -> Callable[..., Tensor]:
    def compute(x: Tensor, weights: Tensor, ids: Tensor) -> Tensor:
        return layer(x, *_ruled(plan, i, ids, weights))

    return compute


def _forward_of(layer: PlannedLayer) -> Callable[..., Tensor]:
    def forward(hidden_states: Tensor, top_k_index: Tensor, top_k_weights: Tensor) -> Tensor:
        return layer(hidden_states, top_k_index, top_k_weights)

    return forward


def _check(
    plan: Plan,
    model: str,
    experts: list[Experts | None],
    k: list[int],
    numbers: tuple[int, ...],
    n_experts: int,
) -> None:
    """Raise a ValueError if the plan was made for another model."""
    s = plan.shape
    rows: list[tuple[str, object, object]] = [
        ("MoE layers", plan.n_layers, len(experts)),
        ("layer numbers", plan.layers, numbers),
        ("experts", s.n_experts, n_experts),
        *(("experts a token", s.k, chosen) for chosen in k),
    ]
    for weights in experts:
        if weights is None:  # whose sizes are those of no layout that is known
            continue
        rows += [
            ("experts", s.n_experts, weights.n_experts),
            ("width", s.d_model, weights.d_model),
            ("inner width", s.d_ffn, weights.d_ffn),
            ("gated experts", s.gated, weights.gated),
        ]
    for name, planned, actual in rows:
        if planned != actual:
            raise invalid(
                "Plan.apply",
                "model",
                f"{model}, with {name} {actual}",
                f"the plan's ({plan.model}), with {name} {planned}",
            )
