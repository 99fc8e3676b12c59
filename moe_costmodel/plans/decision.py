"""Decision: everything that is decided about a deployment, checked once."""

from __future__ import annotations

from collections.abc import Sequence, Sized
from dataclasses import dataclass
from functools import cached_property
from itertools import repeat
from typing import NamedTuple

import numpy as np

from moe_costmodel._arrays import Floats, Ints
from moe_costmodel._checks import count, invalid, one_of, shape_of
from moe_costmodel.gating.rules import GateRule
from moe_costmodel.kernels.replacement import ONLINE_POLICIES
from moe_costmodel.offloading.rule import OffloadRule
from moe_costmodel.placement.placement import Placement
from moela.files.guard import brief

__all__ = ["Decision", "Gates", "LayerDecision", "ascending", "in_order", "layer_gates"]

Gates = GateRule | Sequence[GateRule | None] | None


class LayerDecision(NamedTuple):
    """The decision about one layer, hashable: the layer's step times are stored under it."""

    layer: int  # position among the MoE layers
    gate: GateRule | None
    batch_size: int
    policy: str | None  # None if the layer is not buffered
    n_devices: int
    packed: bytes  # `capacities` and `slots`, int32
    offload: OffloadRule | None = None
    packed_start: bytes = b""  # `start`, float64

    @property
    def capacities(self) -> Ints:
        """Experts that each device keeps, (n_devices,)."""
        return np.frombuffer(self.packed, np.int32)[: self.n_devices].astype(np.int64)

    @property
    def slots(self) -> Ints:
        """Expert in each slot, (n_slots,), ascending on each device."""
        return np.frombuffer(self.packed, np.int32)[self.n_devices :].astype(np.int64)

    @property
    def start(self) -> Floats | None:
        """Uses of each expert that the first contents are chosen by, (n_experts,)."""
        return np.frombuffer(self.packed_start, np.float64) if self.packed_start else None


def layer_gates(gates: Gates, n_layers: int, owner: str) -> tuple[GateRule | None, ...]:
    """Return one rule per layer, None for a layer that drops nothing."""
    if gates is None or isinstance(gates, GateRule):
        gates = (gates,) * n_layers
    if isinstance(gates, str) or not isinstance(gates, Sized):
        expected = f"a GateRule, such as GateRule('top-p', 0.8), or a sequence of {n_layers} rules"
        raise invalid(owner, "gates", brief(gates), expected)
    if len(gates) != n_layers:
        raise invalid(owner, "gates", len(gates), f"one per layer, {n_layers}")
    for rule in gates:
        if rule is not None and not isinstance(rule, GateRule):
            raise invalid(owner, "gates", repr(rule), "GateRules or None")
    # Only the rule that keeps everything has the value 0.
    return tuple([None if rule is None or rule.value == 0 else rule for rule in gates])


def ascending(placement: Placement) -> Ints:
    """Return the expert in each slot, (n_layers, n_slots), ascending on each device.

    The order of the slots on a device changes nothing; sorted, equal layers are recognized.
    """
    slots = placement.physical_to_logical
    by_device = slots.reshape(len(slots), placement.n_devices, -1)
    return np.sort(by_device, axis=2).reshape(slots.shape)


def in_order(placement: Placement) -> Placement:
    """Return a placement with `ascending` slots; itself if it has them."""
    slots = ascending(placement)
    # The check of a placement takes as long as an evaluation of layers that are stored.
    if np.array_equal(slots, placement.physical_to_logical):
        return placement
    return Placement(slots, placement.n_devices)


@dataclass(frozen=True, kw_only=True, eq=False)
class Decision:
    """Gates, buffers, placement and batch size of a deployment.

    Two decisions are equal if all their layers are; the order of the slots on a device does not
    matter.

    Parameters
    ----------
    placement : Placement
        Devices of the experts and of their replicas, layer by layer. The tokens of an expert are
        divided evenly among its copies; the copies take turns with the remainder.
    batch_size : int
        Tokens of a step (prefill), or sequences decoded together (decode), over all devices.
    gates : GateRule or sequence of GateRule or None, optional
        Threshold of all layers, or of each layer; None (the default) drops nothing. Stored as a
        tuple of length n_layers.
    capacities : int or array_like of shape (n_layers,) or (n_layers, n_devices), optional
        Experts of a layer that a device keeps in fast memory; by default all that are placed on
        it. Stored with shape (n_layers, n_devices). A layer that every device keeps whole is not
        buffered.
    policy : str
        Which expert leaves a full buffer: one of :data:`moe_costmodel.POLICIES` except "min",
        which sees the future. With an `offload`, it is the policy of that rule.
    offload : OffloadRule, optional
        Where a miss is computed, which misses are uploaded, and by what policy. By default, every
        missing expert is copied in before it runs.
    start : array_like of shape (n_layers, n_experts), optional
        Uses of each expert in a step, by which an `offload` chooses first contents: those of most
        uses are resident at first. By default buffers begin empty.

    Raises
    ------
    ValueError
        If a part is out of its range, or the parts do not fit one another.

    Examples
    --------
    >>> from moe_costmodel import Decision, GateRule, contiguous
    >>> decision = Decision(
    ...     placement=contiguous(6, 32, n_devices=4), gates=GateRule("top-p", 0.8), capacities=5
    ... )
    >>> decision.capacities.shape, len(decision.gates), decision.is_buffered
    ((6, 4), 6, True)
    """

    placement: Placement
    batch_size: int = 1
    gates: tuple[GateRule | None, ...] = None  # type: ignore[assignment]
    capacities: Ints = None  # type: ignore[assignment]
    policy: str = "paper"
    offload: OffloadRule | None = None
    start: Floats | None = None

    def __post_init__(self) -> None:
        owner = type(self).__name__
        if not isinstance(self.placement, Placement):
            raise invalid(owner, "placement", repr(self.placement), "a Placement")
        size = count(owner, "batch_size", self.batch_size)
        object.__setattr__(self, "batch_size", size)
        object.__setattr__(self, "gates", layer_gates(self.gates, self.n_layers, owner))
        object.__setattr__(self, "capacities", self._checked_capacities(owner))
        if self.offload is None:
            one_of(owner, "policy", self.policy, ONLINE_POLICIES)
        else:
            self._check_offload(owner, self.offload)
        object.__setattr__(self, "start", self._checked_start(owner))

    def _check_offload(self, owner: str, rule: OffloadRule) -> None:
        if not isinstance(rule, OffloadRule):
            raise invalid(owner, "offload", repr(rule), "an OffloadRule or None")
        if rule.policy == "min":
            raise invalid(owner, "offload", rule, "of a policy that does not need the future")
        if rule.is_static and self.start is None:
            expected = "with a 'start', or with uploads (a static list would stay empty)"
            raise invalid(owner, "offload", rule, expected)
        object.__setattr__(self, "policy", rule.policy)

    def _checked_start(self, owner: str) -> Floats | None:
        if self.start is None:
            return None
        if self.offload is None:
            raise invalid(owner, "start", "an array", "None without an 'offload'")
        array = np.asarray(self.start)
        shape = self.n_layers, self.placement.n_experts
        good = array.dtype.kind in "uif" and array.shape == shape
        array = array.astype(np.float64) if good else np.empty(0)
        if not good or not (np.isfinite(array) & (array >= 0)).all():
            got = shape_of(np.asarray(self.start))
            raise invalid(owner, "start", got, f"finite numbers of at least 0, of shape {shape}")
        return array

    def _checked_capacities(self, owner: str) -> Ints:
        shape, most = (self.n_layers, self.n_devices), self.slots_per_device
        if self.capacities is None:
            return np.full(shape, most, dtype=np.int64)
        array = np.asarray(self.capacities)
        if array.ndim == 1 and len(array) == shape[0]:
            array = array[:, None]
        if array.dtype.kind not in "ui" or array.shape not in ((), shape, (shape[0], 1)):
            raise invalid(
                owner,
                "capacities",
                f"shape {array.shape}, dtype {array.dtype}",
                f"integers of shape {shape} (layers, devices), one per layer, or one",
            )
        array = array.astype(np.int64) if array.shape == shape else np.full(shape, array, np.int64)
        if array.min() < 1 or array.max() > most:
            layer, device = (int(i) for i in np.argwhere((array < 1) | (array > most))[0])
            raise invalid(
                owner,
                "capacities",
                f"{array[layer, device]} at layer {layer}, device {device}",
                f"from 1 to the {most} slots of a device",
            )
        return array

    @property
    def n_layers(self) -> int:
        """Number of MoE layers."""
        return self.placement.n_layers

    @property
    def n_devices(self) -> int:
        """Number of devices."""
        return self.placement.n_devices

    @property
    def slots_per_device(self) -> int:
        """Experts of a layer, replicas among them, that are placed on one device."""
        return self.placement.n_slots // self.placement.n_devices

    @property
    def is_buffered(self) -> bool:
        """Whether some device keeps fewer experts in fast memory than are placed on it."""
        return bool((self.capacities < self.slots_per_device).any())

    @property
    def has_thresholds(self) -> bool:
        """Whether some layer drops choices."""
        return any(rule is not None for rule in self.gates)

    @cached_property
    def by_layer(self) -> tuple[LayerDecision, ...]:
        """The decision about each layer, (n_layers,)."""
        n, slots = self.n_layers, ascending(self.placement)
        packed = np.concatenate((self.capacities, slots), axis=1, dtype=np.int32)
        row_type = np.dtype((np.void, packed.itemsize * packed.shape[1]))
        buffered = np.any(self.capacities < self.slots_per_device, axis=1)
        columns = (
            range(n),
            self.gates,
            repeat(self.batch_size, n),
            [self.policy if some else None for some in buffered],
            repeat(self.n_devices, n),
            packed.view(row_type).ravel().tolist(),
            [self.offload if some else None for some in buffered],
            [self._packed_start(i) if some else b"" for i, some in enumerate(buffered)],
        )
        return tuple(map(LayerDecision._make, zip(*columns, strict=True)))

    def _packed_start(self, layer: int) -> bytes:
        return b"" if self.start is None else self.start[layer].tobytes()

    def __eq__(self, other: object) -> bool:
        return self.by_layer == other.by_layer if isinstance(other, Decision) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.by_layer)
