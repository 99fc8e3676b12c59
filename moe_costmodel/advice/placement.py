"""Advice on placement, redundant experts, and rearrangement while serving."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from moe_costmodel._arrays import Floats
from moe_costmodel.advice.drift import DriftedLoads
from moe_costmodel.advice.recommendation import Migration, Recommendation
from moe_costmodel.advice.traffic import Traffic
from moe_costmodel.advice.windows import (
    busiest_counts,
    busiest_loads,
    cross_validated,
    gain_on,
    interval_of,
    quantiles_of,
    window_slices,
)
from moe_costmodel.objectives import Predicted
from moe_costmodel.placement.heuristics import anti_correlation, greedy, replicate_and_pack
from moe_costmodel.placement.placement import Placement, migration_bytes

__all__ = ["PlacementAdviser"]

Fit = Callable[[Floats], Placement]
_DRAWS = 100
_MOVED = np.arange(0.05, 0.501, 0.05)
_WORTH = 0.01
"""Further gain, at the low end of its interval, for which redundant experts are advised."""
_MANY_STEPS = 512  # correlations of loads are computed from at most as many steps


@dataclass(frozen=True)
class _Candidate:
    name: str
    fit: Fit
    gain: Predicted  # before migration
    placement: Placement  # fitted on all traffic that may be used
    scored: dict[str, float]


class PlacementAdviser:
    """Advice on the placement of experts on a number of devices.

    Parameters
    ----------
    traffic : Traffic
    n_devices : int
    running : Placement
        The placement that advice is compared with.
    migration : Migration or None
        Cost of moving experts from the running placement; None if they are loaded anew anyway.
    moe_share : float
        Share of a step's time that grows with the load of the busiest device.
    max_replicas : int
        Redundant experts that a device has room for in each layer.
    drift : float
        Share of the load that may move to other experts, where the traffic does not tell.
    random_state : int
    """

    def __init__(
        self,
        traffic: Traffic,
        n_devices: int,
        running: Placement,
        *,
        migration: Migration | None,
        moe_share: float,
        max_replicas: int,
        drift: float,
        random_state: int,
    ) -> None:
        self.traffic, self.n_devices, self.running = traffic, n_devices, running
        self.migration, self.moe_share, self.drift = migration, moe_share, drift
        self.max_replicas = max_replicas
        self.generator = np.random.default_rng(random_state)
        self.by_steps = traffic.has_steps and traffic.recent is None
        if not self.by_steps:
            self.later = _drifted(traffic.whole, traffic.recent)
            self.draws = self.later.draw(_DRAWS, drift, self.generator)
            self.now = busiest_loads(running, self.draws)

    def recommendations(self) -> list[Recommendation]:
        """Return the advice on each knob of the placement."""
        plain, redundant = self._candidates()
        found: list[Recommendation] = []
        best = None
        if plain:
            best = max(plain, key=lambda item: item.gain.low)
            found.append(self._placement(best))
        if redundant:
            found.append(self._redundant(redundant, best))
        if self.by_steps and best is not None:
            found.append(self._rearrangement(best))
        return found

    def _candidates(self) -> tuple[list[_Candidate], list[_Candidate]]:
        n_experts, n = self.traffic.n_experts, self.n_devices
        plain: list[tuple[str, Fit]] = []
        if n_experts % n == 0:
            plain.append(("packed by load", lambda loads: greedy(loads, n)))
            if self.by_steps:
                plain.append(("packed by load and correlation", self._apart))
        fewest = -n_experts % n
        counts = [c for c in (fewest + i * n for i in range(self.max_replicas + 1)) if c > 0]
        redundant = [(f"{c} redundant experts", self._replicated(c)) for c in counts]
        return [self._tried(*item) for item in plain], [self._tried(*item) for item in redundant]

    def _apart(self, loads: Floats) -> Placement:
        every = -(-len(loads) // _MANY_STEPS)
        return anti_correlation(loads[::every], self.n_devices)

    def _replicated(self, count: int) -> Fit:
        n = self.n_devices
        return lambda loads: replicate_and_pack(loads.mean(axis=0)[None], n, n_replicas=count)

    def _tried(self, name: str, fit: Fit) -> _Candidate:
        traffic = self.traffic
        scored: dict[str, float] = {}
        if self.by_steps:
            gain = interval_of(cross_validated(traffic.first, fit, self.running))
            early = fit(traffic.first)
            scored["second half"] = self._gain(early, traffic.second)
            placement = fit(traffic.whole)
        else:
            early = placement = fit(self.later.mean()[None])
            gain = self._drawn(placement)
        scored |= {name: self._gain(early, loads) for name, loads in traffic.others.items()}
        return _Candidate(name, fit, gain, placement, scored)

    def _gain(self, placement: Placement, loads: Floats) -> float:
        return gain_on(busiest_counts(placement, loads), busiest_counts(self.running, loads))

    def _drawn(self, placement: Placement) -> Predicted:
        new = busiest_loads(placement, self.draws)
        return quantiles_of(1.0 - new / np.maximum(self.now, 1e-300))

    def _stall(self, placement: Placement) -> float:
        """Return the share of the serving time for which moving experts stalls the server."""
        if self.migration is None:
            return 0.0
        arriving = (placement.on_device() > 0) & (self.running.on_device() == 0)
        most = float(arriving.sum(axis=(0, 1)).max()) * self.migration.expert_bytes
        return most / self.migration.bandwidth / self.migration.serving_s

    def _net(self, item: _Candidate) -> tuple[Predicted, dict[str, float]]:
        """Return the gains in time: those of the load, less what migration takes."""
        stall = self._stall(item.placement)
        low, value, high = (
            self.moe_share * g - stall for g in (item.gain.low, item.gain.value, item.gain.high)
        )
        scored = {name: self.moe_share * g - stall for name, g in item.scored.items()}
        return Predicted(value, low, high), scored

    def _placement(self, best: _Candidate) -> Recommendation:
        gain, scored = self._net(best)
        adopt = gain.low > 0 and all(value > 0 for value in scored.values())
        moved = float(
            migration_bytes(self.running, best.placement, 1.0).sum()
            / max(1, best.placement.n_layers * best.placement.n_slots)
        )
        why = self._evidence(best)
        if adopt:
            limit = self._drift_limit(best.placement)
            why += f" The gain stays above zero until {limit:.0%} of the load is on other experts."
        else:
            why += f" {self._refusal(best.gain, gain, scored, self._stall(best.placement))}"
        if self.migration is not None:
            why += (
                f" Moving {moved:.0%} of the experts takes {self._stall(best.placement):.2%} of "
                f"the {self.migration.serving_s:g} s that the placement serves."
            )
        return Recommendation(
            "placement", self.n_devices, adopt, f"Experts {best.name}.", why, gain, scored,
            best.placement,
        )  # fmt: skip

    def _evidence(self, item: _Candidate) -> str:
        if self.by_steps:
            inside = self._gain(item.fit(self.traffic.first), self.traffic.first)
            if inside <= 0:
                return "Even on the traffic that it was fitted to it gains nothing."
            kept = item.gain.value / inside
            return (
                f"The busiest device has {inside:.1%} less load on the windows that were fitted, "
                f"and {max(0.0, kept):.0%} of that is left on windows that were not."
            )
        if self.traffic.recent is not None:
            n = float(self.traffic.recent.sum(axis=1).mean())
            return (
                f"Fitted on the trace and on {n:,.0f} choices a layer of recent traffic, weighted "
                "by how far they differ."
            )
        n_steps = len(self.traffic.whole)
        few = "is a sum" if n_steps == 1 else f"has only {n_steps} steps"
        return (
            f"The trace {few}, so drift cannot be seen: up to {self.drift:.0%} of the load is "
            "taken to move to other experts."
        )

    def _refusal(
        self, before: Predicted, gain: Predicted, scored: dict[str, float], stall: float
    ) -> str:
        """Return why a placement is not advised."""
        losing = [name for name, value in scored.items() if value <= 0]
        if before.low > 0 and gain.low <= 0 and stall > 0:
            return "Migration eats the gain."
        if gain.low <= 0 < gain.value:
            return "The gain is within what windows differ by, so it may be a loss."
        if gain.low <= 0:
            return "Nothing is gained on traffic that was not fitted."
        return f"Drift eats the gain on {', '.join(losing)}."

    def _drift_limit(self, placement: Placement) -> float:
        """Return the largest share of the load that may move before the gain may be lost."""
        drifting = _drifted(self.traffic.whole, None)
        last = 0.0
        for moved in _MOVED.tolist():
            loads = np.stack([drifting.moved_by(moved, self.generator) for _ in range(20)])
            gains = 1.0 - busiest_loads(placement, loads) / busiest_loads(self.running, loads)
            if float(np.quantile(gains, 0.05)) * self.moe_share <= self._stall(placement):
                break
            last = moved
        return last

    def _redundant(self, tried: list[_Candidate], plain: _Candidate | None) -> Recommendation:
        fewest = tried[0].placement.n_replicas
        best, further = tried[0], self._further(tried[0], plain)
        for item in tried[1:]:
            more = self._further(item, plain)
            if more.low > further.low + _WORTH:
                best, further = item, more
        count = best.placement.n_replicas
        memory = count / self.traffic.n_experts
        setting = f"{count} redundant experts a layer ({memory:.0%} more memory for experts)."
        gain, scored = self._net(best)
        if plain is None:
            adopt = gain.low > 0 and all(value > 0 for value in scored.values())
            why = f"{fewest} are needed, so that {self.n_devices} devices hold equally many. "
            why += self._evidence(best)
        else:
            before = self._net(plain)[1]
            further_scored = {name: scored[name] - before[name] for name in scored}
            adopt = further.low > _WORTH and gain.low > 0
            adopt = adopt and all(value > 0 for value in scored.values())
            adopt = adopt and all(value > 0 for value in further_scored.values())
            why = (
                f"Beyond a placement without them they gain {further.value:.1%} "
                f"({further.low:.1%} to {further.high:.1%})."
            )
            if not adopt:
                why += " That is not worth the memory, which the KV cache can use."
        return Recommendation(
            "redundant experts", self.n_devices, adopt, setting, why, gain, scored, best.placement
        )

    def _further(self, item: _Candidate, plain: _Candidate | None) -> Predicted:
        """Return the gain of redundant experts over the best placement without them, in time."""
        if plain is None:
            gain = item.gain
        elif self.by_steps:
            both = [
                cross_validated(self.traffic.first, one.fit, self.running) for one in (item, plain)
            ]
            gain = interval_of(both[0] - both[1])
        else:
            with_, without = (busiest_loads(p.placement, self.draws) for p in (item, plain))
            gain = quantiles_of((without - with_) / np.maximum(self.now, 1e-300))
        share = self.moe_share
        return Predicted(share * gain.value, share * gain.low, share * gain.high)

    def _rearrangement(self, best: _Candidate) -> Recommendation:
        """Advise on fitting the placement again while serving, as online balancers do."""
        loads = self.traffic.second
        windows = window_slices(len(loads))
        fixed = best.fit(self.traffic.first)
        before, moved = self.traffic.first[-windows[0].stop :], []
        gains, last = [], fixed
        for window in windows:
            again = best.fit(before)
            gains.append(
                gain_on(busiest_counts(again, loads[window]), busiest_counts(fixed, loads[window]))
            )
            moved.append(float(migration_bytes(last, again, 1.0).sum()))
            before, last = loads[window], again
        interval = interval_of(self.moe_share * np.array(gains))
        steps = windows[0].stop
        stall = 0.0
        if self.migration is not None:
            arriving = float(np.mean(moved)) / self.n_devices * self.migration.expert_bytes
            stall = arriving / self.migration.bandwidth / self.migration.serving_s
        net = Predicted(interval.value - stall, interval.low - stall, interval.high - stall)
        why = (
            f"A placement fitted anew on every {steps} steps changes the load of the busiest "
            f"device by {-interval.value:+.1%}, compared with one that stays, and moves "
            f"{np.mean(moved) / (best.placement.n_layers * best.placement.n_slots):.0%} of the "
            "experts each time."
        )
        if interval.value > 0:
            most = interval.value * steps
            why += f" It pays only if it stalls the server for under {most:.1f} steps each time."
        adopt = self.migration is not None and net.low > 0
        if interval.low > 0 and self.migration is None:
            why += " The cost of moving experts is not given, so it is not advised."
        return Recommendation(
            "rearrangement", self.n_devices, adopt,
            f"Online balancing (EPLB) every {steps} steps.", why, net,
        )  # fmt: skip


def _drifted(loads: Floats, recent: Floats | None) -> DriftedLoads:
    """Return what later loads may be, given those of all steps, (n_steps, n_layers, n_experts)."""
    total = loads.sum(axis=0)
    choices = total.sum(axis=1)
    return DriftedLoads(total / choices[:, None], recent, choices)
