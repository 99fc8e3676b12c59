"""Checks of what a deployment model is given: traces, gates, placements and capacities."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from moe_costmodel._checks import invalid
from moe_costmodel.gating.rules import GateRule
from moe_costmodel.placement.placement import Placement
from moe_costmodel.shapes import LayerShape
from moe_costmodel.traces.trace import RoutingTrace

__all__ = [
    "Gates",
    "check_traces",
    "checked_capacities",
    "checked_gates",
    "checked_slots",
    "require_weights",
]

Gates = GateRule | Sequence[GateRule | None] | None
_KEEP_ALL = GateRule.keep_all()


def check_traces(traces: list[RoutingTrace], shape: LayerShape) -> None:
    """Complain about traces that do not fit one another, or the shape."""
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


def checked_gates(
    gates: Gates, traces: Sequence[RoutingTrace], n_layers: int
) -> tuple[GateRule | None, ...]:
    """Return the rule of each layer, None where it drops nothing."""
    if gates is None or isinstance(gates, GateRule):
        gates = (gates,) * n_layers
    if len(gates) != n_layers:
        raise invalid("DeploymentModel", "gates", len(gates), f"{n_layers}, one a layer")
    rules = tuple(None if rule == _KEEP_ALL else rule for rule in gates)
    if any(rule is not None for rule in rules):
        require_weights(traces)
    return rules


def require_weights(traces: Sequence[RoutingTrace]) -> None:
    """Complain where a trace holds no weights, which thresholds look at."""
    for trace in traces:
        if not trace.has_weights:
            trace.topk_weights  # noqa: B018 (raises, and says what to do)


def checked_slots(
    placement: Placement | ArrayLike | None, n_layers: int, n_experts: int, n_devices: int
) -> NDArray[np.int64]:
    """Return the expert of each slot, (n_layers, n_slots), ascending on each device."""
    if placement is None:
        if n_experts % n_devices:
            raise invalid("DeploymentModel", "n_devices", n_devices, f"a divisor of {n_experts}")
        placement = np.tile(np.arange(n_experts), (n_layers, 1))
    if isinstance(placement, Placement):
        if placement.n_devices != n_devices:
            raise invalid(
                "DeploymentModel", "placement", f"{placement.n_devices}", f"on {n_devices} devices"
            )
        placement = placement.physical_to_logical
    slots = np.asarray(placement)
    if (
        slots.ndim != 2
        or len(slots) != n_layers
        or slots.shape[1] < n_experts
        or slots.shape[1] % n_devices
        or slots.dtype.kind not in "ui"
    ):
        raise invalid(
            "DeploymentModel",
            "placement",
            f"shape {slots.shape}, dtype {slots.dtype}",
            f"integers of shape ({n_layers}, slots), at least {n_experts} slots, and as "
            f"many on each of {n_devices} devices",
        )
    if slots.min() < 0 or slots.max() >= n_experts:
        raise invalid(
            "DeploymentModel",
            "placement",
            f"{slots.min()} .. {slots.max()}",
            f"of experts 0 .. {n_experts - 1}",
        )
    # The order of a device's slots changes nothing; sorted, equal layers are found again.
    by_device = slots.astype(np.int64).reshape(n_layers, n_devices, -1)
    return np.ascontiguousarray(np.sort(by_device, axis=2).reshape(slots.shape))


def checked_capacities(
    capacities: ArrayLike | None, n_layers: int, n_devices: int, n_local: int
) -> NDArray[np.int64]:
    """Return what each device keeps of each layer, (n_layers, n_devices)."""
    shape = (n_layers, n_devices)
    if capacities is None:
        return np.full(shape, n_local, dtype=np.int64)
    array = np.asarray(capacities)
    if array.ndim == 1 and array.shape == (n_layers,):
        array = array[:, None]
    if (
        array.dtype.kind not in "ui"
        or array.ndim not in (0, 2)
        or array.shape not in {(), shape, (n_layers, 1)}
    ):
        raise invalid(
            "DeploymentModel",
            "capacities",
            f"shape {array.shape}, dtype {array.dtype}",
            f"one integer, {n_layers} of them, or of shape {shape}",
        )
    if array.min() < 1 or array.max() > n_local:
        raise invalid(
            "DeploymentModel",
            "capacities",
            f"{array.min()} .. {array.max()}",
            f"from 1 to the {n_local} slots of a device",
        )
    return np.ascontiguousarray(np.broadcast_to(array, shape).astype(np.int64))
