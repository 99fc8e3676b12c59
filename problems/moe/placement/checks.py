"""Checks and defaults that placement has alone and within a whole deployment."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from moe_costmodel import Placement, contiguous
from moe_costmodel._checks import invalid
from problems._arrays import Ints

__all__ = ["check_complete", "current_or_default", "slots_of_layer"]


def slots_of_layer(n_experts: int, replicas: Any, n_devices: int, owner: str) -> int:
    """Return the slots of a layer, experts and replicas together.

    Raises
    ------
    ValueError
        If the replicas are no whole number from 0, more than a copy of each expert on each device,
        or the devices do not divide the slots.
    """
    if isinstance(replicas, bool) or replicas != int(replicas) or replicas < 0:
        raise invalid(owner, "replicas", replicas, "a whole number, 0 or more")
    most = n_experts * (n_devices - 1)
    if replicas > most:
        raise invalid(
            owner, "replicas", replicas, f"at most {most}, a copy of every expert on every device"
        )
    n_slots = n_experts + int(replicas)
    if n_slots % n_devices:
        raise invalid(
            owner,
            "replicas",
            f"{n_experts} + {replicas}",
            f"such that {n_devices} devices divide experts and replicas; "
            f"{replicas + -n_slots % n_devices} would do",
        )
    return n_slots


def current_or_default(
    current: Placement | None, wanted: tuple[int, int, int], packed: ArrayLike, owner: str
) -> Placement:
    """Return today's placement; by default contiguous, or `packed` where that does not divide.

    Parameters
    ----------
    current : Placement or None
    wanted : tuple of int
        Layers, experts and devices that it must have.
    packed : int array [n_layers, n_slots]
    owner : str

    Raises
    ------
    ValueError
        If it is of other layers, experts or devices.
    """
    n_layers, n_experts, n_devices = wanted
    if current is None:
        if n_experts % n_devices == 0:
            return contiguous(n_layers, n_experts, n_devices)
        return Placement(np.asarray(packed), n_devices)
    found = (current.n_layers, current.n_experts, current.n_devices)
    if found != wanted:
        raise invalid(owner, "current", found, f"of {wanted} layers, experts and devices")
    return current


def check_complete(slots: Ints, n_experts: int, owner: str) -> None:
    """Check that every expert has a slot, in rows of slots [n, n_layers, n_slots].

    Raises
    ------
    ValueError
        An expert of some layer has none; the message names the first.
    """
    for i, row in enumerate(slots):
        for layer, experts in enumerate(row):
            missing = np.flatnonzero(np.bincount(experts, minlength=n_experts) == 0)
            if len(missing):
                raise invalid(
                    owner,
                    "X",
                    f"none for expert {missing[0]} of layer {layer} in row {i}",
                    "complete, every expert in a slot of every layer",
                )
