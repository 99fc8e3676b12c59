"""Checks and defaults of placement alone and within a whole deployment."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from moe_costmodel import Placement, contiguous
from problems._arrays import Ints
from problems._checks import check_int, setting_error

__all__ = ["check_complete", "check_layer", "current_or_default", "slots_of_layer"]


def slots_of_layer(n_experts: int, replicas: int, n_devices: int, owner: str) -> int:
    """Return the number of slots of a layer, for experts and replicas together.

    A ValueError is raised if the devices do not divide the slots, or there are more replicas than
    a copy of each expert on each device.
    """
    replicas = check_int(owner, "replicas", replicas, 0, n_experts * (n_devices - 1))
    short = -(n_experts + replicas) % n_devices
    if short:
        expected = (
            f"such that {n_devices} devices divide {n_experts} experts and the replicas; "
            f"{replicas + short} would do"
        )
        raise setting_error(owner, "replicas", expected, replicas)
    return n_experts + replicas


def current_or_default(
    current: Placement | None, wanted: tuple[int, int, int], packed: ArrayLike, owner: str
) -> Placement:
    """Return the current placement; by default contiguous, or `packed` if that does not divide.

    A ValueError is raised unless the placement has the `wanted` layers, experts and devices.
    """
    n_layers, n_experts, n_devices = wanted
    if current is None:
        if n_experts % n_devices == 0:
            return contiguous(n_layers, n_experts, n_devices)
        return Placement(np.asarray(packed), n_devices)
    if not isinstance(current, Placement):
        expected = "a Placement, such as Placement(physical_to_logical, n_devices), or None"
        raise setting_error(owner, "current", expected, current)
    size = (current.n_layers, current.n_experts, current.n_devices)
    if size != wanted:
        raise setting_error(owner, "current", f"of {wanted} layers, experts and devices", size)
    return current


def check_layer(experts: Ints, layer: int, n_experts: int, owner: str) -> None:
    """Raise unless every expert has one of the slots [n_slots] of a layer."""
    n_copies = np.bincount(experts, minlength=n_experts)
    if n_copies.min() == 0:
        expected = f"complete, with a slot for expert {n_copies.argmin()} of layer {layer}"
        raise setting_error(owner, "X", expected, experts.tolist())


def check_complete(slots: Ints, n_experts: int, owner: str) -> None:
    """Raise unless every expert has a slot in each layer, in rows [n, n_layers, n_slots]."""
    for row in slots:
        for layer, experts in enumerate(row):
            check_layer(experts, layer, n_experts, owner)
