"""Checks of the traces that a deployment model is given."""

from __future__ import annotations

from moe_costmodel._checks import invalid
from moe_costmodel.shapes import LayerShape
from moe_costmodel.traces.trace import RoutingTrace

__all__ = ["check_traces"]


def check_traces(traces: list[RoutingTrace], shape: LayerShape) -> None:
    """Raise a ValueError if traces do not fit one another, or the shape."""
    if not traces or not all(isinstance(trace, RoutingTrace) for trace in traces):
        got = next((repr(t) for t in traces if not isinstance(t, RoutingTrace)), "none")
        raise invalid(
            "DeploymentModel", "traces", got, "at least one RoutingTrace (RoutingTrace.load)"
        )
    first = traces[0]
    for trace in traces:
        if trace.is_load_only:
            raise invalid(
                "DeploymentModel",
                "traces",
                f"{trace!r}",
                "recorded token by token, since the batch size decides the steps",
            )
        sizes = (trace.n_layers, trace.n_experts, trace.k)
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
