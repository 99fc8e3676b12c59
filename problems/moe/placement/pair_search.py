"""Placements from second moments: experts that are busy together are put on different devices.

The largest share of a step on one device is small if the devices' shares vary little around the
mean, so the sum over devices of their mean square share is minimized. That sum is a quadratic form
in the second moments of the experts' shares, a sum over pairs of experts on one device. A swap of
two experts therefore costs a few additions, however many steps were recorded. In decoding, the
tokens of a step come from different sequences, so that the moments of a step follow from those of
single tokens. A trace then holds more information than the steps that its sequences happened to
form.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from moe_costmodel import RoutingTrace
from moela.compilation.jit import cached_njit
from problems._arrays import Floats, Ints

__all__ = [
    "copies_of",
    "descend",
    "pairs_of_tokens",
    "second_moments",
    "shares_of",
    "spread_pairs",
    "swap_path",
]


def shares_of(loads: NDArray[np.generic]) -> Floats:
    """Return each expert's share of its layer's load in a step, equal shares if there is no load.

    Loads and shares have the shape [n_steps, n_layers, n_experts].
    """
    values: Floats = loads.astype(np.float64)
    total = values.sum(axis=2, keepdims=True)
    equal = np.full_like(values, 1.0 / values.shape[2])
    return np.divide(values, total, out=equal, where=total > 0)


def second_moments(trace: RoutingTrace, batch_size: int, mode: str) -> Floats:
    """Return the mean products of the experts' shares of a step, [n_layers, n_experts, n_experts].

    Parameters
    ----------
    trace : RoutingTrace
        A load-only trace has steps of its own.
    batch_size : int
        Sequences decoded together, or tokens of a step.
    mode : {"decode", "prefill"}
        In decoding, the tokens of a step are independent; else the recorded steps are used.
    """
    n_layers, n_experts = trace.n_layers, trace.n_experts
    out = np.empty((n_layers, n_experts, n_experts))
    if not trace.is_load_only and mode == "decode":
        for layer in range(n_layers):
            chosen = np.zeros((trace.n_tokens, n_experts), dtype=np.float32)
            ids = np.asarray(trace.topk_ids[:, layer], dtype=np.int64)
            np.put_along_axis(chosen, ids, np.float32(1.0), axis=1)
            mean = chosen.mean(axis=0, dtype=np.float64) / trace.k
            square = (chosen.T @ chosen).astype(np.float64) / (trace.n_tokens * trace.k**2)
            outer = np.outer(mean, mean)
            out[layer] = (square - outer) / batch_size + outer
        return out
    loads = trace.step_loads(batch_size, "prefill")
    shares = shares_of(loads)
    for layer in range(n_layers):
        out[layer] = shares[:, layer].T @ shares[:, layer] / len(shares)
    return out


def pairs_of_tokens(windows: Sequence[RoutingTrace]) -> Floats:
    """Return how often two experts serve one token, the mean over windows, 0 on the diagonal.

    The result is [n_layers, n_experts, n_experts], in the units of `second_moments`.
    """
    pairs: Floats = np.mean([second_moments(window, 1, "decode") for window in windows], axis=0)
    index = np.arange(pairs.shape[1])
    pairs[:, index, index] = 0.0
    return pairs


def copies_of(mean: Floats, n_replicas: int, most: int) -> Ints:
    """Return the number of copies of each expert, each replica given to the most loaded copy.

    DeepSeek's EPLB replicates in this way, but without the limit `most`: a second copy on the same
    device is of no use.
    """
    copies = np.ones(len(mean), dtype=np.int64)
    for _ in range(n_replicas):
        copies[int(np.where(copies < most, mean / copies, -1.0).argmax())] += 1
    return copies


def spread_pairs(
    moments: Floats,
    experts: Ints,
    n_devices: int,
    random_state: np.random.Generator,
    *,
    restarts: int | None = None,
) -> tuple[Ints, float]:
    """Spread slots over devices so that the devices' mean square shares are least.

    Local search takes the first improvement over all pairs of slots, in random order, from several
    starts.

    Parameters
    ----------
    moments : float array [n_experts, n_experts]
        Moments of one layer, see `second_moments`, or any symmetric matrix of pair costs.
    experts : int array [n_slots]
        The expert of each slot; an expert with c slots has 1 / c of its load in each.
    n_devices : int
        Divides the slots.
    restarts : int, optional
        By default as many as take about the time of 200 restarts on 64 slots.

    Returns
    -------
    slots : int array [n_slots]
        Experts by device.
    value : float
        Sum of the pair costs.
    """
    n = len(experts)
    if restarts is None:
        restarts = max(3, round(200 * (64 / n) ** 2))
    weight = 1.0 / np.bincount(experts)[experts]
    cost = moments[np.ix_(experts, experts)] * np.outer(weight, weight)
    first, second = np.triu_indices(n, 1)
    best, devices = np.inf, np.arange(n) % n_devices
    for _ in range(restarts):
        device = random_state.permutation(n) % n_devices
        order = random_state.permutation(len(first))
        value = descend(cost, device, n_devices, first[order], second[order])
        if value < best:
            best, devices = value, device
    return experts[np.argsort(devices, kind="stable")], float(best)


@cached_njit()
def descend(cost: Floats, device: Ints, n_devices: int, first: Ints, second: Ints) -> float:
    """Swap pairs of slots while that lowers the cost; changes `device`, returns the cost."""
    n = len(device)
    pull = _pulls(cost, device, n_devices)
    for _ in range(100):
        improved = False
        for pair in range(len(first)):
            a, b = first[pair], second[pair]
            if device[a] == device[b]:
                continue
            if _change(cost, pull, device, a, b) < -1e-13:
                _swap(cost, pull, device, a, b)
                improved = True
        if not improved:
            break
    value = 0.0
    for slot in range(n):
        value += pull[slot, device[slot]]
    return value


@cached_njit()
def swap_path(cost: Floats, device: Ints, n_devices: int, longest: int) -> tuple[Ints, Floats]:
    """Take the best swap up to `longest` times; return the pairs [n, 2] and what each gained [n].

    Change `device` to the end of the path.
    """
    n = len(device)
    pull = _pulls(cost, device, n_devices)
    pairs = np.empty((longest, 2), dtype=np.int64)
    gains = np.empty(longest)
    for length in range(longest):
        best, at, other = -1e-13, -1, -1
        for a in range(n):
            for b in range(a + 1, n):
                if device[a] != device[b]:
                    change = _change(cost, pull, device, a, b)
                    if change < best:
                        best, at, other = change, a, b
        if at < 0:
            return pairs[:length], gains[:length]
        _swap(cost, pull, device, at, other)
        pairs[length, 0], pairs[length, 1], gains[length] = at, other, -best
    return pairs, gains


@cached_njit()
def _pulls(cost: Floats, device: Ints, n_devices: int) -> Floats:
    """Return the cost between each slot and each device, [n_slots, n_devices]."""
    n = len(device)
    pull = np.zeros((n, n_devices))
    for a in range(n):
        for b in range(n):
            pull[a, device[b]] += cost[a, b]
    return pull


@cached_njit()
def _change(cost: Floats, pull: Floats, device: Ints, a: int, b: int) -> float:
    da, db = device[a], device[b]
    after = pull[a, db] + pull[b, da] - 2.0 * cost[a, b]
    before = pull[a, da] - cost[a, a] + pull[b, db] - cost[b, b]
    return 2.0 * (after - before)


@cached_njit()
def _swap(cost: Floats, pull: Floats, device: Ints, a: int, b: int) -> None:
    da, db = device[a], device[b]
    for slot in range(len(device)):
        moved = cost[slot, b] - cost[slot, a]
        pull[slot, da] += moved
        pull[slot, db] -= moved
    device[a], device[b] = db, da
