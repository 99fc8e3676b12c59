"""How quality grows over a run, and how much sooner one algorithm gets where another ends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from moela._arrays import Floats
from moela.comparison.convergence import Growth, checkpoints
from moela.quality.statistics import quartiles


def curves(growths: Mapping[str, Sequence[Growth]]) -> list[dict[str, Any]]:
    """Return median and quartiles of the share by algorithm and evaluations; see `convergence`."""
    rows = []
    for algorithm, runs in growths.items():
        # As far as every run of the algorithm goes.
        at = checkpoints(min(run.n_eval for run in runs))
        values = np.array([run.shares(at) for run in runs])
        rows += [
            {"algorithm": algorithm, "evaluations": n, "n": len(runs), **quartiles(column)}
            for n, column in zip(at, values.T, strict=True)
        ]
    return rows


def speedups(
    growths: Mapping[str, Sequence[Growth]],
    finals: Mapping[str, Floats],
    baseline: str | None,
) -> list[dict[str, Any]]:
    """Return a row for each algorithm and each rival; see `Comparison.speedup`."""
    rows = []
    targets = {name: float(np.quantile(v, 0.5, method="lower")) for name, v in finals.items()}
    names = list(growths)
    for rival in names:
        target = targets[rival]
        if target <= 0 or (baseline is not None and rival == baseline):
            continue
        needed = {
            name: np.array([run.evaluations_to(target) for run in growths[name]])
            for name in names
            if name == rival or baseline in (None, name)
        }
        own = quartiles(needed[rival])["median"]
        own_seconds = _median_seconds(growths[rival], needed[rival])
        for name, evaluations in needed.items():
            if name == rival:
                continue
            q = quartiles(evaluations)
            seconds = _median_seconds(growths[name], evaluations)
            rows.append(
                {
                    "algorithm": name,
                    "rival": rival,
                    "target": target,
                    "reached": int(np.isfinite(evaluations).sum()),
                    "n": len(evaluations),
                    "evaluations": q["median"],
                    "q1": q["q1"],
                    "q3": q["q3"],
                    "rival_evaluations": own,
                    "speedup": _ratio(own, q["median"]),
                    "seconds": seconds,
                    "rival_seconds": own_seconds,
                    "speedup_seconds": _ratio(own_seconds, seconds),
                }
            )
    return rows


def _median_seconds(runs: Sequence[Growth], evaluations: Floats) -> float:
    values = np.array([run.seconds(n) for run, n in zip(runs, evaluations, strict=True)])
    return float("nan") if np.isnan(values).any() else quartiles(values)["median"]


def _ratio(rival: float, own: float) -> float:
    """Return how many times sooner; NaN where one of them never gets there, or nobody timed it."""
    known = np.isfinite(rival) and np.isfinite(own) and own > 0
    return rival / own if known else float("nan")
