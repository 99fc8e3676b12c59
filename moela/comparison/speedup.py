"""Convergence of algorithms, and how much sooner one reaches the final quality of another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from moela._arrays import Floats
from moela.comparison.convergence import ConvergenceCurve, checkpoints
from moela.comparison.scale import Scale
from moela.quality.statistics import quartiles
from moela.quality.table import Row, Table

Curves = Mapping[str, Sequence[ConvergenceCurve]]
"""The curve of each run, by algorithm."""


def convergence_table(curves: Mapping[str, Curves]) -> Table:
    """Return medians and quartiles by problem, algorithm and evaluations.

    `Comparison.convergence` documents the columns.
    """
    rows = []
    for problem, group in curves.items():
        for algorithm, runs in group.items():
            at = checkpoints(min(run.n_eval for run in runs))
            values = np.array([run.shares(at) for run in runs])
            rows += [
                {
                    "problem": problem,
                    "algorithm": algorithm,
                    "evaluations": n,
                    "n": len(runs),
                    **quartiles(column),
                }
                for n, column in zip(at, values.T, strict=True)
            ]
    return Table(rows)


def speedup_table(
    curves: Mapping[str, Curves], scales: Mapping[str, Scale], baseline: str | None
) -> Table:
    """Return one row for each algorithm and rival on each problem.

    `Comparison.speedup` documents the columns.
    """
    return Table(
        [
            {"problem": problem, **row, "volume": row["target"] * scales[problem].box}
            for problem, group in curves.items()
            for row in _speedups(group, baseline)
        ]
    )


def _speedups(curves: Curves, baseline: str | None) -> list[Row]:
    rows = []
    finals = {a: [run.shares([run.n_eval])[0] for run in runs] for a, runs in curves.items()}
    targets = {name: float(np.quantile(v, 0.5, method="lower")) for name, v in finals.items()}
    for rival, target in targets.items():
        if target <= 0 or rival == baseline:
            continue
        needed = {
            name: np.array([run.evaluations_to(target) for run in runs])
            for name, runs in curves.items()
            if name == rival or baseline in (None, name)
        }
        own = quartiles(needed[rival])["median"]
        own_seconds = _median_seconds(curves[rival], needed[rival])
        for name, evaluations in needed.items():
            if name == rival:
                continue
            q = quartiles(evaluations)
            seconds = _median_seconds(curves[name], evaluations)
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


def _median_seconds(runs: Sequence[ConvergenceCurve], evaluations: Floats) -> float:
    values = np.array([run.seconds(n) for run, n in zip(runs, evaluations, strict=True)])
    return float("nan") if np.isnan(values).any() else quartiles(values)["median"]


def _ratio(rival: float, own: float) -> float:
    """Return how many times sooner; NaN if either never gets there, or its time is unknown."""
    known = np.isfinite(rival) and np.isfinite(own) and own > 0
    return rival / own if known else float("nan")
