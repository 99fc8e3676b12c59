"""Expert buffering: the misses of a bounded set of resident experts, for all capacities at once.

A device keeps some of its experts in fast memory. The experts that a step needs run in ascending
order of their ids, and an expert that is not resident is copied in and evicts another one (arXiv
2303.06182, section 5). Each layer has a buffer of its own on each device, so that layers and
devices are separable.

Three of the policies are stack algorithms (Mattson et al., Evaluation techniques for storage
hierarchies, IBM Systems Journal 9(2), 1970): a larger buffer always holds all that a smaller one
holds, so that one stack answers all capacities. The other policies are replayed side by side.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import ArrayLike, NDArray

from moe_costmodel._arrays import Bools, Floats, Ints
from moe_costmodel._checks import check_loads, count, invalid, one_of, several_of, shape_of
from moe_costmodel.buffering.kernels import events, sum_by_step

__all__ = ["POLICIES", "ExpertStream", "MissCurves", "expert_streams", "miss_curves", "replay"]

POLICIES: dict[str, str] = {
    "paper": "inactive experts first, last in first out (arXiv 2303.06182)",
    "fifo": "first in, first out",
    "lru": "least recently used",
    "lfu": "least frequently used so far, the least recent of equals",
    "inactive-lfu": "the least frequent inactive expert; if there is none, last in first out",
    "min": "the expert needed last in the future (Belady, 1966): a bound, not an online policy",
}
_CODES = {name: code for code, name in enumerate(POLICIES)}
_Int = TypeVar("_Int", np.int32, np.int64)
_Misses = tuple[NDArray[np.uint64], int]  # the bits of each access, and the number of capacities


@dataclass(frozen=True)
class ExpertStream:
    """The experts that one layer needs on one device, step by step.

    Attributes
    ----------
    ids : ndarray of shape (n_accesses,), int64
        Experts by their local number on the device, different and ascending within a step.
    bounds : ndarray of shape (n_steps + 1,), int64
        Step s needs ``ids[bounds[s]:bounds[s + 1]]``.
    n_experts : int
        Experts that the device holds of this layer.

    Raises
    ------
    ValueError
        If an id is not in 0 .. n_experts - 1, the ids of a step are not different and ascending, or
        the bounds do not ascend from 0 to n_accesses.

    Examples
    --------
    >>> import numpy as np
    >>> from moe_costmodel import ExpertStream
    >>> stream = ExpertStream(ids=np.array([0, 1, 0, 2]), bounds=np.array([0, 2, 4]), n_experts=3)
    >>> stream.misses([2], "lru").tolist()
    [[2], [1]]
    """

    ids: Ints
    bounds: Ints
    n_experts: int

    def __post_init__(self) -> None:
        # The compiled replay looks ids and bounds up without a check of its own.
        owner, ids, bounds = "ExpertStream", self.ids, self.bounds
        count(owner, "n_experts", self.n_experts, 0)
        for name, array in (("ids", ids), ("bounds", bounds)):
            if not isinstance(array, np.ndarray) or array.ndim != 1 or array.dtype != np.int64:
                got = shape_of(np.asarray(array))
                raise invalid(owner, name, got, "an int64 array of one dimension")
        if len(ids) and (ids.min() < 0 or ids.max() >= self.n_experts):
            expected = f"in 0 .. n_experts - 1 = {self.n_experts - 1}"
            raise invalid(owner, "ids", f"{ids.min()} .. {ids.max()}", expected)
        ends = len(bounds) > 0 and bounds[0] == 0 and bounds[-1] == len(ids)
        if not ends or (bounds[1:] < bounds[:-1]).any():
            got = f"{len(bounds)} numbers, {bounds[:8].tolist()} first"
            raise invalid(owner, "bounds", got, f"ascending from 0 to len(ids) = {len(ids)}")
        # Compiled replays hold an event in arrays of n_experts, too.
        falls = ids[1:] <= ids[:-1]
        falls[bounds[(bounds > 0) & (bounds < len(ids))] - 1] = False  # the next step begins
        if falls.any():
            at = int(falls.argmax())
            got = f"{ids[at]}, then {ids[at + 1]}, at {at}"
            raise invalid(owner, "ids", got, "different and ascending within each step")

    def events(self, capacities: ArrayLike, policy: str) -> Bools:
        """Return whether each access misses at each capacity, (n_accesses, n_capacities).

        Capacities are numbers of experts that fit, at least 1, in any order. The first access of an
        expert always misses, because the buffer is empty at first.
        """
        parts = self._replay(*_checked(capacities, policy))
        flags = [bits[:, None] >> np.arange(n, dtype=np.uint64) & np.uint64(1) for bits, n in parts]
        return np.concatenate(flags, axis=1).astype(np.bool_)

    def misses(self, capacities: ArrayLike, policy: str) -> NDArray[np.int32]:
        """Return the misses of each step, (n_steps, n_capacities); parameters as for events."""
        return self._sums(self._replay(*_checked(capacities, policy)), self.bounds, np.int32)

    def _replay(self, capacities: Ints, policy: str) -> list[_Misses]:
        """Replay the stream for 64 capacities at a time."""
        parts = []
        for first in range(0, len(capacities), 64):
            some = capacities[first : first + 64]
            bits = np.empty(len(self.ids), dtype=np.uint64)
            events(self.ids, self.bounds, self.n_experts, some, _CODES[policy], bits)
            parts.append((bits, len(some)))
        return parts

    def _sums(self, parts: Sequence[_Misses], bounds: Ints, dtype: type[_Int]) -> NDArray[_Int]:
        """Return the misses between bounds, (n_bounds - 1, n_capacities)."""
        columns = []
        for bits, n in parts:
            columns.append(np.zeros((len(bounds) - 1, n), dtype=dtype))
            sum_by_step(bits, bounds, columns[-1])
        return np.concatenate(columns, axis=1)


@dataclass(frozen=True)
class MissCurves:
    """Misses of one policy, for every capacity.

    Attributes
    ----------
    policy : str
        One of :data:`POLICIES`.
    capacities : ndarray of shape (n_capacities,), int64
        Numbers of experts that fit, per layer and device.
    misses : ndarray of shape (n_layers, n_devices, n_capacities), int64
        Misses over the whole trace.
    accesses : ndarray of shape (n_layers, n_devices), int64
        Needed experts over the whole trace.
    per_step : ndarray of shape (n_steps, n_layers, n_devices, n_capacities), int32, or None
        Misses of each step, if `per_step` was set.

    Examples
    --------
    >>> import numpy as np
    >>> from moe_costmodel import miss_curves
    >>> loads = np.array([[[3, 1, 0, 0]], [[2, 0, 0, 2]], [[1, 1, 0, 2]]])
    >>> curve = miss_curves(loads, [0, 0, 0, 0], n_devices=1, policies=["lru"])["lru"]
    >>> curve.rate().round(2).tolist()
    [1.0, 0.71, 0.43, 0.43]
    """

    policy: str
    capacities: Ints
    misses: Ints
    accesses: Ints
    per_step: NDArray[np.int32] | None = None

    def rate(self) -> Floats:
        """Return the miss rate over all layers and devices at each capacity, (n_capacities,)."""
        return self.misses.sum(axis=(0, 1)) / max(1, int(self.accesses.sum()))


def expert_streams(
    loads: ArrayLike, device_of: ArrayLike, n_devices: int
) -> list[list[ExpertStream]]:
    """Split the active experts of each step into one stream per layer and device.

    Parameters
    ----------
    loads : array_like of shape (n_steps, n_layers, n_experts)
        Tokens of each expert in each step, or booleans; an expert with any is needed.
    device_of : array_like of shape (n_experts,) or (n_layers, n_experts), integer
        Device that holds each expert; -1 leaves an expert out.
    n_devices : int
        Number of devices.

    Returns
    -------
    list of list of ExpertStream
        ``streams[layer][device]``. Local numbers follow the ascending order of global ids.

    Raises
    ------
    ValueError
        If a shape or a device is wrong, or a load is negative, infinite or NaN.

    Examples
    --------
    >>> import numpy as np
    >>> from moe_costmodel import expert_streams
    >>> loads = np.array([[[3, 1, 0, 0]], [[2, 0, 0, 2]]])  # 2 steps, 1 layer, 4 experts
    >>> streams = expert_streams(loads, [0, 0, 1, 1], n_devices=2)
    >>> streams[0][0].ids.tolist(), streams[0][1].ids.tolist()
    ([0, 1, 0], [1])
    """
    owner = "expert_streams"
    array = np.asarray(loads)
    loads = check_loads(owner, array.view(np.uint8) if array.dtype == bool else array, ndim=3)
    n_devices = count(owner, "n_devices", n_devices)
    n_layers, n_experts = loads.shape[1:]
    devices = np.asarray(device_of)
    if devices.shape not in {(n_experts,), (n_layers, n_experts)} or devices.dtype.kind not in "ui":
        expected = f"integers of shape ({n_experts},) or ({n_layers}, {n_experts})"
        raise invalid(owner, "device_of", shape_of(devices), expected)
    if devices.min() < -1 or devices.max() >= n_devices:
        got = f"{devices.min()} .. {devices.max()}"
        raise invalid(owner, "device_of", got, f"in -1 .. {n_devices - 1}")
    devices = np.broadcast_to(devices, (n_layers, n_experts)).astype(np.int64)
    streams = []
    for layer in range(n_layers):
        active = loads[:, layer] > 0
        per_device = []
        for device in range(n_devices):
            members = np.flatnonzero(devices[layer] == device)
            needed = active[:, members]
            bounds = np.concatenate([[0], np.cumsum(needed.sum(axis=1))])
            ids = np.ascontiguousarray(np.nonzero(needed)[1])
            per_device.append(ExpertStream(ids, bounds, len(members)))
        streams.append(per_device)
    return streams


def miss_curves(
    loads: ArrayLike,
    device_of: ArrayLike,
    n_devices: int,
    *,
    policies: Sequence[str] = tuple(POLICIES),
    capacities: ArrayLike | None = None,
    per_step: bool = False,
    n_jobs: int = 1,
) -> dict[str, MissCurves]:
    """Return the misses of several policies at several capacities.

    Parameters
    ----------
    loads, device_of, n_devices
        As for :func:`expert_streams`.
    policies : sequence of str
        Names from :data:`POLICIES`; by default all.
    capacities : array_like of shape (n_capacities,), integer, optional
        By default all from 1 to the largest number of experts on a device.
    per_step : bool
        Keep the misses of each step too (n_steps x n_layers x n_devices x n_capacities int32).
    n_jobs : int
        Threads over layers; -1 for one per processor.

    Returns
    -------
    dict of str to MissCurves

    Raises
    ------
    ValueError
        If a shape, a device, a capacity or a policy is wrong.

    Examples
    --------
    >>> import numpy as np
    >>> from moe_costmodel import miss_curves
    >>> loads = np.array([[[3, 1, 0, 0]], [[2, 0, 0, 2]], [[1, 1, 0, 2]]])
    >>> curves = miss_curves(loads, [0, 0, 0, 0], n_devices=1, policies=["lru", "min"])
    >>> curves["lru"].misses[0, 0].tolist(), curves["min"].misses[0, 0].tolist()
    ([7, 5, 3, 3], [7, 4, 3, 3])
    """
    streams = expert_streams(loads, device_of, n_devices)
    policies = several_of("miss_curves", "policies", policies, POLICIES)
    if capacities is None:
        capacities = np.arange(1, max(s.n_experts for row in streams for s in row) + 1)
    capacities = _checked_capacities(capacities)
    shape = (len(streams), n_devices, len(capacities))
    n_steps = len(streams[0][0].bounds) - 1
    accesses = np.array([[len(s.ids) for s in row] for row in streams], dtype=np.int64)
    curves = {}
    for policy in policies:
        steps = np.empty((n_steps, *shape), dtype=np.int32) if per_step else None
        misses = np.empty(shape, dtype=np.int64)
        curves[policy] = MissCurves(policy, capacities, misses, accesses, steps)

    def replay_layer(layer: int) -> None:
        for policy, curve in curves.items():
            for device, stream in enumerate(streams[layer]):
                parts = stream._replay(curve.capacities, policy)
                whole = np.array([0, len(stream.ids)])
                curve.misses[layer, device] = stream._sums(parts, whole, np.int64)[0]
                if curve.per_step is not None:
                    curve.per_step[:, layer, device] = stream._sums(parts, stream.bounds, np.int32)

    # The compiled replays release the interpreter's lock, so that threads run in parallel.
    Parallel(n_jobs=n_jobs, require="sharedmem")(
        delayed(replay_layer)(layer) for layer in range(len(streams))
    )
    return curves


def replay(
    streams: Sequence[Sequence[ExpertStream]], capacity: ArrayLike, policy: str
) -> NDArray[np.int32]:
    """Return the misses of each step with one capacity for each layer and device.

    Parameters
    ----------
    streams : list of list of ExpertStream
        From :func:`expert_streams`.
    capacity : array_like of shape (n_layers, n_devices), integer
        Numbers of experts that fit; at least 1 if the device holds an expert of the layer.
    policy : str
        One of :data:`POLICIES`.

    Returns
    -------
    ndarray of shape (n_steps, n_layers, n_devices), int32

    Raises
    ------
    ValueError
        If the capacities have another shape or are below 1, or the policy is unknown.

    Examples
    --------
    >>> import numpy as np
    >>> from moe_costmodel import expert_streams, replay
    >>> loads = np.array([[[3, 1, 0, 0]], [[2, 0, 0, 2]], [[1, 1, 0, 2]]])
    >>> streams = expert_streams(loads, [0, 0, 0, 0], n_devices=1)
    >>> replay(streams, [[2]], "lru").ravel().tolist()
    [2, 1, 2]
    """
    capacities = np.asarray(capacity)
    shape = (len(streams), len(streams[0]))
    if capacities.shape != shape:
        raise invalid("replay", "capacity", f"shape {capacities.shape}", f"of shape {shape}")
    n_steps = len(streams[0][0].bounds) - 1
    out = np.zeros((n_steps, *shape), dtype=np.int32)
    for layer, row in enumerate(streams):
        for device, stream in enumerate(row):
            if stream.n_experts:
                fits = capacities[layer, device : device + 1]
                out[:, layer, device] = stream.misses(fits, policy)[:, 0]
    return out


def _checked(capacities: ArrayLike, policy: str) -> tuple[Ints, str]:
    return _checked_capacities(capacities), one_of("events", "policy", policy, POLICIES)


def _checked_capacities(capacities: ArrayLike) -> Ints:
    array = np.asarray(capacities)
    if array.ndim != 1 or array.size == 0 or array.dtype.kind not in "ui" or array.min() < 1:
        raise invalid("buffering", "capacities", array, "a list of positive integers")
    return array.astype(np.int64)
