"""Placement heuristics: contiguous, greedy, anti-correlation, replicate-and-pack.

Searches and the exact optimum are in :mod:`moe_costmodel.placement.search`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from moe_costmodel._arrays import Floats, Ints
from moe_costmodel._checks import check_loads, check_number, count, invalid
from moe_costmodel.placement.placement import Placement, even_devices
from moela.compilation.jit import cached_njit

__all__ = ["anti_correlation", "contiguous", "greedy", "replicate_and_pack"]


def _even(owner: str, loads: ArrayLike, n_devices: int) -> tuple[Floats, int]:
    array = check_loads(owner, loads, ndim=3)
    return array, even_devices(owner, n_devices, array.shape[2])


def contiguous(n_layers: int, n_experts: int, n_devices: int) -> Placement:
    """Return the default of serving engines: experts in the order of ids, equally many per device.

    Parameters
    ----------
    n_layers, n_experts, n_devices : int
        Numbers of layers, experts of a layer, and devices; the devices must divide the experts.

    Returns
    -------
    Placement

    Raises
    ------
    ValueError
        If the devices do not divide the experts.

    Examples
    --------
    >>> from moe_costmodel import contiguous
    >>> contiguous(n_layers=1, n_experts=4, n_devices=2).device_of().tolist()
    [[0, 0, 1, 1]]
    """
    count("contiguous", "n_layers", n_layers)
    count("contiguous", "n_experts", n_experts)
    even_devices("contiguous", n_devices, n_experts)
    return Placement(np.tile(np.arange(n_experts), (n_layers, 1)), n_devices)


def greedy(loads: ArrayLike, n_devices: int) -> Placement:
    """Place each expert, busiest first, on the least loaded device that has room.

    The greedy method of arXiv 2303.06182, section 6, and the packing step of DeepSeek's EPLB.

    Parameters
    ----------
    loads : array_like of shape (n_steps, n_layers, n_experts)
        Tokens of each expert in each step.
    n_devices : int
        Number of devices; each gets n_experts / n_devices experts.

    Returns
    -------
    Placement

    Raises
    ------
    ValueError
        If the loads are unusable or the devices do not divide the experts.

    Examples
    --------
    >>> import numpy as np
    >>> from moe_costmodel import greedy
    >>> greedy(np.array([[[4, 3, 2, 1]]]), n_devices=2).device_of().tolist()
    [[0, 1, 1, 0]]
    """
    array, n_devices = _even("greedy", loads, n_devices)
    slots = [_pack_slots(mean, n_devices) for mean in array.mean(axis=0)]
    return Placement(np.stack(slots), n_devices)


def anti_correlation(loads: ArrayLike, n_devices: int, *, weight: float = 0.5) -> Placement:
    """Place experts greedily, but keep experts that are busy together apart.

    The load of a device is a sum over its experts: the mean tokens of an expert in a step, plus
    `weight` times its Pearson correlations with the experts that were placed there before (arXiv
    2303.06182, section 6).

    Parameters
    ----------
    loads, n_devices
        As for :func:`greedy`. The loads must be counts of tokens and not shares, because their
        scale balances means and correlations.
    weight : float
        Weight of the correlations.

    Returns
    -------
    Placement

    Examples
    --------
    >>> import numpy as np
    >>> from moe_costmodel import anti_correlation
    >>> loads = np.array([[[5, 5, 0, 0]], [[0, 0, 5, 5]]])  # 0 and 1 are busy together
    >>> anti_correlation(loads, n_devices=2).device_of().tolist()
    [[0, 1, 0, 1]]
    """
    array, n_devices = _even("anti_correlation", loads, n_devices)
    weight = check_number("anti_correlation", "weight", weight)
    slots = []
    for layer in range(array.shape[1]):
        series = array[:, layer]
        centered = series - series.mean(axis=0)
        norm = np.sqrt((centered**2).sum(axis=0))
        scaled = np.divide(centered, norm, out=np.zeros_like(centered), where=norm > 0)
        mean = series.mean(axis=0)
        order = np.argsort(-mean, kind="stable")
        device = _pack_apart(order, mean, weight * (scaled.T @ scaled), n_devices)
        slots.append(np.argsort(device, kind="stable"))
    return Placement(np.stack(slots), n_devices)


def replicate_and_pack(
    loads: ArrayLike,
    n_devices: int,
    *,
    n_replicas: int = 0,
    n_groups: int = 1,
    n_nodes: int = 1,
) -> Placement:
    """Replicate the hottest experts and pack the copies: the method of DeepSeek's EPLB.

    Groups of experts are packed onto nodes. Within a node, the expert with the most load per copy
    gets another copy until no slot is left, and the copies are packed onto the devices of the node.
    If the nodes do not divide the groups, all nodes count as one.

    Parameters
    ----------
    loads, n_devices
        As for :func:`greedy`.
    n_replicas : int
        Number of slots beyond one for each expert; the devices must divide the slots.
    n_groups : int
        Number of groups that the router chooses among; 1 if it has none.
    n_nodes : int
        Number of nodes that the devices are on.

    Returns
    -------
    Placement

    Raises
    ------
    ValueError
        If the devices do not divide the slots, the nodes the devices, or the groups the experts.

    Examples
    --------
    >>> import numpy as np
    >>> from moe_costmodel import replicate_and_pack
    >>> placement = replicate_and_pack(np.array([[[9, 1, 1, 1]]]), n_devices=2, n_replicas=2)
    >>> placement.copies[0].tolist()
    [3, 1, 1, 1]
    """
    owner = "replicate_and_pack"
    array = check_loads(owner, loads, ndim=3)
    n_devices = count(owner, "n_devices", n_devices)
    n_nodes = count(owner, "n_nodes", n_nodes)
    n_groups = count(owner, "n_groups", n_groups)
    n_replicas = count(owner, "n_replicas", n_replicas, 0)
    n_experts = array.shape[2]
    if n_groups % n_nodes:
        n_groups, n_nodes = 1, 1
    for name, divisor, dividend in (
        ("n_replicas", n_devices, n_experts + n_replicas),
        ("n_nodes", n_nodes, n_devices),
        ("n_groups", n_groups, n_experts),
    ):
        if remainder := dividend % divisor:
            expected = f"such that {divisor} divides {dividend}"
            raise invalid(owner, name, f"a remainder of {remainder}", expected)
    members = np.arange(n_experts).reshape(n_groups, -1)
    slots = []
    for mean in array.mean(axis=0):
        groups = _pack_slots(mean[members].sum(axis=1), n_nodes).reshape(n_nodes, -1)
        for held in members[groups].reshape(n_nodes, -1):
            slots.append(_replicate(held, mean, n_replicas // n_nodes, n_devices // n_nodes))
    return Placement(np.concatenate(slots).reshape(array.shape[1], -1), n_devices)


def _replicate(experts: Ints, load: Floats, n_replicas: int, n_devices: int) -> Ints:
    """Return the slots of a node's experts, with copies of the hottest, packed onto devices."""
    copies = np.ones(len(experts), dtype=np.int64)
    local = list(range(len(experts)))
    for _ in range(n_replicas):
        hottest = int((load[experts] / copies).argmax())
        copies[hottest] += 1
        local.append(hottest)
    packed = _pack_slots((load[experts] / copies)[local], n_devices)
    return experts[np.array(local)[packed]]


def _pack_slots(weight: Floats, n_bins: int) -> Ints:
    """Pack each item, heaviest first, into the lightest bin with room; return the items by bin."""
    slots: Ints = _pack_in_order(np.argsort(-weight, kind="stable"), weight, n_bins)
    return slots


@cached_njit()
def _pack_in_order(order: Ints, weight: Floats, n_bins: int) -> Ints:
    """Pack the items as `_pack_slots` does, in this order."""
    room = len(weight) // n_bins
    filled = np.zeros(n_bins, dtype=np.int64)
    load = np.zeros(n_bins)
    slots = np.empty(len(weight), dtype=np.int64)
    for item in order:
        best = -1
        for b in range(n_bins):
            if filled[b] < room and (best < 0 or load[b] < load[best]):
                best = b
        slots[best * room + filled[best]] = item
        filled[best] += 1
        load[best] += weight[item]
    return slots


@cached_njit()
def _pack_apart(order: Ints, mean: Floats, attraction: Floats, n_devices: int) -> Ints:
    """Return the device of each expert under the anti-correlation rule, given their order."""
    room = len(mean) // n_devices
    filled = np.zeros(n_devices, dtype=np.int64)
    load = np.zeros(n_devices)
    device = np.full(len(mean), -1, dtype=np.int64)
    for expert in order:
        best, best_load = -1, 0.0
        for d in range(n_devices):
            if filled[d] < room:
                after = load[d] + mean[expert]
                for other in range(len(mean)):
                    if device[other] == d:
                        after += attraction[other, expert]
                if best < 0 or after < best_load:
                    best, best_load = d, after
        device[expert] = best
        filled[best] += 1
        load[best] = best_load
    return device
