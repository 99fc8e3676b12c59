"""Compiled loops of buffering: waiting times of steps, and slots given up one by one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from moela.compilation.jit import cached_njit
from problems._arrays import Floats, Ints

__all__ = ["Misses", "exchange", "give_up", "waiting_steps"]

# Copies, or costs of steps in units of a miss.
Misses = NDArray[np.uint16] | NDArray[np.float32]


@cached_njit()
def waiting_steps(misses: Misses, kept: Ints, policy: Ints, steps: Floats, mean: Floats) -> None:
    """Write the copies that each step waits for, and their means.

    Parameters
    ----------
    misses : uint16 or float32 array [n_policies, n_layers, n_devices, n_capacities, n_steps]
    kept : int array [n, n_layers, n_devices]
    policy : int array [n]
    steps, mean : float array [n, n_steps] and [n]
        Output.
    """
    n_layers, n_devices, n_steps = misses.shape[1], misses.shape[2], misses.shape[4]
    most = np.empty(n_steps, dtype=misses.dtype)
    steps.fill(0.0)
    for i in range(len(kept)):
        for layer in range(n_layers):
            most.fill(0)
            for device in range(n_devices):
                other = misses[policy[i], layer, device, kept[i, layer, device] - 1]
                for s in range(n_steps):
                    most[s] = max(most[s], other[s])
            for s in range(n_steps):
                steps[i, s] += most[s]
        # Sums of counts are exact in float64, too.
        total = 0.0
        for s in range(n_steps):
            total += steps[i, s]
        mean[i] = total / n_steps


@cached_njit()
def give_up(misses: Misses, kept: Ints, per_device: bool) -> Ints:
    """Give up slots one by one, each where the steps then wait least, down to one per layer.

    Parameters
    ----------
    misses : uint16 or float32 array [n_layers, n_devices, n_capacities, n_steps]
    kept : int array [n_layers, n_devices]
        Initial slots.
    per_device : bool
        Whether devices may give up slots in different layers. Each gives up one per round.

    Returns
    -------
    int array [n, n_layers, n_devices]
        From the initial slots to one per layer.
    """
    n_layers, n_devices = kept.shape
    kept = kept.copy()
    n_columns = n_devices if per_device else 1
    price = np.empty((n_layers, n_columns))
    for layer in range(n_layers):
        for column in range(n_columns):
            price[layer, column] = _price(misses[layer], kept[layer], column, per_device)
    slots = np.zeros(n_devices, dtype=np.int64)
    rounds = _count_slots(kept, slots) - n_layers
    out = np.empty((rounds + 1, n_layers, n_devices), dtype=np.int64)
    _copy(kept, out[0])
    for i in range(1, rounds + 1):
        # The fullest devices determine the memory, so only they have to give something up.
        fullest = _count_slots(kept, slots)
        for column in range(n_columns):
            if per_device and slots[column] < fullest:
                continue
            cheapest = 0
            for layer in range(1, n_layers):
                if price[layer, column] < price[cheapest, column]:
                    cheapest = layer
            for device in range(n_devices):
                if not per_device:
                    kept[cheapest, device] = max(kept[cheapest, device] - 1, 1)
                elif device == column:
                    kept[cheapest, device] -= 1
            for other in range(n_columns):
                price[cheapest, other] = _price(misses[cheapest], kept[cheapest], other, per_device)
        _copy(kept, out[i])
    return out


@cached_njit()
def _count_slots(kept: Ints, slots: Ints) -> int:
    """Write the slots of each device, and return those of the fullest."""
    fullest = 0
    for device in range(kept.shape[1]):
        slots[device] = 0
        for layer in range(kept.shape[0]):
            slots[device] += kept[layer, device]
        fullest = max(fullest, slots[device])
    return fullest


@cached_njit()
def _copy(kept: Ints, out: Ints) -> None:
    """Copy slots. An assignment between arrays would take two seconds to compile."""
    for layer in range(kept.shape[0]):
        for device in range(kept.shape[1]):
            out[layer, device] = kept[layer, device]


@cached_njit()
def exchange(misses: Misses, kept: Ints, most: Ints) -> None:
    """Move slots between layers of a device while that shortens the steps; changes `kept`.

    Parameters
    ----------
    misses : uint16 or float32 array [n_layers, n_devices, n_capacities, n_steps]
    kept, most : int array [n_layers, n_devices]
        Slots, and the largest number of them.
    """
    n_layers, n_devices = kept.shape
    price = np.empty((n_layers, n_devices))
    gain = np.empty((n_layers, n_devices))
    for layer in range(n_layers):
        for device in range(n_devices):
            price[layer, device] = _waits(misses[layer], kept[layer], device, -1, most[layer])
            gain[layer, device] = -_waits(misses[layer], kept[layer], device, 1, most[layer])
    # Each move shortens the waiting, so the loop ends; the bound is for hundreds of layers.
    for _ in range(4 * n_layers * n_devices):
        best, giver, taker, where = 1e-9, -1, -1, -1
        for device in range(n_devices):
            a, b = int(price[:, device].argmin()), int(gain[:, device].argmax())
            if a != b and gain[b, device] - price[a, device] > best:
                best, giver, taker, where = gain[b, device] - price[a, device], a, b, device
        if giver < 0:
            return
        kept[giver, where] -= 1
        kept[taker, where] += 1
        for layer in (giver, taker):
            for device in range(n_devices):
                price[layer, device] = _waits(misses[layer], kept[layer], device, -1, most[layer])
                gain[layer, device] = -_waits(misses[layer], kept[layer], device, 1, most[layer])


@cached_njit()
def _longer(misses: Misses, kept: Ints, after: Ints) -> float:
    """Return how much longer the steps wait for a layer if capacities `kept` become `after`."""
    n_devices, _, n_steps = misses.shape
    total = 0.0
    for step in range(n_steps):
        before, then = 0.0, 0.0
        for device in range(n_devices):
            before = max(before, misses[device, kept[device] - 1, step])
            then = max(then, misses[device, after[device] - 1, step])
        total += then - before
    return total


@cached_njit()
def _waits(misses: Misses, kept: Ints, device: int, change: int, most: Ints) -> float:
    """Return how much longer the steps wait for a layer if a device's capacity changes."""
    after = kept.copy()
    after[device] += change
    if after[device] < 1 or after[device] > most[device]:
        return np.inf
    return _longer(misses, kept, after)


@cached_njit()
def _price(misses: Misses, kept: Ints, column: int, per_device: bool) -> float:
    """Return how much longer the steps wait for a layer that keeps one slot less."""
    n_devices, _, n_steps = misses.shape
    after = kept.copy()
    changed = False
    for device in range(n_devices):
        if not per_device:
            after[device] = max(kept[device] - 1, 1)
        elif device == column:
            after[device] -= 1
        changed |= after[device] != kept[device]
    if not changed or (per_device and after[column] < 1):
        return np.inf
    # A slot of a device that waits for the others is free now, but not once they give up theirs.
    own = 0.0
    for step in range(n_steps):
        for device in range(n_devices):
            own += misses[device, after[device] - 1, step]
            own -= misses[device, kept[device] - 1, step]
    return _longer(misses, kept, after) + 0.2 * own / n_devices
