"""Expert placements: who holds which expert, what that costs, and the classic ways to choose.

The searches and the exact optimum are in :mod:`moe_costmodel.balance_search`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import ArrayLike, NDArray

from moe_costmodel._checks import check_loads, check_positive, complain
from moe_costmodel.trace import RoutingTrace

__all__ = [
    "Placement",
    "anti_correlation",
    "avg_max_load",
    "balancedness",
    "contiguous",
    "cross_node_traffic",
    "greedy",
    "max_load",
    "migration_bytes",
    "replicate_and_pack",
]


@dataclass(frozen=True)
class Placement:
    """Which expert sits in which slot.

    Parameters
    ----------
    physical_to_logical : array_like of shape (n_layers, n_slots), integer
        Expert in each slot, in the order of devices: device d holds the d-th run of
        ``n_slots / n_devices`` slots. An expert in several slots is replicated; its tokens are
        split evenly over its copies. The layout of SGLang's ``physical_to_logical_map``.
    n_devices : int
        Number of devices; divides the slots.

    Raises
    ------
    ValueError
        If the shape is wrong, the slots do not divide, or some expert has no slot.
    """

    physical_to_logical: NDArray[np.int64]
    n_devices: int

    def __post_init__(self) -> None:
        slots = np.asarray(self.physical_to_logical)
        n_devices = check_positive(self.n_devices, "n_devices", "Placement")
        if slots.ndim != 2 or slots.size == 0 or slots.dtype.kind not in "ui" or slots.min() < 0:
            raise complain(
                "physical_to_logical",
                "Placement",
                "non-negative integers of shape (layers, slots)",
                f"shape {slots.shape}, dtype {slots.dtype}",
            )
        if slots.shape[1] % n_devices:
            raise complain(
                "n_devices", "Placement", f"a divisor of the {slots.shape[1]} slots", n_devices
            )
        object.__setattr__(self, "physical_to_logical", slots.astype(np.int64))
        missing = np.argwhere(self.copies == 0)
        if len(missing):
            layer, expert = (int(i) for i in missing[0])
            raise complain(
                "physical_to_logical",
                "Placement",
                "complete, every expert in a slot of every layer",
                f"none for expert {expert} of layer {layer}",
            )

    @classmethod
    def from_devices(cls, device_of: ArrayLike, n_devices: int) -> Placement:
        """Return the placement without replicas that puts expert e of layer l on device_of[l, e].

        Raises
        ------
        ValueError
            If a device holds more experts than another.
        """
        devices = np.atleast_2d(np.asarray(device_of))
        sizes = np.stack([(devices == d).sum(axis=1) for d in range(n_devices)], axis=1)
        if (sizes * n_devices != devices.shape[1]).any():
            layer = int(np.argwhere(sizes * n_devices != devices.shape[1])[0, 0])
            raise complain(
                "device_of",
                "Placement",
                f"{devices.shape[1]} experts spread evenly over {n_devices} devices",
                f"{sizes[layer].tolist()} in layer {layer}",
            )
        return cls(np.argsort(devices, axis=1, kind="stable"), n_devices)

    @property
    def n_layers(self) -> int:
        """Number of layers."""
        return int(self.physical_to_logical.shape[0])

    @property
    def n_slots(self) -> int:
        """Slots of a layer, over all devices."""
        return int(self.physical_to_logical.shape[1])

    @property
    def n_experts(self) -> int:
        """Experts of a layer."""
        return int(self.physical_to_logical.max()) + 1

    @property
    def n_replicas(self) -> int:
        """Slots beyond one for each expert."""
        return self.n_slots - self.n_experts

    @property
    def copies(self) -> NDArray[np.int64]:
        """Copies of each expert, (n_layers, n_experts)."""
        return self.on_device().sum(axis=2)

    def on_device(self) -> NDArray[np.int64]:
        """Return the copies of each expert on each device, (n_layers, n_experts, n_devices)."""
        slot_device = np.arange(self.n_slots) // (self.n_slots // self.n_devices)
        out = np.zeros((self.n_layers, self.n_experts, self.n_devices), dtype=np.int64)
        layer = np.arange(self.n_layers)[:, None]
        np.add.at(out, (layer, self.physical_to_logical, slot_device), 1)
        return out

    def device_of(self) -> NDArray[np.int64]:
        """Return the device of each expert, (n_layers, n_experts); a ValueError with replicas."""
        if self.n_replicas:
            raise ValueError(
                f"This placement has {self.n_replicas} replicas, so an expert has no single "
                "device; use on_device."
            )
        return self.on_device().argmax(axis=2)

    def device_loads(self, loads: ArrayLike) -> NDArray[np.float64]:
        """Return the tokens that each device computes.

        Parameters
        ----------
        loads : array_like of shape (n_steps, n_layers, n_experts)
            Tokens of each expert in each step.

        Returns
        -------
        ndarray of shape (n_steps, n_layers, n_devices)

        Raises
        ------
        ValueError
            If the loads are of other layers or experts.
        """
        array = check_loads(loads, "device_loads", ndim=3)
        if array.shape[1:] != (self.n_layers, self.n_experts):
            raise complain(
                "loads",
                "device_loads",
                f"of shape (steps, {self.n_layers}, {self.n_experts})",
                f"shape {array.shape}",
            )
        held = self.on_device()
        share = held / held.sum(axis=2, keepdims=True)
        return np.matmul(array.transpose(1, 0, 2), share).transpose(1, 0, 2)


def _device_shares(placement: Placement, loads: ArrayLike) -> NDArray[np.float64]:
    """Return each device's share of the step; a step without tokens is even."""
    tokens = placement.device_loads(loads)
    total = tokens.sum(axis=2, keepdims=True)
    even = np.full_like(tokens, 1.0 / placement.n_devices)
    return np.divide(tokens, total, out=even, where=total > 0)


def max_load(placement: Placement, loads: ArrayLike) -> NDArray[np.float64]:
    """Return the worst step's largest share of tokens on one device, (n_layers,).

    The paper's Max Load (arXiv 2303.06182, section 6); 1 / n_devices is perfect.
    """
    return _device_shares(placement, loads).max(axis=(0, 2))


def avg_max_load(placement: Placement, loads: ArrayLike) -> NDArray[np.float64]:
    """Return the mean over steps of the largest share of tokens on one device, (n_layers,).

    The paper's Avg Max Load (arXiv 2303.06182, section 6); 1 / n_devices is perfect.
    """
    return _device_shares(placement, loads).max(axis=2).mean(axis=0)


def balancedness(placement: Placement, loads: ArrayLike) -> NDArray[np.float64]:
    """Return the mean over steps of (mean device load / largest device load), (n_layers,).

    SGLang's metric; 1 is perfect. A layer without load counts as perfect.
    """
    shares = _device_shares(placement, loads)
    return (1.0 / (placement.n_devices * shares.max(axis=2))).mean(axis=0)


def migration_bytes(
    current: Placement, target: Placement, expert_bytes: ArrayLike
) -> NDArray[np.float64]:
    """Return the bytes that must be copied to get from one placement to another, (n_layers,).

    Parameters
    ----------
    current, target : Placement
        Of the same layers, experts and devices; replicas may differ.
    expert_bytes : float or array_like of shape (n_layers,)
        Size of one expert.

    Raises
    ------
    ValueError
        If the two are not of the same layers, experts and devices.
    """
    shapes = [(p.n_layers, p.n_experts, p.n_devices) for p in (current, target)]
    if shapes[0] != shapes[1]:
        raise complain(
            "target",
            "migration_bytes",
            f"of {shapes[0]} layers, experts and devices",
            f"{shapes[1]}",
        )
    arriving = (target.on_device() > 0) & (current.on_device() == 0)
    return arriving.sum(axis=(1, 2)) * np.asarray(expert_bytes, dtype=np.float64)


def cross_node_traffic(
    trace: RoutingTrace, placement: Placement, n_nodes: int
) -> NDArray[np.float64]:
    """Return how many other nodes a token is sent to, on average, (n_layers,).

    Tokens start on every node alike and are sent once to a node however many of their experts are
    there. A copy on the token's own node is preferred; otherwise the lowest-numbered copy serves.
    Times the bytes of a token, and twice (there and back), this is the traffic between nodes.

    Parameters
    ----------
    trace : RoutingTrace
        With choices of tokens.
    placement : Placement
        Of the trace's layers and experts.
    n_nodes : int
        Divides the devices; node n holds the n-th run of devices.

    Raises
    ------
    ValueError
        If the nodes do not divide the devices, or trace and placement do not fit.
    """
    n_nodes = check_positive(n_nodes, "n_nodes", "cross_node_traffic")
    if placement.n_devices % n_nodes:
        raise complain(
            "n_nodes", "cross_node_traffic", f"a divisor of {placement.n_devices} devices", n_nodes
        )
    if (trace.n_layers, trace.n_experts) != (placement.n_layers, placement.n_experts):
        raise complain(
            "placement",
            "cross_node_traffic",
            f"of {trace.n_layers} layers of {trace.n_experts} experts",
            f"{placement.n_layers} of {placement.n_experts}",
        )
    held = placement.on_device()
    per_node = held.reshape(*held.shape[:2], n_nodes, -1).sum(axis=3) > 0
    return _remote_nodes(np.ascontiguousarray(trace.topk_ids), per_node)


@numba.njit(cache=True)
def _remote_nodes(ids: NDArray[np.integer], per_node: NDArray[np.bool_]) -> NDArray[np.float64]:
    n_tokens, n_layers, k = ids.shape
    n_nodes = per_node.shape[2]
    visited = np.zeros(n_nodes, dtype=np.bool_)
    out = np.zeros(n_layers)
    for layer in range(n_layers):
        primary = np.empty(per_node.shape[1], dtype=np.int64)
        for expert in range(per_node.shape[1]):
            for node in range(n_nodes - 1, -1, -1):
                if per_node[layer, expert, node]:
                    primary[expert] = node
        total = 0
        for token in range(n_tokens):
            for home in range(n_nodes):
                visited[:] = False
                for j in range(k):
                    expert = ids[token, layer, j]
                    if not per_node[layer, expert, home] and not visited[primary[expert]]:
                        visited[primary[expert]] = True
                        total += 1
        out[layer] = total / (n_tokens * n_nodes)
    return out


def _even(loads: ArrayLike, n_devices: int, owner: str) -> tuple[NDArray[np.float64], int]:
    array = check_loads(loads, owner, ndim=3)
    n_devices = check_positive(n_devices, "n_devices", owner)
    if array.shape[2] % n_devices:
        raise complain("n_devices", owner, f"a divisor of {array.shape[2]} experts", n_devices)
    return array, n_devices


def contiguous(n_layers: int, n_experts: int, n_devices: int) -> Placement:
    """Return the default of every engine: experts in order of their ids, as many on each device.

    Raises
    ------
    ValueError
        If the devices do not divide the experts.
    """
    for name, value in (("n_layers", n_layers), ("n_experts", n_experts)):
        check_positive(value, name, "contiguous")
    if n_experts % check_positive(n_devices, "n_devices", "contiguous"):
        raise complain("n_devices", "contiguous", f"a divisor of {n_experts} experts", n_devices)
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

    Raises
    ------
    ValueError
        If the loads are unusable or the devices do not divide the experts.
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

    Raises
    ------
    ValueError
        If the loads are unusable or the devices do not divide the experts.
    """
    array, n_devices = _even(loads, n_devices, "anti_correlation")
    slots = []
    for layer in range(array.shape[1]):
        series = array[:, layer]
        centred = series - series.mean(axis=0)
        norm = np.sqrt((centred**2).sum(axis=0))
        scaled = np.divide(centred, norm, out=np.zeros_like(centred), where=norm > 0)
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

    Raises
    ------
    ValueError
        If something does not divide.
    """
    owner = "replicate_and_pack"
    array = check_loads(loads, owner, ndim=3)
    n_devices = check_positive(n_devices, "n_devices", owner)
    n_nodes = check_positive(n_nodes, "n_nodes", owner)
    n_groups = check_positive(n_groups, "n_groups", owner)
    if n_replicas < 0:
        raise complain("n_replicas", owner, "0 or more", n_replicas)
    n_experts = array.shape[2]
    if n_groups % n_nodes:
        n_groups, n_nodes = 1, 1
    for parameter, divisor, dividend in (
        ("n_replicas", n_devices, n_experts + n_replicas),
        ("n_nodes", n_nodes, n_devices),
        ("n_groups", n_groups, n_experts),
    ):
        if dividend % divisor:
            raise complain(
                parameter,
                owner,
                f"such that {divisor} divides {dividend}",
                f"{dividend % divisor} over",
            )
    slots = [
        _replicate_layer(mean, n_devices, n_replicas, n_groups, n_nodes)
        for mean in array.mean(axis=0)
    ]
    return Placement(np.stack(slots), n_devices)


def _replicate_layer(
    load: NDArray[np.float64], n_devices: int, n_replicas: int, n_groups: int, n_nodes: int
) -> NDArray[np.int64]:
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
def _pack_slots(weight: NDArray[np.float64], n_bins: int) -> NDArray[np.int64]:
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
def _pack_apart(
    mean: NDArray[np.float64], attraction: NDArray[np.float64], n_devices: int
) -> NDArray[np.int64]:
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
