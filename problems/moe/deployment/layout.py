"""What the columns of a joint deployment mean, and the moves on each part of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from problems._arrays import Floats, Ints
from problems.moe.buffering.moves import move_round
from problems.moe.ordinal import climb
from problems.moe.placement.kernels import DRAWS, move_rows

__all__ = ["PARTS", "Layout", "Part"]

PARTS = ("gates", "buffers", "batch", "placement")
"""What is decided. "buffers" holds the capacities and the policy."""

_JUMP = 0.3
_WEIGHTS = {"gates": 0.3, "buffers": 0.25, "batch": 0.15, "placement": 0.3}


@dataclass(frozen=True)
class Part:
    """Ladders of one part, as ``problems.moe.ordinal`` moves them."""

    columns: slice
    xl: Ints
    xu: Ints
    named: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Layout:
    """Columns of a row: a gate rung a layer, capacities, policy, batch, and slots.

    Parameters
    ----------
    n_layers, n_devices, n_experts, n_slots : int
    n_columns : int
        Capacities of a layer: one a device, or one for all.
    n_levels, n_policies, n_batches : int
    decide : tuple of str
        Of :data:`PARTS`; the others are pinned by their bounds.
    fixed : int array [n_var]
        What is pinned where it is not decided.
    mean : float array [n_layers, n_experts]
        Mean shares, for moves from hot devices.
    current : bool array [n_layers, n_experts, n_devices]
    library : int array [n, n_layers * n_slots]
        Placements that layers may be taken from.
    known : dict of str to int array [n, columns of the part]
        Whole settings of "gates" and "buffers" that moves may jump to.
    """

    n_layers: int
    n_devices: int
    n_experts: int
    n_slots: int
    n_columns: int
    n_levels: int
    n_policies: int
    n_batches: int
    decide: tuple[str, ...]
    fixed: Ints
    mean: Floats
    current: NDArray[np.bool_]
    library: Ints
    known: dict[str, Ints]

    @property
    def gates(self) -> slice:
        """Rungs."""
        return slice(0, self.n_layers)

    @property
    def capacities(self) -> slice:
        """Experts kept, layer by layer."""
        return slice(self.n_layers, self.n_layers * (1 + self.n_columns))

    @property
    def policy(self) -> int:
        """Index of the policy."""
        return self.capacities.stop

    @property
    def batch(self) -> int:
        """Index of the batch size."""
        return self.policy + 1

    @property
    def slots(self) -> slice:
        """Experts by layer and device."""
        return slice(self.batch + 1, self.batch + 1 + self.n_layers * self.n_slots)

    @property
    def n_var(self) -> int:
        """Columns in all."""
        return self.slots.stop

    def bounds(self) -> tuple[Ints, Ints]:
        """Return the lowest and highest values, [n_var] each."""
        low = np.zeros(self.n_var, dtype=np.int64)
        high = np.full(self.n_var, self.n_experts - 1)
        high[self.gates] = self.n_levels - 1
        low[self.capacities] = 1
        high[self.capacities] = self.n_slots // self.n_devices
        high[self.policy] = self.n_policies - 1
        high[self.batch] = self.n_batches - 1
        columns = {
            "gates": self.gates,
            "buffers": slice(self.capacities.start, self.policy + 1),
            "batch": slice(self.batch, self.batch + 1),
            "placement": self.slots,
        }
        for name in set(PARTS) - set(self.decide):
            low[columns[name]] = high[columns[name]] = self.fixed[columns[name]]
        return low, high

    def parts(self) -> dict[str, Part]:
        """Return the ladders that can move, by part; "placement" has none."""
        low, high = self.bounds()
        found = {}
        for name, columns, named_last in (
            ("gates", self.gates, False),
            ("buffers", slice(self.capacities.start, self.policy + 1), True),
            ("batch", slice(self.batch, self.batch + 1), False),
        ):
            if name in self.decide and (high[columns] > low[columns]).any():
                named = np.zeros(columns.stop - columns.start, dtype=bool)
                named[-1] = named_last
                found[name] = Part(columns, low[columns], high[columns], named)
        return found

    def choices(self) -> list[str]:
        """Return the parts that moves choose among."""
        return [*self.parts(), *(["placement"] if "placement" in self.decide else [])]

    def moved(self, X: Ints, random_state: np.random.Generator, *, max_moves: int = 1) -> Ints:
        """Return each row after 1 to `max_moves` moves, each in one part."""
        out = np.ascontiguousarray(X.copy())
        parts, names = self.parts(), self.choices()
        weights = np.array([_WEIGHTS[name] for name in names])
        moves = random_state.integers(1, max_moves + 1, len(out))
        for i in range(max_moves):
            picked = random_state.choice(len(names), len(out), p=weights / weights.sum())
            for which, name in enumerate(names):
                at = np.flatnonzero((moves > i) & (picked == which))
                if len(at) == 0:
                    continue
                if name == "placement":
                    rows = np.ascontiguousarray(out[at, self.slots])
                    draws = random_state.random((len(at), DRAWS))
                    move_rows(
                        rows, self.n_layers, self.n_devices, self.mean, self.current, self.library,
                        draws, self.n_slots > self.n_experts,
                    )  # fmt: skip
                    out[at, self.slots] = rows
                    continue
                part = parts[name]
                rows = out[at, part.columns]
                changed = climb(rows, part, random_state)
                if name == "buffers":
                    together = move_round(rows, part.xl, part.xu, self.n_layers, random_state)
                    use = (random_state.random(len(at)) < 0.33) & (together != rows).any(axis=1)
                    changed[use] = together[use]
                known = self.known.get(name)
                if known is not None and len(known):
                    jump = random_state.random(len(at)) < _JUMP
                    others = known[random_state.integers(0, len(known), len(at))]
                    jump &= (others != rows).any(axis=1)
                    changed[jump] = others[jump]
                out[at, part.columns] = changed
        return out

    def mixed(self, A: Ints, B: Ints, random_state: np.random.Generator) -> tuple[Ints, Ints]:
        """Exchange layers, policy and batch between rows of A and B, both [n, n_var].

        A layer's rung, capacities and slots stay together.
        """
        n = len(A)
        share = random_state.random((n, 1))
        layers = random_state.random((n, self.n_layers)) < share
        swap = np.empty(A.shape, dtype=bool)
        swap[:, self.gates] = layers
        swap[:, self.capacities] = np.repeat(layers, self.n_columns, axis=1)
        swap[:, self.policy : self.batch + 1] = random_state.random((n, 2)) < 0.5
        swap[:, self.slots] = np.repeat(layers, self.n_slots, axis=1)
        return np.where(swap, B, A), np.where(swap, A, B)
