"""Designs that BookSim 2 and HotSpot 6 simulated, in $MOELA_DATA/noc."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr

from problems._arrays import Floats, Ints
from problems.noc import NoC3D, Platform, load_traffic
from tests.benchmarks import harness

PIPELINE = 3  # cycles of BookSim per router and at the ends, which the model does not count


@dataclass(frozen=True)
class SharedDesigns:
    """The designs of an application at one load, and the results of the simulators."""

    app: str
    level: float
    traffic: Floats  # [n, n] flits per cycle
    rows: Ints  # [n_designs, n_var]
    front: np.ndarray  # [n_designs] whether a design is of a Pareto front
    shallow: Floats  # [n_designs] packet latency with 4 flits in 4 channels, in the model's cycles
    deep: Floats  # [n_designs] with 32 flits in 8 channels; NaN where it was not simulated
    peak: Floats  # [n_designs] HotSpot's peak in degrees C

    @property
    def name(self) -> str:
        return f"{self.app} at {self.level}"


def shared_designs(platform: Platform, path: Path | None = None) -> list[SharedDesigns]:
    """Return the designs of every application and load of the file."""
    path = path or harness.data_folder() / "noc" / "booksim_hotspot_designs.npz"
    with np.load(path, allow_pickle=False) as file:
        data = {name: file[name] for name in file}
    sets = []
    for app in np.unique(data["app"]).tolist():
        traffic = load_traffic(path.with_name(f"{app}_traffic.csv"))
        np.fill_diagonal(traffic, 0.0)
        for level in np.unique(data["load_level"]).tolist():
            here = (data["app"] == app) & (data["load_level"] == level)
            part = {name: values[here] for name, values in data.items() if values.ndim}
            planar = np.array([platform.candidate_index(links) for links in part["links"]])
            shallow, deep = (
                part[f"booksim_packet_latency{kind}"]
                - PIPELINE * part[f"booksim_hops{kind}"]
                - PIPELINE
                for kind in ("", "_deep")
            )
            rows = np.concatenate((part["placement"], np.sort(planar, axis=1)), axis=1)
            factor = float(part["traffic_factor"][0])
            front, peak = part["kind"] == "front", part["hotspot_peak"]
            sets.append(
                SharedDesigns(app, level, traffic * factor, rows, front, shallow, deep, peak)
            )
    return sets


BUFFERS = {"deep": (8, 32), "shallow": (4, 4)}
"""Virtual channels, and flits of each, that the designs were simulated with."""


def simulated_sets(
    platform: Platform, objective: str, path: Path | None = None
) -> Iterator[tuple[SharedDesigns, str, NoC3D, Floats]]:
    """Yield designs, kind of buffers, a problem on a chip with these, and BookSim's latencies."""
    for s in shared_designs(platform, path):
        for kind, (channels, flits) in BUFFERS.items():
            truth = s.deep if kind == "deep" else s.shallow
            if not np.isnan(truth).any():
                chip = replace(platform, virtual_channels=channels, channel_flits=flits)
                yield s, kind, NoC3D(s.traffic, platform=chip, objectives=(objective,)), truth


def rank(a: Floats, b: Floats) -> float:
    """Return Spearman's rank correlation."""
    return float(spearmanr(a, b).statistic)
