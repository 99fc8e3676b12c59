"""Online eviction policies of an expert buffer, one access at a time."""

from __future__ import annotations

from moe_costmodel._checks import count, one_of

__all__ = ["ONLINE_POLICIES", "Access", "Replacement"]

ONLINE_POLICIES = ("paper", "fifo", "lru", "lfu", "inactive-lfu")

# (expert, its slot, whether it must be loaded)
Access = tuple[int, int, bool]


class Replacement:
    """State of a buffer under one of :data:`moe_costmodel.POLICIES`, without the experts' weights.

    Belady's MIN is not available, because it needs the future accesses. `capacity` is the number
    of slots.
    """

    def __init__(self, capacity: int, policy: str) -> None:
        self.capacity = count("BufferedExperts", "capacity", capacity)
        self.policy = one_of("BufferedExperts", "policy", policy, ONLINE_POLICIES)
        self.slot_of: dict[int, int] = {}  # in the order of loading
        self._count: dict[int, int] = {}
        self._last: dict[int, int] = {}
        self._clock = 0

    def step(self, active: list[int]) -> list[Access]:
        """Return the slot of each expert that a step needs, in the ascending order of running."""
        needed = set(active)
        return [self._access(expert, needed) for expert in sorted(needed)]

    def _access(self, expert: int, needed: set[int]) -> Access:
        self._count[expert] = self._count.get(expert, 0) + 1
        missed = expert not in self.slot_of
        if missed:
            if len(self.slot_of) < self.capacity:
                slot = len(self.slot_of)
            else:
                slot = self.slot_of.pop(self._victim(needed))
            self.slot_of[expert] = slot
        self._last[expert] = self._clock
        self._clock += 1
        return expert, self.slot_of[expert], missed

    def _victim(self, needed: set[int]) -> int:
        loaded = list(self.slot_of)
        if self.policy == "fifo":
            return loaded[0]
        if self.policy == "lru":
            return min(loaded, key=self._last.__getitem__)
        if self.policy == "lfu":
            return min(loaded, key=self._frequency)
        inactive = [expert for expert in loaded if expert not in needed]
        if not inactive:
            return loaded[-1]
        return inactive[-1] if self.policy == "paper" else min(inactive, key=self._frequency)

    def _frequency(self, expert: int) -> tuple[int, int]:
        return self._count[expert], self._last[expert]
