"""Checks of the traces that a deployment model is given."""

from __future__ import annotations

from moe_costmodel._checks import complain
from moe_costmodel.shapes import LayerShape
from moe_costmodel.traces.trace import RoutingTrace

__all__ = ["check_traces"]


def check_traces(traces: list[RoutingTrace], shape: LayerShape) -> None:
    """Raise a ValueError if traces do not fit one another, or the shape."""
    if not traces or not all(isinstance(trace, RoutingTrace) for trace in traces):
        got = next((repr(t) for t in traces if not isinstance(t, RoutingTrace)), "none")
        raise complain(
            "traces", "DeploymentModel", "at least one RoutingTrace (RoutingTrace.load)", got
        )
    first = traces[0]
    for trace in traces:
        if trace.is_load_only:
            raise complain(
                "traces",
                "DeploymentModel",
                "recorded token by token, since the batch size decides the steps",
                f"{trace!r}",
            )
        sizes = (trace.n_layers, trace.n_experts, trace.k)
        wanted = (first.n_layers, shape.n_experts, shape.k)
        if sizes != wanted:
            raise complain(
                "traces",
                "DeploymentModel",
                f"of {wanted[0]} layers, {wanted[1]} experts and {wanted[2]} choices, as the "
                "shape and the first trace",
                f"{trace.source} with {sizes}",
            )
    if shape.n_local != shape.n_experts:
        raise complain("shape", "DeploymentModel", "of the whole layer, n_local = n_experts", shape)
