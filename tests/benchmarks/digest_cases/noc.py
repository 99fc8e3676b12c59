"""Cases of networks-on-chip: designs, objectives and metrics, moves, heat, exports."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from moela import MOELA
from problems import NoC3D
from problems.noc import (
    Platform,
    calibrate,
    steady_temperatures,
    synthetic_traffic,
)

from .running import parts_of, sampled, solve, values

APPLICATIONS = ("bfs", "bp", "gau", "hotspot", "kmeans", "nw", "pf", "sc", "srad")


def problem_of(**settings: Any) -> dict[str, Any]:
    """Return the evaluations, operators and features of a problem, and metrics of its designs."""
    problem = NoC3D.example("bfs", **settings)
    X = sampled(problem, 8, seed=5).get("X")
    design = problem.decode(X[0])
    return parts_of(problem) | {
        "metrics": list(problem.measure(X).values()),
        "loads": [problem.link_loads(X[:3]), problem.channel_loads(X[:3])],
        "mesh": [problem.mesh_row(), list(problem.beside_mesh(X[1]).values())],
        "decoded": [design.placement, design.links, design.all_links(), problem.encode(design)],
    }


def all_metrics() -> dict[str, Any]:
    """Return evaluations with all metrics as objectives, with and without constraints."""
    names = NoC3D.example("bfs").metric_names
    free = NoC3D.example("gau", objectives=names)
    X = sampled(free, 30).get("X")
    limits = {name: float(np.quantile(v, 0.9)) for name, v in free.measure(X).items()}
    held = NoC3D.example("gau", objectives=3, constraints=limits)
    return {
        "all": values(free, X),
        "constrained": values(held, X),
        "released": values(NoC3D.example("gau", model="released"), X),
        "run": solve(held, MOELA(), 300),
    }


def several_applications() -> dict[str, Any]:
    """Return objectives under several applications, and under a held-out application."""
    platform = Platform.paper_4x4x4()
    rng = np.random.default_rng(3)
    traffic = [synthetic_traffic(name, platform, rng) for name in APPLICATIONS]
    parts: dict[str, Any] = {"traffic": traffic}
    for by in ("mean", "worst"):
        problem = NoC3D(traffic[:3], aggregate=by, held_out=traffic[3])
        X = sampled(problem, 10).get("X")
        assert problem.held_out is not None
        parts[by] = [values(problem, X), values(problem.held_out, X), problem.features(X)]
        parts[f"{by} metrics"] = list(problem.measure(X).values())
    return parts


def platforms() -> dict[str, Any]:
    """Return designs of other platforms: flat, larger, and with a choice of vertical links."""
    small = Platform.paper_4x4x4().to_dict() | {"n_vertical_links": 40, "max_length": 2.5}
    made = {
        "mesh": Platform.mesh_8x8(),
        "stack": Platform.stack_8x8x4(),
        "vertical": Platform.from_dict(small),
    }
    parts: dict[str, Any] = {}
    for name, platform in made.items():
        problem = NoC3D.example("hotspot", platform=platform, objectives=5)
        parts[name] = parts_of(problem, 6)
        parts[f"{name} tables"] = [
            platform.candidates, platform.candidate_lengths, platform.power, list(platform.mesh),
        ]  # fmt: skip
    return parts


def heat() -> dict[str, Any]:
    """Return temperatures of both models, and the calibration of the stack model."""
    problem = NoC3D.example("bfs")
    designs = [problem.decode(x) for x in sampled(problem, 3, seed=7).get("X")]
    steady = [steady_temperatures(design, cells=1, sink_layers=2) for design in designs]
    stack, error = calibrate(designs, steady)
    return {
        "stack": [design.temperatures() for design in designs],
        "steady": steady,
        "calibrated": [stack.layer_factor, stack.spreading_factor, error],
    }


CASES = {
    "noc 3 objectives": partial(problem_of, objectives=3),
    "noc 5 objectives": partial(problem_of, objectives=5),
    "noc released model": partial(problem_of, objectives=4, model="released"),
    "noc all metrics": all_metrics,
    "noc several applications": several_applications,
    "noc platforms": platforms,
    "noc heat": heat,
}
