"""Placement: which device holds which expert, and what a placement is worth."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numba
import numpy as np
from numpy.typing import ArrayLike, NDArray

from moe_costmodel._checks import check_loads, check_positive, complain
from moe_costmodel.traces.trace import RoutingTrace

__all__ = [
    "Placement",
    "avg_max_load",
    "balancedness",
    "cross_node_traffic",
    "max_load",
    "migration_bytes",
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

    Examples
    --------
    >>> from moe_costmodel import Placement
    >>> placement = Placement.from_devices([[0, 1, 1, 0]], n_devices=2)
    >>> placement.physical_to_logical.tolist()
    [[0, 3, 1, 2]]
    >>> placement.device_of().tolist()
    [[0, 1, 1, 0]]
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
        copies = self.copies
        if not copies.all():
            layer, expert = (int(i) for i in np.argwhere(copies == 0)[0])
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

    @cached_property
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
        n_cells = self.n_layers * self.n_experts
        first = np.arange(0, n_cells, self.n_experts)[:, None]
        cells = (self.physical_to_logical + first).ravel()
        return np.bincount(cells, minlength=n_cells).reshape(self.n_layers, self.n_experts)

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

    Parameters
    ----------
    placement : Placement
        Of the layers and experts of the loads.
    loads : array_like of shape (n_steps, n_layers, n_experts)
        Tokens of each expert in each step.

    Returns
    -------
    ndarray of shape (n_layers,)
        Shares, from 1 / n_devices to 1.

    Examples
    --------
    >>> import numpy as np
    >>> from moe_costmodel import contiguous, max_load
    >>> max_load(contiguous(1, 4, n_devices=2), np.array([[[4, 3, 2, 1]], [[1, 0, 0, 0]]])).tolist()
    [1.0]
    """
    return _device_shares(placement, loads).max(axis=(0, 2))


def avg_max_load(placement: Placement, loads: ArrayLike) -> NDArray[np.float64]:
    """Return the mean over steps of the largest share of tokens on one device, (n_layers,).

    The paper's Avg Max Load (arXiv 2303.06182, section 6); 1 / n_devices is perfect.

    Parameters
    ----------
    placement : Placement
        Of the layers and experts of the loads.
    loads : array_like of shape (n_steps, n_layers, n_experts)
        Tokens of each expert in each step.

    Returns
    -------
    ndarray of shape (n_layers,)
        Shares, from 1 / n_devices to 1.

    Examples
    --------
    >>> import numpy as np
    >>> from moe_costmodel import avg_max_load, contiguous
    >>> avg_max_load(contiguous(1, 4, n_devices=2), np.array([[[4, 3, 2, 1]]])).tolist()
    [0.7]
    """
    return _device_shares(placement, loads).max(axis=2).mean(axis=0)


def balancedness(placement: Placement, loads: ArrayLike) -> NDArray[np.float64]:
    """Return the mean over steps of (mean device load / largest device load), (n_layers,).

    SGLang's metric; 1 is perfect. A layer without load counts as perfect.

    Parameters
    ----------
    placement : Placement
        Of the layers and experts of the loads.
    loads : array_like of shape (n_steps, n_layers, n_experts)
        Tokens of each expert in each step.

    Returns
    -------
    ndarray of shape (n_layers,)
        From 1 / n_devices to 1.

    Examples
    --------
    >>> import numpy as np
    >>> from moe_costmodel import balancedness, contiguous
    >>> balancedness(contiguous(1, 4, n_devices=2), np.array([[[4, 4, 2, 2]]])).tolist()
    [0.75]
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

    Returns
    -------
    ndarray of shape (n_layers,)
        Bytes.

    Raises
    ------
    ValueError
        If the two are not of the same layers, experts and devices.

    Examples
    --------
    >>> from moe_costmodel import Placement, migration_bytes
    >>> now = Placement.from_devices([[0, 0, 1, 1]], n_devices=2)
    >>> then = Placement.from_devices([[1, 0, 0, 1]], n_devices=2)
    >>> migration_bytes(now, then, expert_bytes=1000).tolist()
    [2000.0]
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

    Returns
    -------
    ndarray of shape (n_layers,)
        Other nodes a token, from 0 to n_nodes - 1.

    Raises
    ------
    ValueError
        If the nodes do not divide the devices, or trace and placement do not fit.

    Examples
    --------
    >>> from moe_costmodel import RoutingTrace, contiguous, cross_node_traffic
    >>> trace = RoutingTrace.example("code")
    >>> placement = contiguous(trace.n_layers, trace.n_experts, n_devices=4)
    >>> cross_node_traffic(trace, placement, n_nodes=1).tolist()
    [0.0, 0.0, 0.0, 0.0, 0.0, 0.0]
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
