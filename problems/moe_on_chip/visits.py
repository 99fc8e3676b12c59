"""Traffic of recorded steps under mappings of experts; a mapping near a known one is updated."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
from numpy.typing import NDArray

from problems._arrays import Floats, Ints
from problems.moe_on_chip.demand import Demand, Recorded
from problems.moe_on_chip.kernels import Counts, add_fetches, add_visits

__all__ = ["StepTraffic"]

_KEPT = 12
"""Mappings whose visits are kept, 1 MB each for 64 steps of 64 PEs."""


class StepTraffic:
    """Computes the traffic of recorded steps for mappings [n_layers, n_experts] of PE ids.

    Visits are whole numbers and sums over layers, so a mapping that differs from a known one in
    few layers is computed from its visits, exactly.

    Parameters
    ----------
    demand : Demand
    recorded : Recorded
    step_cycles : float
        Cycles of a step.
    """

    def __init__(self, demand: Demand, recorded: Recorded, step_cycles: float) -> None:
        self.demand, self.recorded, self.step_cycles = demand, recorded, step_cycles
        to, back = demand.activations.flits(demand.platform.flit_width)
        self._to, self._back = to / step_cycles, back / step_cycles
        weights = 8.0 * demand.activations.expert_bytes / demand.platform.flit_width
        self._weights = weights / step_cycles
        self._memory = recorded.memory / step_cycles
        n_experts = recorded.active.shape[2]
        self._memory_pe = np.zeros(0, dtype=np.int64)
        if weights > 0:
            pes = demand.roles.pes(demand.platform, "memory")
            self._memory_pe = pes[np.arange(n_experts) % len(pes)]
        self._known: OrderedDict[bytes, tuple[Ints, Counts, Counts]] = OrderedDict()

    def __getstate__(self) -> dict[str, object]:
        return vars(self) | {"_known": OrderedDict()}

    def matrices(self, experts: Ints) -> Floats:
        """Return flits per cycle from PE to PE in each step, [n_steps, n_pes, n_pes]."""
        visits, fetches = self._visits(experts)
        out: Floats = np.asarray(self._to * visits, dtype=np.float64)
        out += self._back * visits.transpose(0, 2, 1)
        if self._weights > 0:
            out += self._weights * fetches
        out += self._memory
        return out

    def _visits(self, experts: Ints) -> tuple[Counts, Counts]:
        key = experts.tobytes()
        known = self._known.get(key)
        if known is not None:
            self._known.move_to_end(key)
            return known[1], known[2]
        n = self.demand.platform.n_tiles
        visits: NDArray[np.int32] = np.zeros((self.recorded.n_steps, n, n), dtype=np.int32)
        fetches = np.zeros_like(visits) if self._weights > 0 else visits
        changed, base = np.arange(len(experts)), None
        for other in self._known.values():
            differing = np.flatnonzero((other[0] != experts).any(axis=1))
            if 2 * len(differing) < min(len(changed) + 1, len(experts)):
                changed, base = differing, other
        if base is not None:
            visits = base[1].copy()
            fetches = base[2].copy() if self._weights > 0 else visits
        for layer in changed.tolist():
            if base is not None:
                self._add(layer, base[0][layer], -1, visits, fetches)
            self._add(layer, experts[layer], 1, visits, fetches)
        self._known[key] = (experts.copy(), visits, fetches)
        if len(self._known) > _KEPT:
            self._known.popitem(last=False)
        return visits, fetches

    def _add(self, layer: int, pe_of: Ints, by: int, visits: Counts, fetches: Counts) -> None:
        recorded = self.recorded
        once = self.demand.activations.once_per_tile
        row = np.ascontiguousarray(pe_of)
        add_visits(recorded.ids[layer], recorded.step, recorded.source, row, once, by, visits)
        if self._weights > 0:
            add_fetches(recorded.active[layer], row, self._memory_pe, by, fetches)
