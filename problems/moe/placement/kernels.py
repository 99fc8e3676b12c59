"""Compiled loops of placement: the busiest device of every step, features, and moves."""

from __future__ import annotations

import numpy as np

from moela.compilation.jit import cached_njit
from problems._arrays import Bools, Floats, Ints

__all__ = ["DRAWS", "FEATURES", "busiest", "describe", "move_rows"]


FEATURES = (
    "mean square share",
    "largest mean share",
    "largest root mean square share",
    "experts migrated",
    "experts held",
    "pairs on one node",
)
"""The columns that `describe` writes."""

TRIES = 6
DRAWS = 5 * TRIES
"""Uniform numbers that a move may use, five for each try."""


@cached_njit()
def busiest(shares: Floats, slots: Ints, n_devices: int, bounds: Ints, out: Floats) -> Floats:
    """Return the largest device share of each step, and write its mean, window by window.

    Percentiles are left to the caller: numba takes several seconds to compile `np.partition`.

    Parameters
    ----------
    shares : float array [n_experts, n_steps]
        Of one layer.
    slots : int array [n_slots]
        Experts by device.
    bounds : int array [n_windows + 1]
        Steps of each window.
    out : float array [n_windows]
    """
    n_experts, n_steps = shares.shape
    n_local = len(slots) // n_devices
    copies = np.zeros(n_experts)
    for expert in slots:
        copies[expert] += 1.0
    most = np.zeros(n_steps)
    load = np.empty(n_steps)
    for device in range(n_devices):
        load[:] = 0.0
        for slot in range(device * n_local, (device + 1) * n_local):
            expert = slots[slot]
            split = 1.0 / copies[expert]
            row = shares[expert]
            for step in range(n_steps):
                load[step] += split * row[step]
        for step in range(n_steps):
            most[step] = max(most[step], load[step])
    for window in range(len(bounds) - 1):
        out[window] = most[bounds[window] : bounds[window + 1]].mean()
    return most


@cached_njit()
def describe(
    rows: Ints,
    n_layers: int,
    n_devices: int,
    n_nodes: int,
    moments: Floats,
    mean: Floats,
    together: Floats,
    current: Bools,
    out: Floats,
) -> None:
    """Add the features of each placement, summed over layers, to `out` [n, 6].

    The columns are :data:`FEATURES`.
    """
    n_experts = mean.shape[1]
    n_slots = rows.shape[1] // n_layers
    n_local = n_slots // n_devices
    per_node = n_slots // n_nodes
    copies = np.zeros(n_experts)
    counted = np.zeros(n_experts, dtype=np.bool_)
    for i in range(len(rows)):
        for layer in range(n_layers):
            slots = rows[i, layer * n_slots : (layer + 1) * n_slots]
            copies[:] = 0.0
            for expert in slots:
                copies[expert] += 1.0
            hottest, widest = 0.0, 0.0
            for device in range(n_devices):
                first, last = device * n_local, (device + 1) * n_local
                load, square = 0.0, 0.0
                for s in range(first, last):
                    a = slots[s]
                    load += mean[layer, a] / copies[a]
                    row = moments[layer, a]
                    for t in range(first, last):
                        square += row[slots[t]] / (copies[a] * copies[slots[t]])
                    if not counted[a]:
                        counted[a] = True
                        out[i, 4] += 1.0
                        if not current[layer, a, device]:
                            out[i, 3] += 1.0
                for s in range(first, last):
                    counted[slots[s]] = False
                out[i, 0] += square
                hottest = max(hottest, load)
                widest = max(widest, square)
            out[i, 1] += hottest
            out[i, 2] += np.sqrt(widest)
            if n_nodes > 1:
                for node in range(n_nodes):
                    for s in range(node * per_node, (node + 1) * per_node):
                        for t in range(s + 1, (node + 1) * per_node):
                            a, b = slots[s], slots[t]
                            out[i, 5] += together[layer, a, b] / (copies[a] * copies[b])


@cached_njit()
def move_rows(
    rows: Ints,
    n_layers: int,
    n_devices: int,
    mean: Floats,
    current: Bools,
    library: Ints,
    draws: Floats,
    apart: bool,
) -> None:
    """Make one move in each row, in place.

    Parameters
    ----------
    rows : int array [n, n_layers * n_slots]
    mean : float array [n_layers, n_experts]
        Mean shares, which tell the device with most load.
    current : bool array [n_layers, n_experts, n_devices]
        Devices of the experts in the current placement.
    library : int array [n_library, n_layers * n_slots]
        Placements that layers may be taken from.
    draws : float array [n, DRAWS]
        Uniform numbers.
    apart : bool
        Whether copies of an expert must stay on different devices, as they are.
    """
    n_experts = mean.shape[1]
    n_slots = rows.shape[1] // n_layers
    copies = np.zeros(n_experts, dtype=np.int64)
    for i in range(len(rows)):
        for attempt in range(TRIES):
            u = draws[i, 5 * attempt : 5 * attempt + 5]
            layer = int(u[0] * n_layers)
            slots = rows[i, layer * n_slots : (layer + 1) * n_slots]
            copies[:] = 0
            for expert in slots:
                copies[expert] += 1
            # The last attempt is a plain swap, which is always possible.
            kind = u[1] if attempt < TRIES - 1 else 1.0
            if kind < 0.15:
                done = _from_library(slots, library, layer, n_slots, u[2])
            elif kind < 0.3:
                done = _send_back(slots, n_devices, current[layer], u[2], apart)
            elif kind < 0.5 and n_slots > n_experts:
                done = _recopy(slots, n_devices, copies, mean[layer], u[2:], apart)
            else:
                done = _swap_slots(slots, n_devices, copies, mean[layer], kind < 0.85, u[2:], apart)
            if done:
                break


@cached_njit()
def _holds(slots: Ints, device: int, n_local: int, expert: int) -> bool:
    return bool((slots[device * n_local : (device + 1) * n_local] == expert).any())


@cached_njit()
def _twins(slots: Ints, a: int, b: int, n_local: int) -> bool:
    """Return whether swapping two slots would put two copies of an expert on one device."""
    return _holds(slots, b // n_local, n_local, slots[a]) or _holds(
        slots, a // n_local, n_local, slots[b]
    )


@cached_njit()
def _swap_slots(
    slots: Ints, n_devices: int, copies: Ints, mean: Floats, from_hot: bool, u: Floats, apart: bool
) -> bool:
    """Swap a slot of the hottest (or any) device with one of another device."""
    n_local = len(slots) // n_devices
    device = int(u[0] * n_devices)
    if from_hot:
        best = -1.0
        for d in range(n_devices):
            load = 0.0
            for s in range(d * n_local, (d + 1) * n_local):
                load += mean[slots[s]] / copies[slots[s]]
            if load > best:
                best, device = load, d
    a = device * n_local + int(u[1] * n_local)
    start = int(u[2] * len(slots))
    for offset in range(len(slots)):
        b = (start + offset) % len(slots)
        if b // n_local != device and slots[b] != slots[a]:
            if apart and _twins(slots, a, b, n_local):
                continue
            slots[a], slots[b] = slots[b], slots[a]
            return True
    return False


@cached_njit()
def _recopy(
    slots: Ints, n_devices: int, copies: Ints, mean: Floats, u: Floats, apart: bool
) -> bool:
    """Turn one copy of an expert into a copy of another, busy ones more likely."""
    n_local = len(slots) // n_devices
    start = int(u[0] * len(slots))
    for offset in range(len(slots)):
        slot = (start + offset) % len(slots)
        old, device = slots[slot], slot // n_local
        if copies[old] > 1:
            total = 0.0
            for expert in range(len(mean)):
                if expert != old and not (apart and _holds(slots, device, n_local, expert)):
                    total += mean[expert] / copies[expert]
            if total <= 0.0:
                return False
            left = u[1] * total
            for expert in range(len(mean)):
                if expert != old and not (apart and _holds(slots, device, n_local, expert)):
                    left -= mean[expert] / copies[expert]
                    if left <= 0.0:
                        slots[slot] = expert
                        return True
            return False
    return False


@cached_njit()
def _send_back(slots: Ints, n_devices: int, current: Bools, u: float, apart: bool) -> bool:
    """Swap an expert back to its current device, so that less has to be migrated."""
    n_local = len(slots) // n_devices
    start = int(u * len(slots))
    for offset in range(len(slots)):
        a = (start + offset) % len(slots)
        device = a // n_local
        if current[slots[a], device]:
            continue
        for b in range(len(slots)):
            # An expert whose current device is this one, not the one that it is on.
            other = b // n_local
            if (
                other != device
                and slots[b] != slots[a]
                and current[slots[b], device]
                and not current[slots[b], other]
                and not (apart and _twins(slots, a, b, n_local))
            ):
                slots[a], slots[b] = slots[b], slots[a]
                return True
    return False


@cached_njit()
def _from_library(slots: Ints, library: Ints, layer: int, n_slots: int, u: float) -> bool:
    other = library[int(u * len(library)), layer * n_slots : (layer + 1) * n_slots]
    changed = False
    for slot in range(n_slots):
        changed |= other[slot] != slots[slot]
        slots[slot] = other[slot]
    return changed
