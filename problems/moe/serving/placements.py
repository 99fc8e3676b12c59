"""Placements that each layer of a serving plan chooses from."""

from __future__ import annotations

import numpy as np

from moe_costmodel import Placement, replicate_and_pack
from moe_costmodel.serving.loads import SampledLoads
from problems._arrays import Floats, Ints
from problems.moe.placement.pair_search import copies_of, spread_pairs
from problems.moe.placement.starts import StartMaker

__all__ = ["CONTIGUOUS", "METHODS", "PlacementLibrary"]

CONTIGUOUS = 0
METHODS = ("contiguous", "replicate-and-pack", "spread pairs")
"""The engine's own order, the method of DeepSeek's EPLB, and busy pairs kept apart."""

_RESTARTS = 2
_TOKENS = 1024  # of the steps whose imbalance "spread pairs" lowers


class PlacementLibrary:
    """Placements of all layers by method, made when they are first asked for.

    Parameters
    ----------
    loads : SampledLoads
        Traffic.
    current : Placement, optional
        Placement that runs today, a further method for layouts with its ranks and slots.
    """

    def __init__(self, loads: SampledLoads, current: Placement | None) -> None:
        self.loads, self.current = loads, current
        self.mean: Floats = loads.shares.mean(axis=0)
        self.names = METHODS if current is None else (*METHODS, "current")
        self._made: dict[tuple[int, int], Ints] = {}
        self._moments: list[Floats] | None = None

    def slots(self, n_ranks: int, redundant: int) -> Ints:
        """Return the expert in each slot, [n_methods, n_layers, n_slots]."""
        key = (n_ranks, redundant)
        if key not in self._made:
            self._made[key] = self._make(n_ranks, redundant)
        return self._made[key]

    def _make(self, n_ranks: int, redundant: int) -> Ints:
        n_layers, n_experts = self.mean.shape
        plain = np.tile(np.arange(n_experts + redundant) % n_experts, (n_layers, 1))
        packed = replicate_and_pack(self.mean[None], n_ranks, n_replicas=redundant)
        best = [packed.physical_to_logical, self._spread(n_ranks, redundant)]
        if redundant:
            # Engines cannot use two copies of an expert on one rank.
            nothing = np.zeros((n_layers, n_experts, n_experts))
            maker = StartMaker(
                loads=self.mean[None], moments=nothing, together=nothing, n_devices=n_ranks,
                n_nodes=1, n_replicas=redundant,
            )  # fmt: skip
            best = [maker.apart(slots) for slots in best]
        found = [plain, *best]
        if self.current is not None:
            fits = (self.current.n_devices, self.current.n_replicas) == (n_ranks, redundant)
            found.append(self.current.physical_to_logical if fits else plain)
        return np.array(found)

    def _spread(self, n_ranks: int, redundant: int) -> Ints:
        if self._moments is None:
            steps = self.loads.steps(_TOKENS)
            self._moments = [part.T @ part / len(part) for part in steps.transpose(1, 0, 2)]
        rng = np.random.default_rng(0)
        rows = []
        for mean, moments in zip(self.mean, self._moments, strict=True):
            copies = copies_of(mean, redundant, n_ranks)
            experts = np.repeat(np.arange(len(mean)), copies)
            rows.append(spread_pairs(moments, experts, n_ranks, rng, restarts=_RESTARTS)[0])
        return np.array(rows)
