"""Plan: one deployment of an MoE model, as decided and as predicted; it saves, loads and prints."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from moe_costmodel._checks import count, invalid, one_of
from moe_costmodel.buffering.replay import POLICIES
from moe_costmodel.gating.rules import GateRule
from moe_costmodel.objectives import OBJECTIVES, Predicted
from moe_costmodel.placement.placement import Placement
from moe_costmodel.shapes import LayerShape

if TYPE_CHECKING:
    from moe_costmodel.deployment.check import PlanCheck
    from moe_costmodel.deployment.model import DeploymentModel
    from moe_costmodel.plans.apply import AppliedPlan
    from moe_costmodel.plans.export_files import Export
    from moe_costmodel.traces.trace import RoutingTrace

__all__ = ["Plan"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Plan:
    """A deployment of a Mixture-of-Experts model.

    Parameters
    ----------
    model : str
        What the model is called.
    shape : LayerShape
        An MoE layer as a whole (``n_local == n_experts``).
    mode : {"prefill", "decode"}
        Which half of serving the plan is for.
    batch_size : int
        Tokens of a step (prefill), or sequences decoded together (decode), over all devices.
    placement : Placement
        Devices of the experts and of their replicas, layer by layer.
    capacities : array_like of shape (n_layers, n_devices), integer, optional
        Experts that each device keeps in fast memory; as many as it has slots (the default) means
        that all are resident.
    policy : str
        Which expert leaves a full buffer, one of :data:`moe_costmodel.POLICIES` except
        "min", which sees the future.
    gates : sequence of GateRule or None, optional
        Threshold of each layer; None drops nothing. By default none anywhere.
    devices_per_node : int, optional
        Divides the devices; by default all are on one node.
    layers : sequence of int, optional
        Number of each MoE layer within its model; by default 0, 1, ...
    objectives : dict of str to Predicted
        What is predicted, by a name of :data:`moe_costmodel.OBJECTIVES`.
    quality_kind : str
        What "quality_loss" is: "gate mass lost", or "measured loss" (nats a token over the model
        without thresholds).
    provenance : dict of str to str
        Where the prediction is from: fingerprints and names of traces, hardware and latency model.
    versions : dict of str to str
        Of the software that made the plan.
    deployment : DeploymentModel, optional
        What evaluates the plan on other traffic; is not saved.

    Raises
    ------
    ValueError
        If a part is out of its range, or the parts do not fit one another.

    Examples
    --------
    >>> from problems.moe import MoEDeployment
    >>> problem = MoEDeployment.example()
    >>> plan = problem.decode(problem.starts()[0])
    >>> plan.n_layers, plan.n_devices
    (6, 4)
    """

    model: str
    shape: LayerShape
    mode: str
    batch_size: int
    placement: Placement
    capacities: NDArray[np.int64] = None  # type: ignore[assignment]
    policy: str = "paper"
    gates: tuple[GateRule | None, ...] = ()
    devices_per_node: int = 0
    layers: tuple[int, ...] = ()
    objectives: dict[str, Predicted] = field(default_factory=dict)
    quality_kind: str = "gate mass lost"
    provenance: dict[str, str] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    deployment: DeploymentModel | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        for name in ("model", "quality_kind"):
            if not isinstance(getattr(self, name), str):
                raise invalid("Plan", name, repr(getattr(self, name)), "text")
        for name, kind in (("shape", LayerShape), ("placement", Placement)):
            if not isinstance(getattr(self, name), kind):
                raise invalid("Plan", name, repr(getattr(self, name)), f"a {kind.__name__}")
        one_of("Plan", "mode", self.mode, ("prefill", "decode"))
        count("Plan", "batch_size", self.batch_size)
        one_of("Plan", "policy", self.policy, sorted(set(POLICIES) - {"min"}))
        if self.shape.n_local != self.shape.n_experts:
            raise invalid(
                "Plan", "shape", self.shape.n_local, "of the whole layer, n_local = n_experts"
            )
        if self.placement.n_experts != self.shape.n_experts:
            raise invalid(
                "Plan",
                "placement",
                self.placement.n_experts,
                f"of the layer's {self.shape.n_experts} experts",
            )
        object.__setattr__(self, "capacities", self._checked_capacities())
        object.__setattr__(self, "gates", self._checked_gates())
        nodes = self.devices_per_node or self.n_devices
        if isinstance(nodes, bool) or not isinstance(nodes, int) or nodes < 1:
            raise invalid("Plan", "devices_per_node", repr(nodes), "a positive integer")
        if self.n_devices % nodes:
            raise invalid(
                "Plan", "devices_per_node", nodes, f"a divisor of {self.n_devices} devices"
            )
        object.__setattr__(self, "devices_per_node", nodes)
        numbers = tuple(self.layers) or tuple(range(self.n_layers))
        good = all(isinstance(n, int) and not isinstance(n, bool) and n >= 0 for n in numbers)
        good = good and all(b > a for a, b in pairwise(numbers))
        if len(numbers) != self.n_layers or not good:
            raise invalid(
                "Plan", "layers", list(numbers), f"{self.n_layers} ascending layer numbers"
            )
        object.__setattr__(self, "layers", numbers)
        for name, predicted in self.objectives.items():
            one_of("Plan", "objectives", name, OBJECTIVES)
            if not isinstance(predicted, Predicted):
                raise invalid("Plan", "objectives", repr(predicted), "Predicted values")
        for name in ("provenance", "versions"):
            mapping = getattr(self, name)
            if not isinstance(mapping, dict) or not all(
                isinstance(item, str) for pair in mapping.items() for item in pair
            ):
                raise invalid("Plan", name, repr(mapping), "a mapping of text to text")

    def _checked_capacities(self) -> NDArray[np.int64]:
        shape = (self.n_layers, self.n_devices)
        if self.capacities is None:
            return np.full(shape, self.slots_per_device, dtype=np.int64)
        array = np.asarray(self.capacities)
        if array.shape != shape or array.dtype.kind not in "ui":
            raise invalid(
                "Plan",
                "capacities",
                f"shape {array.shape}, dtype {array.dtype}",
                f"integers of shape {shape} (layers, devices)",
            )
        bad = np.argwhere((array < 1) | (array > self.slots_per_device))
        if len(bad):
            layer, device = (int(i) for i in bad[0])
            raise invalid(
                "Plan",
                "capacities",
                f"{array[layer, device]} at layer {layer}, device {device}",
                f"from 1 to the {self.slots_per_device} slots of a device",
            )
        return array.astype(np.int64)

    def _checked_gates(self) -> tuple[GateRule | None, ...]:
        gates = tuple(self.gates) or (None,) * self.n_layers
        if len(gates) != self.n_layers:
            raise invalid("Plan", "gates", len(gates), f"one a layer, {self.n_layers}")
        for rule in gates:
            if rule is not None and not isinstance(rule, GateRule):
                raise invalid("Plan", "gates", repr(rule), "GateRules or None")
        return gates

    @property
    def n_layers(self) -> int:
        """MoE layers."""
        return self.placement.n_layers

    @property
    def n_devices(self) -> int:
        """Devices."""
        return self.placement.n_devices

    @property
    def n_nodes(self) -> int:
        """Nodes that the devices are on."""
        return self.n_devices // self.devices_per_node

    @property
    def slots_per_device(self) -> int:
        """Experts of a layer, replicas among them, that are placed on one device."""
        return self.placement.n_slots // self.placement.n_devices

    @property
    def is_buffered(self) -> bool:
        """Whether some device keeps fewer experts in fast memory than are placed on it."""
        return bool((self.capacities < self.slots_per_device).any())

    @property
    def has_thresholds(self) -> bool:
        """Whether some layer drops choices."""
        return any(rule is not None and rule != GateRule.keep_all() for rule in self.gates)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Plan):
            return NotImplemented
        return self.to_dict() == other.to_dict()

    def bind(self, deployment: DeploymentModel) -> Plan:
        """Return the plan with what evaluates it; a plan that was loaded has nothing yet."""
        return replace(self, deployment=deployment)

    def to_dict(self) -> dict[str, Any]:
        """Return the plan as plain values, as :meth:`save` writes them."""
        from moe_costmodel.plans.files import to_dict

        return to_dict(self)

    def save(self, path: str | Path) -> Path:
        """Write the plan as JSON."""
        from moe_costmodel.plans.files import save

        return save(self, path)

    @classmethod
    def load(cls, path: str | Path) -> Plan:
        """Read a plan from JSON; see :func:`moe_costmodel.plans.files.load`.

        Raises
        ------
        ValueError
            If the file is no plan; it names file and field, what was expected, and what came.
        """
        from moe_costmodel.plans.files import load

        return load(path)

    def __str__(self) -> str:
        from moe_costmodel.plans.text import table

        return table(self)

    def summary(self) -> str:
        """Return the plan in one line."""
        from moe_costmodel.plans.text import summary

        return summary(self)

    def explain(self) -> str:
        """Return a page in plain words: what to set, what to expect, and how sure that is."""
        from moe_costmodel.plans.text import explain

        return explain(self)

    def check(
        self,
        other: RoutingTrace,
        *,
        running: Plan | None = None,
        deployment: DeploymentModel | None = None,
    ) -> PlanCheck:
        """Evaluate the plan on traffic that it has not seen.

        See :func:`moe_costmodel.deployment.check.check`.
        """
        from moe_costmodel.deployment.check import check

        return check(self, other, running=running, deployment=deployment)

    def to_sglang(self, path: str | Path) -> Export:
        """Write SGLang's ``--init-expert-location``; see `moe_costmodel.plans.export_files`."""
        from moe_costmodel.plans.export_files import to_sglang

        return to_sglang(self, path)

    def to_vllm(self, path: str | Path) -> Export:
        """Write vLLM's proposed expert map; see :mod:`moe_costmodel.plans.export_files`."""
        from moe_costmodel.plans.export_files import to_vllm

        return to_vllm(self, path)

    def to_tensorrt_llm(self, path: str | Path) -> Export:
        """Write TensorRT-LLM's load-balancer YAML; see :mod:`moe_costmodel.plans.export_files`."""
        from moe_costmodel.plans.export_files import to_tensorrt_llm

        return to_tensorrt_llm(self, path)

    def to_ktransformers(self, **options: Any) -> Export:
        """Return KTransformers' flags; see :mod:`moe_costmodel.plans.export_flags`."""
        from moe_costmodel.plans.export_flags import to_ktransformers

        return to_ktransformers(self, **options)

    def to_llamacpp(self, **options: Any) -> Export:
        """Return the flags of the llama.cpp fork; see :mod:`moe_costmodel.plans.export_flags`."""
        from moe_costmodel.plans.export_flags import to_llamacpp

        return to_llamacpp(self, **options)

    def apply(self, model: Any, **options: Any) -> AppliedPlan:
        """Install the plan in a model of this process; see `moe_costmodel.plans.apply`."""
        from moe_costmodel.plans.apply import apply

        return apply(self, model, **options)
