"""Columns of a joint deployment, and the moves on each part of them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from problems._arrays import Bools, Floats, Ints
from problems.moe.base import exchanged
from problems.moe.buffering.moves import move_round
from problems.moe.ordinal import Variables, step
from problems.moe.placement.moves import SlotMoves

__all__ = ["PARTS", "Layout"]

PARTS = ("gates", "buffers", "batch", "placement")
"""Parts of a deployment that can be decided. "buffers" are the capacities and the policy."""

# Probability of a jump to known settings, of a change of all buffers together, and of each part.
_JUMP, _ROUND = 0.3, 0.33
_WEIGHTS = {"gates": 0.3, "buffers": 0.25, "batch": 0.15, "placement": 0.3}


@dataclass(frozen=True, eq=False)
class Layout:
    """Columns of a row: a gate level per layer, capacities, policy, batch size, and slots.

    Parameters
    ----------
    n_layers, n_devices, n_experts, n_slots : int
    n_columns : int
        Capacities of a layer: one per device, or one for all devices.
    n_levels, n_policies, n_batch_sizes : int
    decide : tuple of str
        Parts that are decided, of :data:`PARTS`; the bounds of the others leave them no choice.
    fixed : int array [n_var]
        Values of the columns that are not decided.
    mean : float array [n_layers, n_experts]
        Mean shares of the experts, for moves away from devices with much load.
    current : bool array [n_layers, n_experts, n_devices]
        Devices of the experts in the current placement.
    library : int array [n, n_layers * n_slots]
        Placements that moves may take layers from.
    known : dict of str to int array [n, columns of the part]
        Complete settings of "gates" and "buffers" that moves may jump to.
    """

    n_layers: int
    n_devices: int
    n_experts: int
    n_slots: int
    n_columns: int
    n_levels: int
    n_policies: int
    n_batch_sizes: int
    decide: tuple[str, ...]
    fixed: Ints
    mean: Floats
    current: Bools
    library: Ints
    known: dict[str, Ints]

    @property
    def gates(self) -> slice:
        """Gate levels."""
        return slice(0, self.n_layers)

    @property
    def capacities(self) -> slice:
        """Experts kept, layer by layer."""
        return slice(self.n_layers, self.n_layers * (1 + self.n_columns))

    @property
    def policy(self) -> int:
        """Index of the eviction policy."""
        return self.capacities.stop

    @property
    def batch_size(self) -> int:
        """Index of the batch size."""
        return self.policy + 1

    @property
    def slots(self) -> slice:
        """Experts by layer and device."""
        return slice(self.batch_size + 1, self.batch_size + 1 + self.n_layers * self.n_slots)

    @property
    def n_var(self) -> int:
        """Number of columns."""
        return self.slots.stop

    @property
    def n_local(self) -> int:
        """Slots of a layer on one device."""
        return self.n_slots // self.n_devices

    def bounds(self) -> tuple[Ints, Ints]:
        """Return the lowest and highest values, [n_var] each."""
        low = np.zeros(self.n_var, dtype=np.int64)
        high = np.full(self.n_var, self.n_experts - 1)
        high[self.gates] = self.n_levels - 1
        low[self.capacities] = 1
        high[self.capacities] = self.n_local
        high[self.policy] = self.n_policies - 1
        high[self.batch_size] = self.n_batch_sizes - 1
        for name, columns in self._columns.items():
            if name not in self.decide:
                low[columns] = high[columns] = self.fixed[columns]
        return low, high

    @property
    def _columns(self) -> dict[str, slice]:
        """Columns of each part."""
        return {
            "gates": self.gates,
            "buffers": slice(self.capacities.start, self.policy + 1),
            "batch": slice(self.batch_size, self.batch_size + 1),
            "placement": self.slots,
        }

    @cached_property
    def _movable(self) -> dict[str, Variables]:
        """Bounds of the parts that can move, except the placement."""
        low, high = self.bounds()
        parts = {}
        for name, columns in self._columns.items():
            if name in self.decide and name != "placement" and (low < high)[columns].any():
                nominal = np.zeros(columns.stop - columns.start, dtype=bool)
                nominal[-1] = name == "buffers"
                parts[name] = Variables(low[columns], high[columns], nominal)
        return parts

    @cached_property
    def _slot_moves(self) -> SlotMoves:
        return SlotMoves(
            self.n_devices, self.mean, self.current, self.library, self.n_slots > self.n_experts
        )

    def move(self, X: Ints, chosen: Ints, random_state: np.random.Generator) -> None:
        """Make one move, in one part, in each row whose index is in `chosen`; change X in place."""
        names = [*self._movable, *(["placement"] if "placement" in self.decide else [])]
        weights = np.array([_WEIGHTS[name] for name in names])
        picked = random_state.choice(len(names), len(X), p=weights / weights.sum())[chosen]
        for i, name in enumerate(names):
            at = chosen[picked == i]
            if len(at) == 0:
                continue
            columns = self._columns[name]
            if name == "placement":
                X[at, columns] = self._slot_moves.moved(X[at, columns], random_state)
            else:
                X[at, columns] = self._moved_part(name, X[at, columns], random_state)

    def _moved_part(self, name: str, rows: Ints, random_state: np.random.Generator) -> Ints:
        """Return the columns of a part after one move, [n, columns of the part]."""
        variables, n = self._movable[name], len(rows)
        out = step(rows, variables, random_state)
        if name == "buffers":
            together = move_round(rows, variables, self.n_layers, random_state)
            use = (random_state.random(n) < _ROUND) & (together != rows).any(axis=1)
            out[use] = together[use]
        known = self.known.get(name)
        if known is not None and len(known):
            jump = random_state.random(n) < _JUMP
            others = known[random_state.integers(0, len(known), n)]
            jump &= (others != rows).any(axis=1)
            out[jump] = others[jump]
        return out

    def mixed(self, A: Ints, B: Ints, random_state: np.random.Generator) -> tuple[Ints, Ints]:
        """Exchange layers, policy and batch size between rows of A and B, both [n, n_var].

        The level, capacities and slots of a layer stay together.
        """
        n = len(A)
        share = random_state.random((n, 1))
        layers = random_state.random((n, self.n_layers)) < share
        swap = np.empty(A.shape, dtype=bool)
        swap[:, self.gates] = layers
        swap[:, self.capacities] = np.repeat(layers, self.n_columns, axis=1)
        swap[:, self.policy : self.batch_size + 1] = random_state.random((n, 2)) < 0.5
        swap[:, self.slots] = np.repeat(layers, self.n_slots, axis=1)
        return exchanged(A, B, swap)
