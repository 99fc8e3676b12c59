"""Placement: the assignment of experts to devices, and its metrics."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import ArrayLike, NDArray

from moe_costmodel._arrays import Bools, Floats, Ints
from moe_costmodel._checks import (
    array_of,
    check_loads,
    check_nonnegative,
    count,
    first_where,
    invalid,
    require,
    shape_of,
)
from moe_costmodel.traces.trace import RoutingTrace
from moela.compilation.jit import cached_njit

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
    """Assignment of experts to the slots of devices.

    Parameters
    ----------
    physical_to_logical : array_like of shape (n_layers, n_slots), integer
        Expert in each slot, ordered by device: device d holds the d-th run of
        ``n_slots / n_devices`` slots. An expert in several slots is replicated, and its tokens are
        split evenly over its copies. This is the layout of SGLang's ``physical_to_logical_map``.
    n_devices : int
        Number of devices, a divisor of the number of slots.

    Raises
    ------
    ValueError
        If the shape is wrong, the devices do not divide the slots, or an expert has no slot.

    Examples
    --------
    >>> from moe_costmodel import Placement
    >>> placement = Placement.from_devices([[0, 1, 1, 0]], n_devices=2)
    >>> placement.physical_to_logical.tolist()
    [[0, 3, 1, 2]]
    >>> placement.device_of().tolist()
    [[0, 1, 1, 0]]
    """

    physical_to_logical: Ints
    n_devices: int

    def __post_init__(self) -> None:
        owner, name = "Placement", "physical_to_logical"
        slots = array_of(owner, name, self.physical_to_logical)
        n_devices = count(owner, "n_devices", self.n_devices)
        if slots.ndim != 2 or slots.size == 0 or slots.dtype.kind not in "ui":
            expected = "non-negative integers of shape (layers, slots)"
            raise invalid(owner, name, shape_of(slots), expected)
        if negative := first_where(slots, slots < 0):
            expected = "of experts from 0 (every slot holds one: fill empty slots with copies)"
            raise invalid(owner, name, negative, expected)
        complete = "complete, every expert in a slot of every layer"
        if int(slots.max()) >= slots.shape[1]:  # too few slots, and perhaps too many to count
            expert = int(np.setdiff1d(np.arange(slots.shape[1] + 1), slots[0])[0])
            raise invalid(owner, name, f"none for expert {expert} of layer 0", complete)
        divides = slots.shape[1] % n_devices == 0
        require(owner, "n_devices", n_devices, divides, f"a divisor of the {slots.shape[1]} slots")
        object.__setattr__(self, name, slots.astype(np.int64))
        # Kept, since it is asked for in every evaluation; private, so that stores do not record it.
        object.__setattr__(self, "_n_experts", int(slots.max()) + 1)
        copies = self.copies
        if not copies.all():
            layer, expert = (int(i) for i in np.argwhere(copies == 0)[0])
            raise invalid(owner, name, f"none for expert {expert} of layer {layer}", complete)

    @classmethod
    def from_devices(cls, device_of: ArrayLike, n_devices: int) -> Placement:
        """Return the placement without replicas that puts expert e of layer l on device_of[l, e].

        All devices must hold equally many experts.
        """
        devices = np.atleast_2d(array_of("Placement", "device_of", device_of))
        if devices.ndim != 2 or devices.size == 0 or devices.dtype.kind not in "ui":
            expected = "integers of shape (layers, experts)"
            raise invalid("Placement", "device_of", shape_of(devices), expected)
        n_devices = even_devices("Placement", n_devices, devices.shape[1])
        sizes = np.stack([(devices == d).sum(axis=1) for d in range(n_devices)], axis=1)
        uneven = np.flatnonzero((sizes * n_devices != devices.shape[1]).any(axis=1))
        if len(uneven):
            expected = f"{devices.shape[1]} experts spread evenly over {n_devices} devices"
            got = f"{sizes[uneven[0]].tolist()} in layer {uneven[0]}"
            raise invalid("Placement", "device_of", got, expected)
        return cls(np.argsort(devices, axis=1, kind="stable"), n_devices)

    @property
    def n_layers(self) -> int:
        """Number of layers."""
        return int(self.physical_to_logical.shape[0])

    @property
    def n_slots(self) -> int:
        """Number of slots of a layer, over all devices."""
        return int(self.physical_to_logical.shape[1])

    @property
    def n_experts(self) -> int:
        """Number of experts of a layer."""
        n_experts: int = self._n_experts  # type: ignore[attr-defined]
        return n_experts

    @property
    def n_replicas(self) -> int:
        """Number of slots of a layer beyond one for each expert."""
        return self.n_slots - self.n_experts

    @property
    def copies(self) -> Ints:
        """Copies of each expert, (n_layers, n_experts)."""
        n_cells = self.n_layers * self.n_experts
        first = np.arange(0, n_cells, self.n_experts)[:, None]
        cells = (self.physical_to_logical + first).ravel()
        return np.bincount(cells, minlength=n_cells).reshape(self.n_layers, self.n_experts)

    def on_device(self) -> Ints:
        """Return the copies of each expert on each device, (n_layers, n_experts, n_devices)."""
        slot_device = np.arange(self.n_slots) // (self.n_slots // self.n_devices)
        out = np.zeros((self.n_layers, self.n_experts, self.n_devices), dtype=np.int64)
        layer = np.arange(self.n_layers)[:, None]
        np.add.at(out, (layer, self.physical_to_logical, slot_device), 1)
        return out

    def device_of(self) -> Ints:
        """Return the device of each expert, (n_layers, n_experts); a ValueError with replicas."""
        if self.n_replicas:
            raise ValueError(
                f"The placement has {self.n_replicas} replicas, so that experts may be on several "
                "devices; use on_device."
            )
        return self.on_device().argmax(axis=2)

    def device_loads(self, loads: ArrayLike) -> Floats:
        """Return the tokens that each device computes, (n_steps, n_layers, n_devices).

        The loads are the tokens of each expert in each step, (n_steps, n_layers, n_experts). Each
        copy of an expert counts an equal part of its tokens, so the busiest device of a step with
        few tokens is busier than these loads say.
        """
        array = check_loads("device_loads", loads, ndim=3)
        if array.shape[1:] != (self.n_layers, self.n_experts):
            expected = f"of shape (steps, {self.n_layers}, {self.n_experts})"
            raise invalid("device_loads", "loads", f"shape {array.shape}", expected)
        held = self.on_device()
        share = held / held.sum(axis=2, keepdims=True)
        return np.matmul(array.transpose(1, 0, 2), share).transpose(1, 0, 2)


def even_devices(owner: str, n_devices: int, n_experts: int) -> int:
    """Return the number of devices, which must divide the experts."""
    n_devices = count(owner, "n_devices", n_devices)
    divides = n_experts % n_devices == 0
    require(owner, "n_devices", n_devices, divides, f"a divisor of {n_experts} experts")
    return n_devices


def shares(tokens: Floats, *, if_none: float) -> Floats:
    """Return tokens as shares of their sum over the last axis; `if_none` if the sum is 0."""
    total = tokens.sum(axis=-1, keepdims=True)
    return np.divide(tokens, total, out=np.full_like(tokens, if_none), where=total > 0)


def _largest_shares(placement: Placement, loads: ArrayLike) -> Floats:
    """Return the largest share of tokens on one device, (steps, layers)."""
    tokens = placement.device_loads(loads)
    return shares(tokens, if_none=1.0 / placement.n_devices).max(axis=2)


def max_load(placement: Placement, loads: ArrayLike) -> Floats:
    """Return the largest share of tokens on one device in the worst step, (n_layers,).

    Max Load of arXiv 2303.06182, section 6; 1 / n_devices is perfect.

    Parameters
    ----------
    placement : Placement
        Placement of the layers and experts of the loads.
    loads : array_like of shape (n_steps, n_layers, n_experts)
        Tokens of each expert in each step.

    Returns
    -------
    ndarray of shape (n_layers,)

    Examples
    --------
    >>> import numpy as np
    >>> from moe_costmodel import contiguous, max_load
    >>> max_load(contiguous(1, 4, n_devices=2), np.array([[[4, 3, 2, 1]], [[1, 0, 0, 0]]])).tolist()
    [1.0]
    """
    return _largest_shares(placement, loads).max(axis=0)


def avg_max_load(placement: Placement, loads: ArrayLike) -> Floats:
    """Return the largest share of tokens on one device, mean over steps, (n_layers,).

    Avg Max Load of arXiv 2303.06182, section 6; 1 / n_devices is perfect.

    Parameters
    ----------
    placement, loads
        As for :func:`max_load`.

    Returns
    -------
    ndarray of shape (n_layers,)

    Examples
    --------
    >>> import numpy as np
    >>> from moe_costmodel import avg_max_load, contiguous
    >>> avg_max_load(contiguous(1, 4, n_devices=2), np.array([[[4, 3, 2, 1]]])).tolist()
    [0.7]
    """
    return _largest_shares(placement, loads).mean(axis=0)


def balancedness(placement: Placement, loads: ArrayLike) -> Floats:
    """Return the mean over steps of (mean device load / largest device load), (n_layers,).

    SGLang's metric, from 1 / n_devices to 1; 1 is perfect, also for a layer without load.

    Parameters
    ----------
    placement, loads
        As for :func:`max_load`.

    Returns
    -------
    ndarray of shape (n_layers,)

    Examples
    --------
    >>> import numpy as np
    >>> from moe_costmodel import balancedness, contiguous
    >>> balancedness(contiguous(1, 4, n_devices=2), np.array([[[4, 4, 2, 2]]])).tolist()
    [0.75]
    """
    return (1.0 / (placement.n_devices * _largest_shares(placement, loads))).mean(axis=0)


def migration_bytes(current: Placement, target: Placement, expert_bytes: ArrayLike) -> Floats:
    """Return the bytes that must be copied to change from one placement to another, (n_layers,).

    Parameters
    ----------
    current, target : Placement
        Placements of the same layers, experts and devices; replicas may differ.
    expert_bytes : float or array_like of shape (n_layers,)
        Size of one expert, finite and not negative.

    Returns
    -------
    ndarray of shape (n_layers,)

    Raises
    ------
    ValueError
        If the placements differ in layers, experts or devices, or a size is wrong.

    Examples
    --------
    >>> from moe_costmodel import Placement, migration_bytes
    >>> now = Placement.from_devices([[0, 0, 1, 1]], n_devices=2)
    >>> then = Placement.from_devices([[1, 0, 0, 1]], n_devices=2)
    >>> migration_bytes(now, then, expert_bytes=1000).tolist()
    [2000.0]
    """
    owner = "migration_bytes"
    shapes = [(p.n_layers, p.n_experts, p.n_devices) for p in (current, target)]
    if shapes[0] != shapes[1]:
        expected = f"of {shapes[0]} layers, experts and devices"
        raise invalid(owner, "target", shapes[1], expected)
    sizes = array_of(owner, "expert_bytes", expert_bytes)
    if sizes.shape not in {(), (current.n_layers,)} or sizes.dtype.kind not in "uif":
        expected = f"a number, or numbers of shape ({current.n_layers},)"
        raise invalid(owner, "expert_bytes", shape_of(sizes), expected)
    sizes = sizes.astype(np.float64)
    check_nonnegative(sizes, partial(invalid, owner, "expert_bytes"))
    arriving = (target.on_device() > 0) & (current.on_device() == 0)
    return np.asarray(arriving.sum(axis=(1, 2)) * sizes)


def cross_node_traffic(trace: RoutingTrace, placement: Placement, n_nodes: int) -> Floats:
    """Return the mean number of other nodes that a token is sent to, (n_layers,).

    Every node is the source of equally many tokens. A token is sent to a node at most once, even
    if several of its experts are there. A copy of an expert on the source node is preferred, and
    otherwise the lowest-numbered copy is used. Twice this number (there and back) times the bytes
    of a token is the traffic between nodes.

    Parameters
    ----------
    trace : RoutingTrace
        A trace with the choices of each token.
    placement : Placement
        Placement of the layers and experts of the trace.
    n_nodes : int
        Number of nodes, a divisor of the devices; node n holds the n-th run of devices.

    Returns
    -------
    ndarray of shape (n_layers,)
        From 0 to n_nodes - 1.

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
    owner = "cross_node_traffic"
    n_nodes = count(owner, "n_nodes", n_nodes)
    divides = placement.n_devices % n_nodes == 0
    require(owner, "n_nodes", n_nodes, divides, f"a divisor of {placement.n_devices} devices")
    if (trace.n_layers, trace.n_experts) != (placement.n_layers, placement.n_experts):
        expected = f"of {trace.n_layers} layers of {trace.n_experts} experts"
        got = f"{placement.n_layers} of {placement.n_experts}"
        raise invalid(owner, "placement", got, expected)
    held = placement.on_device()
    per_node = held.reshape(*held.shape[:2], n_nodes, -1).sum(axis=3) > 0
    return _remote_nodes(np.ascontiguousarray(trace.topk_ids), per_node)


@cached_njit()
def _remote_nodes(ids: NDArray[np.integer], per_node: Bools) -> Floats:
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
            for source in range(n_nodes):
                visited[:] = False
                for j in range(k):
                    expert = ids[token, layer, j]
                    if not per_node[layer, expert, source] and not visited[primary[expert]]:
                        visited[primary[expert]] = True
                        total += 1
        out[layer] = total / (n_tokens * n_nodes)
    return out
