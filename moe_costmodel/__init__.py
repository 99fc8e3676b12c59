"""A cost model of Mixture-of-Experts inference, fitted to kernels that torch ran.

Follows arXiv 2303.06182. Names are imported when they are first used, so that nothing here loads
torch until a kernel runs or a model is recorded.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from moe_costmodel.balance import anti_correlation, contiguous, greedy, replicate_and_pack
    from moe_costmodel.balance_search import OptimalPlacement, optimal_placement, swap_search
    from moe_costmodel.buffer_cost import BufferCost
    from moe_costmodel.buffering import (
        POLICIES,
        ExpertStream,
        MissCurves,
        expert_streams,
        miss_curves,
        replay,
    )
    from moe_costmodel.characterise import TraceDescription, static_waste
    from moe_costmodel.deployment import DeploymentModel, Evaluation
    from moe_costmodel.families import FAMILIES
    from moe_costmodel.gate_rules import GateRule, keep_mask
    from moe_costmodel.hardware import Hardware, Link
    from moe_costmodel.latency import FitReport, LatencyModel, Prediction
    from moe_costmodel.layer_table import LayerTable
    from moe_costmodel.measure import measure_kernels
    from moe_costmodel.measurements import Measurements, Record
    from moe_costmodel.objectives import OBJECTIVES, Predicted
    from moe_costmodel.placement import (
        Placement,
        avg_max_load,
        balancedness,
        cross_node_traffic,
        max_load,
        migration_bytes,
    )
    from moe_costmodel.plan import Plan
    from moe_costmodel.quality import (
        GateMass,
        LossUnderRule,
        gate_mass,
        keep_choices,
        measured_loss,
    )
    from moe_costmodel.record import edit_routing
    from moe_costmodel.shapes import LayerShape
    from moe_costmodel.step import MemoryModel, RestOfModel, StepModel
    from moe_costmodel.tables import KernelTable
    from moe_costmodel.trace import RoutingTrace

__all__ = [
    "FAMILIES",
    "OBJECTIVES",
    "POLICIES",
    "BufferCost",
    "DeploymentModel",
    "Evaluation",
    "ExpertStream",
    "FitReport",
    "GateMass",
    "GateRule",
    "Hardware",
    "KernelTable",
    "LatencyModel",
    "LayerShape",
    "LayerTable",
    "Link",
    "LossUnderRule",
    "Measurements",
    "MemoryModel",
    "MissCurves",
    "OptimalPlacement",
    "Placement",
    "Plan",
    "Predicted",
    "Prediction",
    "Record",
    "RestOfModel",
    "RoutingTrace",
    "StepModel",
    "TraceDescription",
    "anti_correlation",
    "avg_max_load",
    "balancedness",
    "contiguous",
    "cross_node_traffic",
    "edit_routing",
    "expert_streams",
    "gate_mass",
    "greedy",
    "keep_choices",
    "keep_mask",
    "max_load",
    "measure_kernels",
    "measured_loss",
    "migration_bytes",
    "miss_curves",
    "optimal_placement",
    "replay",
    "replicate_and_pack",
    "static_waste",
    "swap_search",
]

_HOMES = {
    "BufferCost": "buffer_cost",
    "DeploymentModel": "deployment",
    "Evaluation": "deployment",
    "ExpertStream": "buffering",
    "FAMILIES": "families",
    "FitReport": "latency",
    "GateMass": "quality",
    "GateRule": "gate_rules",
    "Hardware": "hardware",
    "KernelTable": "tables",
    "LatencyModel": "latency",
    "LayerShape": "shapes",
    "LayerTable": "layer_table",
    "Link": "hardware",
    "LossUnderRule": "quality",
    "Measurements": "measurements",
    "MemoryModel": "step",
    "MissCurves": "buffering",
    "OBJECTIVES": "objectives",
    "OptimalPlacement": "balance_search",
    "Placement": "placement",
    "Plan": "plan",
    "POLICIES": "buffering",
    "Predicted": "objectives",
    "Prediction": "latency",
    "Record": "measurements",
    "RestOfModel": "step",
    "RoutingTrace": "trace",
    "StepModel": "step",
    "TraceDescription": "characterise",
    "anti_correlation": "balance",
    "avg_max_load": "placement",
    "balancedness": "placement",
    "contiguous": "balance",
    "cross_node_traffic": "placement",
    "edit_routing": "record",
    "expert_streams": "buffering",
    "gate_mass": "quality",
    "greedy": "balance",
    "keep_choices": "quality",
    "keep_mask": "gate_rules",
    "max_load": "placement",
    "measure_kernels": "measure",
    "measured_loss": "quality",
    "migration_bytes": "placement",
    "miss_curves": "buffering",
    "optimal_placement": "balance_search",
    "replay": "buffering",
    "replicate_and_pack": "balance",
    "static_waste": "characterise",
    "swap_search": "balance_search",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
