"""Features and moves of placements, alone and within a whole deployment."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from problems._arrays import Bools, Floats, Ints
from problems.moe.placement.kernels import DRAWS, FEATURES, describe, move_rows

__all__ = ["Slots"]


@dataclass(frozen=True, eq=False)
class Slots:
    """Features and moves of placements on some devices, for some traffic.

    No move leaves an expert without a slot. A move swaps two experts of a layer, mostly one of the
    device with most load; turns one copy into a copy of a busier expert; sends an expert back to
    its current device; or takes a layer from another placement.

    Attributes
    ----------
    n_devices, n_nodes : int
    mean : float array [n_layers, n_experts]
        Mean shares of the experts in the load of a step.
    moments, together : float array [n_layers, n_experts, n_experts]
        See ``problems.moe.placement.pair_search``.
    current : bool array [n_layers, n_experts, n_devices]
        Devices of the experts in the current placement.
    library : int array [n, n_layers * n_slots]
        Placements that layers may be taken from.
    apart : bool
        Whether copies of an expert must stay on different devices, as they are.
    """

    n_devices: int
    n_nodes: int
    mean: Floats
    moments: Floats
    together: Floats
    current: Bools
    library: Ints
    apart: bool = False

    def moved(self, rows: Ints, random_state: np.random.Generator) -> Ints:
        """Return each row of slots [n, n_layers * n_slots] after one move."""
        out = np.array(rows, order="C")
        draws = random_state.random((len(out), DRAWS))
        move_rows(
            out, len(self.mean), self.n_devices, self.mean, self.current, self.library, draws,
            self.apart,
        )  # fmt: skip
        return out

    def features(self, rows: Ints) -> Floats:
        """Return the :data:`FEATURES` of rows of slots, summed over layers, [n, 6]."""
        out = np.zeros((len(rows), len(FEATURES)))
        describe(
            np.ascontiguousarray(rows), len(self.mean), self.n_devices, self.n_nodes, self.moments,
            self.mean, self.together, self.current, out,
        )  # fmt: skip
        return out
