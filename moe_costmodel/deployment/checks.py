"""Checks of the traces and settings that a deployment model is given."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from moe_costmodel._checks import check_number, count, invalid, one_of, require
from moe_costmodel.latency.steps.memory import MemoryModel
from moe_costmodel.latency.steps.rest_of_model import RestOfModel
from moe_costmodel.plans.decision import Decision
from moe_costmodel.plans.plan import Plan
from moe_costmodel.shapes import LayerShape
from moe_costmodel.traces.trace import RoutingTrace

if TYPE_CHECKING:
    from moe_costmodel.deployment.model import DeploymentModel

__all__ = ["check_fit", "check_settings", "check_traces"]

_TOKENS = "a finite number of tokens, 0 or more"


def check_traces(traces: list[RoutingTrace], shape: LayerShape) -> None:
    """Raise a ValueError if traces do not fit one another, or the shape."""
    if not traces or not all(isinstance(trace, RoutingTrace) for trace in traces):
        got = next((repr(t) for t in traces if not isinstance(t, RoutingTrace)), "none")
        raise invalid(
            "DeploymentModel", "traces", got, "at least one RoutingTrace (RoutingTrace.load)"
        )
    first = traces[0]
    for trace in traces:
        if trace.is_load_only != first.is_load_only:
            expected = (
                "all of loads, or all with the choices of each token "
                "(RoutingTrace.from_counts(trace.loads()) keeps the loads of the latter)"
            )
            raise invalid("DeploymentModel", "traces", repr(trace), expected)
        sizes = (trace.n_layers, trace.n_experts, shape.k if trace.is_load_only else trace.k)
        wanted = (first.n_layers, shape.n_experts, shape.k)
        if sizes != wanted:
            raise invalid(
                "DeploymentModel",
                "traces",
                f"{trace.source} with {sizes}",
                f"of {wanted[0]} layers, {wanted[1]} experts and {wanted[2]} choices, as the "
                "shape and the first trace",
            )
    if shape.n_local != shape.n_experts:
        raise invalid("DeploymentModel", "shape", shape, "of the whole layer, n_local = n_experts")


def check_settings(
    traces: list[RoutingTrace],
    shape: LayerShape,
    *,
    n_devices: int,
    n_nodes: int,
    coverage: float,
    rest: RestOfModel | None,
    memory: MemoryModel | None,
    context: float | None,
    max_context: int | None,
    cache_bytes: int,
    kernel: str | None,
    kernels: Collection[str],
) -> None:
    """Raise a ValueError if settings are out of range, or do not fit the traces or one another."""
    owner = "DeploymentModel"
    if context is not None:
        number = check_number(owner, "context", context, _TOKENS)
        require(owner, "context", context, number >= 0, _TOKENS)
    if max_context is not None:
        count(owner, "max_context", max_context)
    count(owner, "cache_bytes", cache_bytes, 0)
    if kernel is not None:
        one_of(owner, "kernel", kernel, kernels)
    if n_devices > shape.n_experts:
        expected = f"at most the {shape.n_experts} experts of a layer"
        raise invalid(owner, "n_devices", n_devices, expected)
    if n_devices % n_nodes:
        raise invalid(owner, "n_nodes", n_nodes, f"a divisor of {n_devices} devices")
    if not 0 < coverage < 1:
        raise invalid(owner, "coverage", coverage, "between 0 and 1")
    n_layers = traces[0].n_layers
    if memory is not None and memory.n_moe_layers != n_layers:
        expected = f"of the traces' {n_layers} MoE layers"
        raise invalid(owner, "memory", memory.n_moe_layers, expected)
    if traces[0].is_load_only:
        known = context is not None
        why = "a number of tokens, since traces of loads do not tell how long sequences are"
        if rest not in (None, RestOfModel()) and not known:
            raise invalid(owner, "context", context, why)
        if memory is not None and not known and max_context is None:
            raise invalid(owner, "max_context", max_context, why)


def check_fit(model: DeploymentModel, decision: Decision) -> None:
    """Raise a ValueError if a decision is not about this model."""
    placement = decision.placement
    rows: list[tuple[str, object, object]] = [
        ("layers", model.n_layers, placement.n_layers),
        ("devices", model.n_devices, placement.n_devices),
        ("experts", model.shape.n_experts, placement.n_experts),
    ]
    if isinstance(decision, Plan):
        rows += [
            ("shape", model.shape, decision.shape),
            ("nodes", model.n_nodes, decision.n_nodes),
            ("mode", model.mode, decision.mode),
        ]
    for name, expected, actual in rows:
        if expected != actual:
            got, wanted = f"{name} {actual}", f"of {name} {expected}"
            raise invalid("DeploymentModel", "decision", got, wanted)
