"""The classic ways to place experts: contiguous, greedy, anti-correlation, replicate-and-pack.

Searches and the exact optimum are in :mod:`moe_costmodel.placement.search`.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import ArrayLike

from moe_costmodel._arrays import Floats, Ints
from moe_costmodel._checks import check_loads, count, invalid, require
from moe_costmodel.placement.placement import Placement

__all__ = ["anti_correlation", "contiguous", "greedy", "replicate_and_pack"]


def _even(loads: ArrayLike, n_devices: int, owner: str) -> tuple[Floats, int]:
    array = check_loads(owner, loads, ndim=3)
    n_devices = count(owner, "n_devices", n_devices)
    if array.shape[2] % n_devices:
        raise invalid(owner, "n_devices", n_devices, f"a divisor of {array.shape[2]} experts")
    return array, n_devices


def contiguous(n_layers: int, n_experts: int, n_devices: int) -> Placement:
    """Return the default of every engine: experts in order of their ids, as many on each device.

    Parameters
    ----------
    n_layers, n_experts, n_devices : int
        The devices divide the experts.

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
    for name, value in (("n_layers", n_layers), ("n_experts", n_experts)):
        count("contiguous", name, value)
    if n_experts % count("contiguous", "n_devices", n_devices):
        raise invalid("contiguous", "n_devices", n_devices, f"a divisor of {n_experts} experts")
    return Placement(np.tile(np.arange(n_experts), (n_layers, 1)), n_devices)


def greedy(loads: ArrayLike, n_devices: int) -> Placement:
    """Place the busiest expert first, each on the least loaded device that has room.

    The paper's greedy (arXiv 2303.06182, section 6), and the packing step of DeepSeek's EPLB.

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
    array, n_devices = _even(loads, n_devices, "greedy")
    return Placement(
        np.stack([_pack_slots(mean, n_devices) for mean in array.mean(axis=0)]), n_devices
    )


def anti_correlation(loads: ArrayLike, n_devices: int, *, weight: float = 0.5) -> Placement:
    """Greedy placement that also keeps experts apart which are busy together.

    A device's load is the sum over its experts m of (mean tokens of m in a step + `weight` times
    the sum over experts a placed there before m of the Pearson correlation of a and m)
    (arXiv 2303.06182, section 6).

    Parameters
    ----------
    loads, n_devices
        As for :func:`greedy`. The loads must be counts of tokens, not shares: their scale weighs
        mean against correlation.
    weight : float
        Weight of the correlations.

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
    >>> from moe_costmodel import anti_correlation
    >>> loads = np.array([[[5, 5, 0, 0]], [[0, 0, 5, 5]]])  # 0 and 1 are busy together
    >>> anti_correlation(loads, n_devices=2).device_of().tolist()
    [[0, 1, 0, 1]]
    """
    array, n_devices = _even(loads, n_devices, "anti_correlation")
    slots = []
    for layer in range(array.shape[1]):
        series = array[:, layer]
        centerd = series - series.mean(axis=0)
        norm = np.sqrt((centerd**2).sum(axis=0))
        scaled = np.divide(centerd, norm, out=np.zeros_like(centerd), where=norm > 0)
        device = _pack_apart(series.mean(axis=0), weight * (scaled.T @ scaled), n_devices)
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

    Groups of experts are packed onto nodes; within a node, the expert with the most load per copy
    is copied again and again; the copies are packed onto the node's devices. Where the groups do
    not divide over the nodes, the nodes count as one.

    Parameters
    ----------
    loads, n_devices
        As for :func:`greedy`.
    n_replicas : int
        Slots beyond one for each expert; experts and replicas together divide over the devices.
    n_groups : int
        Groups that the router chooses among (1 where it has none).
    n_nodes : int
        Nodes that the devices are on.

    Returns
    -------
    Placement

    Raises
    ------
    ValueError
        If something does not divide.

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
    require(owner, "n_replicas", n_replicas, n_replicas >= 0, "0 or more")
    n_experts = array.shape[2]
    if n_groups % n_nodes:
        n_groups, n_nodes = 1, 1
    for parameter, divisor, dividend in (
        ("n_replicas", n_devices, n_experts + n_replicas),
        ("n_nodes", n_nodes, n_devices),
        ("n_groups", n_groups, n_experts),
    ):
        if dividend % divisor:
            raise invalid(
                owner,
                parameter,
                f"{dividend % divisor} over",
                f"such that {divisor} divides {dividend}",
            )
    slots = [
        _replicate_layer(mean, n_devices, n_replicas, n_groups, n_nodes)
        for mean in array.mean(axis=0)
    ]
    return Placement(np.stack(slots), n_devices)


def _replicate_layer(
    load: Floats, n_devices: int, n_replicas: int, n_groups: int, n_nodes: int
) -> Ints:
    size = len(load) // n_groups
    node_groups = _pack_slots(load.reshape(n_groups, size).sum(axis=1), n_nodes)
    per_node = node_groups.reshape(n_nodes, -1)
    extra = n_replicas // n_nodes
    slots = []
    for groups in per_node:
        members = (groups[:, None] * size + np.arange(size)).ravel()
        copies = np.ones(len(members), dtype=np.int64)
        physical = list(range(len(members)))
        for _ in range(extra):
            hottest = int((load[members] / copies).argmax())
            copies[hottest] += 1
            physical.append(hottest)
        local = np.array(physical)
        packed = _pack_slots(load[members][local] / copies[local], n_devices // n_nodes)
        slots.append(members[local[packed]])
    return np.concatenate(slots)


@numba.njit(cache=True)
def _pack_slots(weight: Floats, n_bins: int) -> Ints:
    """Pack items, heaviest first, onto the lightest bin with room; return items by bin."""
    room = len(weight) // n_bins
    order = np.argsort(-weight, kind="mergesort")
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


@numba.njit(cache=True)
def _pack_apart(mean: Floats, attraction: Floats, n_devices: int) -> Ints:
    """Return the device of each expert under the anti-correlation rule."""
    room = len(mean) // n_devices
    filled = np.zeros(n_devices, dtype=np.int64)
    load = np.zeros(n_devices)
    device = np.full(len(mean), -1, dtype=np.int64)
    for expert in np.argsort(-mean, kind="mergesort"):
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
