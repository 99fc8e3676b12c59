"""A plain simulator of offloaded experts, one size and one admission at a time."""

from __future__ import annotations

import math

QUEUES = ("fifo", "least-stale", "paper")


def replay(steps, n_experts, capacity, policy, rule, start=None, weight=0.0, half_life=1024.0):
    """Replay lists of experts; return a pair (missed, uploaded) of flags for each access."""
    simulator = _Simulator(steps, n_experts, capacity, policy, rule, start, weight, half_life)
    return [flags for number in range(len(steps)) for flags in simulator.event(number)]


class _Simulator:
    def __init__(self, steps, n_experts, capacity, policy, rule, start, weight, half_life):
        self.steps, self.capacity, self.policy, self.rule = steps, capacity, policy, rule
        rates = [0.0] * n_experts if start is None else list(start)
        best = sorted(range(n_experts), key=lambda e: (-rates[e], e))
        self.last = {e: (-1, -place) for place, e in enumerate(best)}  # step, tie
        self.count = {e: rates[e] * weight for e in best}
        self.unit = 1.0
        self.grow = 2.0 ** (1.0 / half_life) if policy == "decay" else 1.0
        if policy == "min":
            best = sorted(range(n_experts), key=lambda e: self.priority(e, -1, ()), reverse=True)
        self.resident = [] if start is None else best[:capacity][::-1]  # in order of loading
        self.missed = dict.fromkeys(range(n_experts), 0)
        self.budget = 0.0

    def priority(self, expert, step, active):
        """Return what sorts experts, lowest first."""
        if self.policy == "lru":
            return self.last[expert]
        if self.policy in ("lfu", "decay"):
            return self.count[expert], *self.last[expert]
        if self.policy == "inactive-lfu":
            return expert in active, self.count[expert], *self.last[expert]
        uses = [s for s in range(step + 1, len(self.steps)) if expert in self.steps[s]]
        # In the step before the first, experts without any use come after those with a last one.
        never = len(self.steps) + (step < 0 or self.last[expert][0] < 0)
        return -(uses[0] if uses else never), -expert

    def event(self, number):
        active = self.steps[number]
        missed = {e: e not in self.resident for e in active}
        self.unit *= self.grow
        ready = []
        for e in active:
            self.last[e] = (number, e)
            self.count[e] += self.unit
            if missed[e]:
                self.missed[e] += 1
                if self.missed[e] >= self.rule.after:
                    ready.append(e)
        rate = self.rule.per_step
        self.budget = min(self.budget + rate, max(1.0, rate)) if rate < math.inf else math.inf
        uploaded = set()
        if self.policy not in QUEUES:
            ready.sort(key=lambda e: self.priority(e, number, active), reverse=True)
        for e in ready:
            if number < self.rule.opens or self.budget < 1.0:
                break
            if len(self.resident) >= self.capacity:
                victim = self.victim(e, number, active, uploaded)
                if victim is None:
                    continue
                self.resident.remove(victim)
                self.missed[victim] = 0
            self.resident.append(e)
            self.missed[e] = 0
            self.budget -= 1.0
            uploaded.add(e)
        return [(missed[e], e in uploaded) for e in active]

    def victim(self, expert, number, active, uploaded):
        """Return the expert that leaves for another one, None if that one is not uploaded."""
        if self.policy == "fifo":
            return self.resident[0] if self.resident[0] not in uploaded else None
        if self.policy in QUEUES:
            inactive = [e for e in self.resident if e not in active]
            if not inactive:
                return None
            return inactive[0] if self.policy == "least-stale" else inactive[-1]
        lowest = min(self.resident, key=lambda e: self.priority(e, number, active))
        if self.priority(lowest, number, active) > self.priority(expert, number, active):
            return None
        behind = self.count[expert] - self.count[lowest]
        enough = self.rule.margin == 0 or behind >= self.rule.margin * self.unit
        return lowest if enough else None
