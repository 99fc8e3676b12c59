"""Settings of a replay, up to 64 pairs of capacity and admission as the bits of an integer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from moe_costmodel._arrays import Floats, Ints
from moe_costmodel.buffering.replay import ExpertStream
from moe_costmodel.offloading.counting import first_uses, next_steps
from moe_costmodel.offloading.kernels import replay_events
from moe_costmodel.offloading.policies import OFFLOAD_POLICIES, Admission

__all__ = ["PackedSettings", "settings_of"]

_CODES = {name: code for code, name in enumerate(OFFLOAD_POLICIES)}


class PackedSettings:
    """The arguments of the compiled replays for up to 64 pairs of capacity and admission."""

    def __init__(self, capacities: Ints, admissions: Sequence[Admission]) -> None:
        one = np.uint64(1)
        bits = [one << np.uint64(c) for c in range(len(capacities))]
        self.capacities, self.admissions = capacities, admissions
        n_bits = max((rule.after - 1).bit_length() for rule in admissions)
        self.first = np.zeros(n_bits, dtype=np.uint64)
        groups: dict[float, np.uint64] = {}
        for bit, rule in zip(bits, admissions, strict=True):
            for plane in range(n_bits):
                if (rule.after - 1) >> plane & 1:
                    self.first[plane] |= bit
            if rule.margin > 0:
                groups[rule.margin] = groups.get(rule.margin, np.uint64(0)) | bit
        self.margins = np.array(sorted(groups, reverse=True), dtype=np.float64)
        self.groups = np.array([groups[m] for m in self.margins.tolist()], dtype=np.uint64)
        self.rate = np.array([rule.per_step for rule in admissions], dtype=np.float64)
        self.opens = np.array([rule.opens for rule in admissions], dtype=np.int64)

    def replay(
        self,
        stream: ExpertStream,
        policy: str,
        start: Floats | None,
        weight: float,
        unit_factor: float,
    ) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
        """Return the bits of misses and of uploads of each access."""
        n = stream.n_experts
        missed, uploaded = np.empty((2, len(stream.ids)), dtype=np.uint64)
        rates = np.zeros(n) if start is None else start
        order = np.argsort(-rates, kind="stable")[::-1].astype(np.int64)
        key, following = rates * weight, np.zeros(0, dtype=np.int64)
        if policy == "min":
            following = next_steps(stream.ids, stream.bounds, n)
            first_uses(stream.ids, stream.bounds, order, key)
        n_bits = int(np.diff(stream.bounds).max(initial=1)).bit_length()
        over = np.zeros(n_bits, dtype=np.uint64)
        replay_events(
            stream.ids, stream.bounds, following, self.capacities, _CODES[policy], unit_factor,
            order, key, self.first, self.margins, self.groups, self.rate, self.opens, over,
            *self._contents(order, start is not None), missed, uploaded,
        )  # fmt: skip
        return missed, uploaded

    def _contents(
        self, order: Ints, warm: bool
    ) -> tuple[NDArray[np.uint64], Ints, NDArray[np.int16]]:
        """Return the first contents: bits of each expert, numbers, and lists of each setting."""
        filled = np.minimum(self.capacities, len(order)) if warm else 0 * self.capacities
        resident = np.zeros(len(order), dtype=np.uint64)
        most = min(len(order), int(self.capacities.max()))
        queues = np.zeros((len(filled), most), dtype=np.int16)
        for c, n in enumerate(filled.tolist()):
            highest = order[len(order) - n :]
            queues[c, :n] = highest
            resident[highest] |= np.uint64(1 << c)
        return resident, filled, queues


def settings_of(
    capacities: Ints, admissions: Sequence[Admission]
) -> list[tuple[slice, PackedSettings]]:
    """Return all pairs of capacity and admission, 64 at a time."""
    n = len(admissions)
    total = len(capacities) * n
    parts = []
    for first in range(0, total, 64):
        some = range(first, min(first + 64, total))
        sizes = capacities[np.array(some) // n]
        settings = PackedSettings(sizes, [admissions[i % n] for i in some])
        parts.append((slice(some.start, some.stop), settings))
    return parts
