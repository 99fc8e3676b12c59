"""The devices that hold the experts: given, or contiguous."""

from __future__ import annotations

from moe_costmodel import Placement, RoutingTrace, contiguous
from problems._checks import check_int, setting_error

__all__ = ["checked_placement"]


def checked_placement(
    placement: Placement | None, n_devices: int, trace: RoutingTrace
) -> Placement:
    """Return a placement with the layers and experts of a trace, each on one device, or raise."""
    owner, (n_layers, n_experts) = "ExpertBuffering", (trace.n_layers, trace.n_experts)
    if placement is None:
        check_int(owner, "n_devices", n_devices, 1)
        if n_experts % n_devices:
            expected = f"a divisor of {n_experts} experts"
            raise setting_error(owner, "n_devices", expected, n_devices)
        placement = contiguous(n_layers, n_experts, n_devices)
    if not isinstance(placement, Placement):
        raise setting_error(owner, "placement", "a Placement, or None", placement)
    if (placement.n_layers, placement.n_experts) != (n_layers, n_experts):
        expected = f"of {n_layers} layers of {n_experts} experts, as the trace"
        got = (placement.n_layers, placement.n_experts)
        raise setting_error(owner, "placement", expected, got)
    if placement.n_replicas:
        expected = "without replicas, since the replay takes each expert to be on one device"
        raise setting_error(owner, "placement", expected, f"{placement.n_replicas} replicas")
    return placement
