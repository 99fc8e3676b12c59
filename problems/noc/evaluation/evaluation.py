"""Metrics of designs by name, under one or several applications, and their aggregation."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from problems._arrays import Floats, Ints
from problems.noc.evaluation.kernel import evaluate_batch
from problems.noc.evaluation.latency import waits_batch
from problems.noc.evaluation.legality import first_illegal
from problems.noc.evaluation.limits import shared_part
from problems.noc.evaluation.metrics import (
    EXTRA,
    NEEDS_LOADS,
    NEEDS_WAITS,
    PER_APPLICATION,
    extra_metric,
    flit_sharing,
    second_moment,
    states_joules,
)
from problems.noc.evaluation.objectives import OBJECTIVES, latency_flows
from problems.noc.evaluation.physical import without_noise
from problems.noc.evaluation.stalls import held_channels, nothing_held, waits_alone
from problems.noc.evaluation.table_routing import evaluate_by_tables
from problems.noc.evaluation.thermal import thermal_batch

if TYPE_CHECKING:
    from problems.noc.chip.platform import Platform

__all__ = ["AGGREGATES", "NoCEvaluation"]

AGGREGATES = ("mean", "worst")

TABLE_ROUTINGS = ("up_down", "dimension_order")

LOADS_AT_ONCE = 2**21
"""Largest number of link loads in memory, 16 MB; larger batches are evaluated in parts."""


class NoCEvaluation:
    """Evaluates rows of X on a platform under applications, [n_apps, n_tiles, n_tiles]."""

    def __init__(self, platform: Platform, traffic: Floats, model: str, aggregate: str) -> None:
        self.platform = platform
        self.traffic = traffic
        self.model = model
        self.aggregate = aggregate

    @cached_property
    def flows(self) -> tuple[Ints, Ints, Floats]:
        """The flows that count for latency; ValueError if the platform has no such types."""
        return latency_flows(self.traffic, self.platform, self.model)

    @cached_property
    def sent(self) -> Floats:
        """Traffic of each PE into the network, [n_apps, n_tiles]."""
        own = np.eye(self.platform.n_tiles, dtype=bool)
        # A running sum, so that the last bits do not depend on how numpy groups terms.
        return np.cumsum(np.where(own, 0.0, self.traffic), axis=2)[:, :, -1].copy()

    def values(self, rows: Ints, names: Sequence[str]) -> Floats | None:
        """Return metrics by name under each application, [n, n_apps, n_names].

        The result is None if a row is illegal.
        """
        n_apps = len(self.traffic)
        out = np.empty((len(rows), n_apps, len(names)))
        heated = states_joules(self.platform)
        needed = NEEDS_LOADS if heated else NEEDS_LOADS - {"peak_temperature"}
        with_loads = not needed.isdisjoint(names)
        with_waits = not NEEDS_WAITS.isdisjoint(names)
        size = 2 * self.platform.n_links * with_loads
        size += self.platform.n_tiles * (self.platform.max_degree + 1) ** 2 * with_waits
        step = max(LOADS_AT_ONCE // (n_apps * size), 1) if size else max(len(rows), 1)
        for i in range(0, len(rows), step):
            part = rows[i : i + step]
            if not set(EXTRA).isdisjoint(names):
                # So that sums of loads do not depend on the order of the links in a row.
                part = part.copy()
                part[:, self.platform.n_tiles :].sort(axis=1)
            result = self.run(part, names, with_loads=with_loads, with_waits=with_waits)
            if result is None:
                return None
            F, loads, waits = result
            for k, name in enumerate(names):
                if name in OBJECTIVES:
                    metric = F[:, :, OBJECTIVES.index(name)]
                elif name == "mean_hops":
                    hops = F[:, :, 0] * (self.platform.n_links / self.sent.sum(axis=1))
                    metric = without_noise(hops)
                else:
                    energy = F[:, :, OBJECTIVES.index("energy")]
                    parts = (part, loads, waits, energy, self.traffic)
                    metric = extra_metric(name, self.platform, *parts)
                out[i : i + step, :, k] = metric
        return out

    def run(
        self,
        rows: Ints,
        names: Sequence[str] = (),
        *,
        with_loads: bool = False,
        with_waits: bool = False,
    ) -> tuple[Floats, Floats, Floats] | None:
        """Return the objectives and, if they are wanted, the loads of all links, and waits.

        The objectives are [n, n_apps, 5]; latency and thermal are arbitrary unless named. The loads
        by direction are [n, n_apps, n_links, 2], the waits as in ``waits_batch``. The result is
        None if a row is illegal.
        """
        tables = self.platform.tables
        if first_illegal(rows, tables) >= 0:
            return None
        n_apps = len(self.traffic)
        F = np.empty((len(rows), n_apps, len(OBJECTIVES)))
        loads = np.empty((len(rows) if with_loads else 0, n_apps, self.platform.n_links, 2))
        n, ports = self.platform.n_tiles, self.platform.max_degree + 1
        transits = np.empty((len(rows) if with_waits else 0, n_apps, n, ports, ports))
        wirings = np.empty((len(transits), n, ports - 1, 3), dtype=np.int64)
        none = np.empty(0, dtype=np.int64)
        flows = self.flows if "latency" in names else (none, none, np.empty((n_apps, 0)))
        # The traffic may be a read-only memory map in a worker process.
        traffic = np.require(self.traffic, requirements=["C", "W", "E"])
        released = self.model == "released"
        inputs = (rows, tables, traffic, self.sent, *flows, released)
        if self.platform.routing in TABLE_ROUTINGS:
            up_down = self.platform.routing == "up_down"
            done = evaluate_by_tables(*inputs, up_down, F, loads, transits, wirings)
        else:
            done = evaluate_batch(*inputs, F, loads, transits, wirings)
        if not done:
            return None
        if "thermal" in names:
            heat = np.empty(len(rows))
            resistances = (tables.layer_resistance, tables.base_resistance)
            parts = (tables.level, tables.stack, tables.power)
            thermal_batch(rows, *parts, *resistances, released, heat)
            F[:, :, OBJECTIVES.index("thermal")] = heat[:, None]
        waits = np.empty((len(transits), n_apps))
        if with_waits:
            platform = self.platform
            packet = (platform.packet_flits, second_moment(platform), flit_sharing(platform))
            buffers = (platform.virtual_channels, platform.channel_flits or 0)
            gaps = self._port_gaps(rows, wirings)
            capacity = platform.link_capacity
            held = nothing_held(len(rows), n_apps)
            if waits_alone(platform):
                by_pe = platform.routing not in TABLE_ROUTINGS
                held = held_channels(platform, rows, traffic, wirings, by_pe)
            waits_batch(transits, wirings, gaps, capacity, *packet, *buffers, *held, waits)
        return F, loads, waits

    def _port_gaps(self, rows: Ints, wirings: Ints) -> Floats:
        """Return the capacity of links over that of the channels of each port, [n, n, ports]."""
        platform, (n_rows, n, ports, _) = self.platform, wirings.shape
        gaps = np.ones((n_rows, n, ports + 1))
        if platform.physical.die_rate < 1.0:
            die = np.broadcast_to(platform.die, (n_rows, n))
            if platform.routing not in TABLE_ROUTINGS:
                # The kernel counts routers by their PEs.
                die = np.empty((n_rows, n), dtype=np.int64)
                placement = rows[:, :n]
                np.put_along_axis(die, placement, np.tile(platform.die, (n_rows, 1)), axis=1)
            row = np.arange(n_rows)[:, None, None]
            there = die[row, wirings[..., 0]]
            between = (wirings[..., 2] > 0) & (there != die[:, :, None])
            gaps[:, :, :ports][between] = 1.0 / platform.physical.die_rate
        return gaps

    def units(self, mesh: Floats, names: Sequence[str]) -> Floats:
        """Return the divisors of values before aggregation, [n_apps, n_names].

        They are the mesh's values; 1 for one application, or a metric independent of traffic.
        """
        relative = np.array([len(mesh) > 1 and name in PER_APPLICATION for name in names])
        return np.where(relative & (mesh > 0), mesh, 1.0)

    def aggregated(self, values: Floats, units: Floats) -> Floats:
        """Return values [n, n_apps, n_names] as one number for all applications, [n, n_names]."""
        if values.shape[1] == 1:
            return values[:, 0]
        relative = values / units
        return relative.mean(axis=1) if self.aggregate == "mean" else relative.max(axis=1)

    def alike(self, names: Sequence[str], units: Floats) -> list[float]:
        """Return the part of aggregated values that every design has alike, [n_names].

        It is 0 for the worst of several applications, which may be another one for each design.
        """
        if len(self.traffic) > 1 and self.aggregate == "worst":
            return [0.0] * len(names)
        parts = [[shared_part(name, self.platform, t) for name in names] for t in self.traffic]
        return self.aggregated(np.array([parts]), units)[0].tolist()
