"""Application of a plan to a model in this process: thresholds and buffered experts.

A hook edits the choices of a router. The experts module of every layer then computes the remaining
choices by dynamic gating, from the plan's buffers if the layer is buffered. All devices of the plan
run on one device here, each with its own buffers.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from moe_costmodel._checks import invalid
from moe_costmodel.gating.rules import apply_rule
from moe_costmodel.kernels.buffered import BufferedExperts
from moe_costmodel.kernels.dynamic import dynamic_gating
from moe_costmodel.kernels.experts import Experts
from moe_costmodel.traces.families import find_routers
from moe_costmodel.traces.record import edit_routing

if TYPE_CHECKING:
    from moe_costmodel.plans.plan import Plan

__all__ = ["AppliedPlan", "PlannedLayer", "apply"]


class PlannedLayer:
    """Experts of one layer as a plan places them: on devices, resident or buffered.

    Parameters
    ----------
    experts : Experts
        All experts of the layer.
    plan : Plan
    layer : int
        Position among the plan's layers.
    device : device, optional
        Device that the experts run on; by default the one that they are on.

    Attributes
    ----------
    buffers : list of BufferedExperts
        One per device; empty if the layer is not buffered.
    experts : Experts
    """

    def __init__(
        self, experts: Experts, plan: Plan, layer: int, device: torch.device | str | None = None
    ) -> None:
        self.experts = experts
        self.buffers: list[BufferedExperts] = []
        where = torch.device(device or experts.up.device)
        if plan.by_layer[layer].policy is not None:
            self.buffers = [
                BufferedExperts(experts, int(capacity), policy=plan.policy, device=where)
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
                out += buffer(x, ids, weights * (device == number))
            return out

    def device_of(self, ids: Tensor, weights: Tensor) -> Tensor:
        """Return the device that computes each choice, (S, k).

        The copies of an expert take turns with its tokens; each step begins one copy later.
        """
        copies = self._copies[ids]
        if self._devices.shape[1] == 1:
            return self._devices[ids, 0]
        flat = torch.where(weights.reshape(-1) > 0, ids.reshape(-1), -1)
        order = flat.argsort(stable=True)
        ordered = flat[order]
        first = torch.searchsorted(ordered, ordered)
        place = torch.empty_like(flat)
        place[order] = torch.arange(len(flat), device=flat.device) - first
        turn = (place.view_as(ids) + self._step) % copies
        self._step += 1
        return self._devices[ids, turn]

    @property
    def hits(self) -> int:
        """Needed experts that were resident."""
        return sum(buffer.statistics.hits for buffer in self.buffers)

    @property
    def misses(self) -> int:
        """Needed experts that had to be copied."""
        return sum(buffer.statistics.misses for buffer in self.buffers)


class AppliedPlan:
    """A plan that is installed in a model; call :meth:`undo`, or use it as a context manager.

    Attributes
    ----------
    plan : Plan
    layers : list of PlannedLayer
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

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.undo()

    def __str__(self) -> str:
        hits, misses = (sum(getattr(x, n) for x in self.layers) for n in ("hits", "misses"))
        if not hits + misses:
            return f"{self.plan.model}: applied to {len(self.layers)} layers"
        return (
            f"{self.plan.model}: applied to {len(self.layers)} layers, {misses:,} of "
            f"{hits + misses:,} needed experts were copied ({misses / (hits + misses):.1%})"
        )


def apply(plan: Plan, model: Any, *, part: str | None = None) -> AppliedPlan:
    """Install a plan's thresholds and experts in a model.

    Parameters
    ----------
    plan : Plan
    model : Module
        A Hugging Face model of a family that can be steered
        (:func:`moe_costmodel.edit_routing`), or the packaged example model. It answers
        without gradients while the plan is applied. On a GPU, the experts of buffered layers are
        moved to the memory of the CPU, and back when the plan is undone.
    part : {"encoder", "decoder"}, optional
        Which half of an encoder-decoder model.

    Returns
    -------
    AppliedPlan

    Raises
    ------
    ValueError
        If the plan is for another model, or the model belongs to no such family. The message says
        what differs.
    """
    if type(model).__name__ == "ExampleModel":
        return _apply_to_example(plan, model)
    _, routers = find_routers(model, part=part)
    modules, experts = [], []
    for name in routers:
        parent = model.get_submodule(name.rpartition(".")[0])
        module = getattr(parent, "experts", None)
        if module is None:
            raise invalid(
                "Plan.apply",
                "model",
                f"{type(parent).__name__} without them",
                "one whose experts are beside its routers",
            )
        modules.append(module)
        experts.append(Experts.from_module(module))
    from moe_costmodel.traces.record import _layer_numbers

    _check(
        plan,
        type(model).__name__,
        experts,
        [int(router.top_k) for router in routers.values()],
        tuple(_layer_numbers(list(routers))),
    )
    stack = ExitStack()
    layers = []
    try:
        for i, (module, weights) in enumerate(zip(modules, experts, strict=True)):
            layer = _layer(plan, i, module, weights, stack)
            layers.append(layer)
            module.forward = _forward_of(layer)
            stack.callback(delattr, module, "forward")
        if plan.has_thresholds:
            stack.enter_context(edit_routing(model, _rule_of(plan), part=part))
    except BaseException:
        stack.close()
        raise
    return AppliedPlan(plan, layers, stack)


def _apply_to_example(plan: Plan, model: Any) -> AppliedPlan:
    blocks = [block.mlp for block in model.model.layers]
    experts = [
        Experts(mlp.experts.gate_up_proj.detach(), mlp.experts.down_proj.detach(), "silu", True)
        for mlp in blocks
    ]
    _check(plan, "ExampleModel", experts, [mlp.k for mlp in blocks], tuple(range(len(blocks))))
    stack = ExitStack()
    layers = []
    rule_of = _rule_of(plan)
    for i, (mlp, weights) in enumerate(zip(blocks, experts, strict=True)):
        layer = _layer(plan, i, mlp.experts, weights, stack)
        layers.append(layer)

        def compute(
            x: Tensor, weights: Tensor, ids: Tensor, i: int = i, layer: PlannedLayer = layer
        ) -> Tensor:
            ids, weights = rule_of(i, ids, weights)
            return layer(x, ids, weights)

        mlp.compute = compute
        stack.callback(delattr, mlp, "compute")
    return AppliedPlan(plan, layers, stack)


def _layer(plan: Plan, i: int, module: Any, experts: Experts, stack: ExitStack) -> PlannedLayer:
    """Return a planned layer; a buffered one's experts leave the GPU until the plan is undone."""
    device = experts.up.device
    if plan.by_layer[i].policy is not None and device.type == "cuda":
        experts = experts.to("cpu")
        for name, held in (("gate_up_proj", experts.up), ("down_proj", experts.down)):
            parameter = getattr(module, name)
            parameter.data = held
            stack.callback(_move, parameter, device)
    return PlannedLayer(experts, plan, i, device)


def _move(parameter: Tensor, device: torch.device) -> None:
    parameter.data = parameter.data.to(device)


def _rule_of(plan: Plan) -> Callable[[int, Tensor, Tensor], tuple[Tensor, Tensor]]:
    def rule(layer: int, ids: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        gate = plan.gates[layer]
        return ids, weights if gate is None else apply_rule(weights, gate)

    return rule


def _forward_of(layer: PlannedLayer) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    def forward(hidden_states: Tensor, top_k_index: Tensor, top_k_weights: Tensor) -> Tensor:
        return layer(hidden_states, top_k_index, top_k_weights)

    return forward


def _check(
    plan: Plan, model: str, experts: list[Experts], k: list[int], numbers: tuple[int, ...]
) -> None:
    """Raise a ValueError if the plan was made for another model."""
    s = plan.shape
    rows: list[tuple[str, object, object]] = [
        ("MoE layers", plan.n_layers, len(experts)),
        ("layer numbers", plan.layers, numbers),
    ]
    for weights, chosen in zip(experts, k, strict=True):
        rows += [
            ("experts", s.n_experts, weights.n_experts),
            ("experts a token", s.k, chosen),
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
