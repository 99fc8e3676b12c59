"""Columns of a serving design, and the moves on each part."""

from __future__ import annotations

import numpy as np

from problems._arrays import Floats, Ints
from problems.moe.base import exchanged
from problems.moe.ordinal import Variables, step

__all__ = ["PARTS", "POOL", "Columns"]

PARTS = ("parallelism", "batch", "redundancy", "placement", "gates")
"""Parts of a serving plan that can be decided."""

POOL = ("layout", "sequences", "tokens")
"""Columns of each pool: indices of the layout, of the sequences on a data-parallel rank, and of the
most tokens of a step."""

_WEIGHTS = {"parallelism": 0.25, "batch": 0.3, "redundancy": 0.1, "placement": 0.2, "gates": 0.25}
_JUMP = 0.3  # probability that gates jump to a known setting
_ALL_LAYERS = 0.25  # probability that a placement is set in all layers


class Columns:
    """Columns of a row: three of each pool, redundant experts, and two of each MoE layer.

    Parameters
    ----------
    n_pools : int
        Pools of instances.
    highest : dict of str to int
        Highest value of "layout", "sequences", "tokens", "redundancy", "placement" and "gates";
        the lowest is 0.
    n_layers : int
        MoE layers of the model.
    default : dict of str to int
        Values of the columns that are not decided.
    decide : tuple of str
        Parts that are decided.

    Attributes
    ----------
    pools : tuple of slice
        Columns of each pool.
    redundancy : int
        Column of the index of redundant experts.
    placement, gates : slice
        Columns of the index of the placement, and of the gate level, of each layer.
    xl, xu : int array [n_var]
        Bounds.
    known_gates : int array [n, n_layers]
        Complete settings of the gates that moves may jump to.
    """

    def __init__(
        self,
        n_pools: int,
        highest: dict[str, int],
        n_layers: int,
        *,
        default: dict[str, int],
        decide: tuple[str, ...],
    ) -> None:
        width = len(POOL)
        self.n_layers, self.decide = n_layers, decide
        self.pools = tuple(slice(width * i, width * (i + 1)) for i in range(n_pools))
        self.redundancy = width * n_pools
        self.placement = slice(self.redundancy + 1, self.redundancy + 1 + n_layers)
        self.gates = slice(self.placement.stop, self.placement.stop + n_layers)
        self.xu = np.zeros(self.gates.stop, dtype=np.int64)
        self.default = self.xu.copy()
        for values, target in ((highest, self.xu), (default, self.default)):
            for pool in self.pools:
                target[pool] = [values[name] for name in POOL]
            for name in ("redundancy", "placement", "gates"):
                target[getattr(self, name)] = values[name]
        self.xl = np.zeros_like(self.xu)
        layouts = [pool.start for pool in self.pools]
        batches = [pool.start + i for pool in self.pools for i in (1, 2)]
        self._parts: dict[str, list[int]] = {
            "parallelism": layouts, "batch": batches, "redundancy": [self.redundancy],
            "placement": list(range(*self.placement.indices(len(self.xu)))),
            "gates": list(range(*self.gates.indices(len(self.xu)))),
        }  # fmt: skip
        for name, columns in self._parts.items():
            if name not in decide:
                self.xl[columns] = self.xu[columns] = self.default[columns]
        self.known_gates = np.zeros((0, n_layers), dtype=np.int64)
        self._movable = {
            name: (np.array(at), Variables(self.xl[at], self.xu[at], self._nominal(name, len(at))))
            for name, at in self._parts.items()
            if at and (self.xl[at] < self.xu[at]).any()
        }

    def _nominal(self, name: str, n: int) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
        return np.full(n, name in ("parallelism", "placement"))

    def base_row(self) -> Ints:
        """Return the row [n_var] of the defaults."""
        return self.default.copy()

    def move(self, X: Ints, chosen: Ints, random_state: np.random.Generator) -> None:
        """Make one move, in one part, in each row whose index is in `chosen`; change X in place."""
        names = list(self._movable)
        if not names:
            return
        weights = np.array([_WEIGHTS[name] for name in names])
        picked = random_state.choice(len(names), len(X), p=weights / weights.sum())[chosen]
        for i, name in enumerate(names):
            rows = chosen[picked == i]
            if len(rows) == 0:
                continue
            at, variables = self._movable[name]
            part = X[np.ix_(rows, at)]
            out = step(part, variables, random_state)
            if name == "placement":
                together = random_state.random(len(rows)) < _ALL_LAYERS
                same = random_state.integers(0, variables.xu.max() + 1, len(rows))
                together &= (part != same[:, None]).any(axis=1)
                out[together] = same[together, None]
            elif name == "gates" and len(self.known_gates):
                jump = random_state.random(len(rows)) < _JUMP
                others = self.known_gates[
                    random_state.integers(0, len(self.known_gates), len(rows))
                ]
                jump &= (others != part).any(axis=1)
                out[jump] = others[jump]
            X[np.ix_(rows, at)] = out

    def mixed(self, A: Ints, B: Ints, random_state: np.random.Generator) -> tuple[Ints, Ints]:
        """Exchange pools, batch, redundancy and layers between rows of A and B, both [n, n_var].

        Placement and gate of a layer stay together, and so do the columns of a pool in half of the
        pairs.
        """
        n = len(A)
        swap = np.empty(A.shape, dtype=bool)
        whole = random_state.random((n, 1)) < 0.5
        for pool in self.pools:
            apart = random_state.random((n, len(POOL))) < 0.5
            swap[:, pool] = np.where(whole, apart[:, :1], apart)
        swap[:, self.redundancy] = random_state.random(n) < 0.5
        layers = random_state.random((n, self.n_layers)) < random_state.random((n, 1))
        swap[:, self.placement] = swap[:, self.gates] = layers
        return exchanged(A, B, swap)

    def counts(self, rows: Ints, n_methods: int) -> Floats:
        """Return the share of layers with each placement, [n, n_methods]."""
        methods = rows[:, self.placement, None] == np.arange(n_methods)
        return methods.mean(axis=1) if self.n_layers else np.zeros((len(rows), n_methods))
