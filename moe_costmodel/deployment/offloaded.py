"""Seconds that a rule for misses adds to the steps of one layer, for all numbers of slots."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from moe_costmodel._arrays import Bools, Ints
from moe_costmodel._checks import invalid
from moe_costmodel.buffering.replay import expert_streams
from moe_costmodel.latency.layer_kernel import Traffic
from moe_costmodel.offloading.cost import MissCost
from moe_costmodel.offloading.rule import charged_seconds
from moe_costmodel.plans.decision import LayerDecision

__all__ = ["Charges", "charge"]

Charges = NDArray[np.float32]


def charge(
    traffic: Traffic, slots: Ints, decision: LayerDecision, cost: MissCost, n_layers: int
) -> Charges:
    """Replay a layer on all devices, window by window.

    Parameters
    ----------
    traffic : Traffic
        Tokens of each expert in each step.
    slots : ndarray of shape (n_slots,), int64
        Expert in each slot, device by device, none of them twice.
    decision : LayerDecision
        With a rule for misses.
    cost : MissCost
        Of the whole model, whose layers share the `hidden` time.
    n_layers : int

    Returns
    -------
    ndarray of shape (n_devices, n_local, n_steps), float32
        Seconds with 1 to n_local slots.

    Raises
    ------
    ValueError
        If an expert is in several slots.
    """
    rule, windows = decision.offload, traffic[4]
    assert rule is not None
    active = _active(traffic, int(windows[-1]))
    n_experts = active.shape[1]
    if len(slots) > n_experts:
        got = f"{len(slots)} slots of a layer of {n_experts} experts"
        raise invalid("DeploymentModel", "decision", got, "without replicas if misses have a rule")
    n_devices = decision.n_devices
    n_local = len(slots) // n_devices
    device_of = np.empty(n_experts, dtype=np.int64)
    device_of[slots] = np.repeat(np.arange(n_devices), n_local)
    start, sizes = decision.start, np.arange(1, n_local + 1)
    out = np.zeros((n_devices, n_local, len(active)), dtype=np.float32)
    for first, end in zip(windows[:-1].tolist(), windows[1:].tolist(), strict=True):
        if first == end:
            continue
        streams = expert_streams(active[first:end, None], device_of, n_devices)[0]
        for device, stream in enumerate(streams):
            own = None if start is None else start[device_of == device]
            out[device, :, first:end] = charged_seconds(
                stream, rule, sizes, cost, cost.hidden / n_layers, own
            )
    return out


def _active(traffic: Traffic, n_steps: int) -> Bools:
    """Return which experts each step needs, (n_steps, n_experts)."""
    counts, bounds, experts, _, _ = traffic
    if not len(bounds):
        return counts > 0
    active = np.zeros((n_steps, counts.shape[1]), dtype=np.bool_)
    active[np.repeat(np.arange(n_steps), np.diff(bounds)), experts] = True
    return active
