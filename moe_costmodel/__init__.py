"""A cost model of Mixture-of-Experts inference, fitted to kernels that torch ran.

Follows arXiv 2303.06182. Names are imported when they are first used, so that nothing here loads
torch until a kernel runs or a model is recorded.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from moe_costmodel.buffering.replay import (
        POLICIES,
        ExpertStream,
        MissCurves,
        expert_streams,
        miss_curves,
        replay,
    )
    from moe_costmodel.deployment.model import DeploymentModel, Evaluation
    from moe_costmodel.gating.quality import (
        GateMass,
        LossUnderRule,
        gate_mass,
        keep_choices,
        measured_loss,
    )
    from moe_costmodel.gating.rules import GateRule, keep_mask
    from moe_costmodel.hardware import Hardware, Link
    from moe_costmodel.latency.buffer_cost import BufferCost
    from moe_costmodel.latency.layer_table import LayerTable
    from moe_costmodel.latency.model import FitReport, LatencyModel, Prediction
    from moe_costmodel.latency.step import MemoryModel, RestOfModel, StepModel
    from moe_costmodel.measure.kernel_table import KernelTable
    from moe_costmodel.measure.kernels import measure_kernels
    from moe_costmodel.measure.measurements import Measurements, Record
    from moe_costmodel.objectives import OBJECTIVES, Predicted
    from moe_costmodel.placement.heuristics import (
        anti_correlation,
        contiguous,
        greedy,
        replicate_and_pack,
    )
    from moe_costmodel.placement.placement import (
        Placement,
        avg_max_load,
        balancedness,
        cross_node_traffic,
        max_load,
        migration_bytes,
    )
    from moe_costmodel.placement.search import OptimalPlacement, optimal_placement, swap_search
    from moe_costmodel.plans.decision import Decision
    from moe_costmodel.plans.plan import Plan
    from moe_costmodel.shapes import LayerShape
    from moe_costmodel.traces.describe import TraceDescription, static_waste
    from moe_costmodel.traces.families import FAMILIES
    from moe_costmodel.traces.record import edit_routing
    from moe_costmodel.traces.trace import RoutingTrace

__all__ = [
    "FAMILIES",
    "OBJECTIVES",
    "POLICIES",
    "BufferCost",
    "Decision",
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
    "BufferCost": "latency.buffer_cost",
    "Decision": "plans.decision",
    "DeploymentModel": "deployment.model",
    "Evaluation": "deployment.evaluation",
    "ExpertStream": "buffering.replay",
    "FAMILIES": "traces.families",
    "FitReport": "latency.model",
    "GateMass": "gating.quality",
    "GateRule": "gating.rules",
    "Hardware": "hardware",
    "KernelTable": "measure.kernel_table",
    "LatencyModel": "latency.model",
    "LayerShape": "shapes",
    "LayerTable": "latency.layer_table",
    "Link": "hardware",
    "LossUnderRule": "gating.quality",
    "Measurements": "measure.measurements",
    "MemoryModel": "latency.step",
    "MissCurves": "buffering.replay",
    "OBJECTIVES": "objectives",
    "OptimalPlacement": "placement.search",
    "Placement": "placement.placement",
    "Plan": "plans.plan",
    "POLICIES": "buffering.replay",
    "Predicted": "objectives",
    "Prediction": "latency.model",
    "Record": "measure.measurements",
    "RestOfModel": "latency.step",
    "RoutingTrace": "traces.trace",
    "StepModel": "latency.step",
    "TraceDescription": "traces.describe",
    "anti_correlation": "placement.heuristics",
    "avg_max_load": "placement.placement",
    "balancedness": "placement.placement",
    "contiguous": "placement.heuristics",
    "cross_node_traffic": "placement.placement",
    "edit_routing": "traces.record",
    "expert_streams": "buffering.replay",
    "gate_mass": "gating.quality",
    "greedy": "placement.heuristics",
    "keep_choices": "gating.quality",
    "keep_mask": "gating.rules",
    "max_load": "placement.placement",
    "measure_kernels": "measure.kernels",
    "measured_loss": "gating.quality",
    "migration_bytes": "placement.placement",
    "miss_curves": "buffering.replay",
    "optimal_placement": "placement.search",
    "replay": "buffering.replay",
    "replicate_and_pack": "placement.heuristics",
    "static_waste": "traces.describe",
    "swap_search": "placement.search",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
