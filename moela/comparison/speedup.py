"""Convergence of algorithms, and how much sooner one reaches the final quality of another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from moela._arrays import Floats
from moela.comparison.convergence import ConvergenceCurve, checkpoints
from moela.quality.statistics import quartiles
from moela.quality.table import Row, Table

if TYPE_CHECKING:
    from moela.comparison.comparison import Comparison

Curves = Mapping[str, Sequence[ConvergenceCurve]]
"""The curve of each run, by algorithm."""


def convergence(c: Comparison) -> Table:
    """Return medians and quartiles of the hypervolume's share after numbers of evaluations.

    Columns: ``problem, algorithm, evaluations, n, median, q1, q3``; 40 checkpoints, spread
    evenly on a logarithmic axis, up to the shortest run of the algorithm.

    Raises
    ------
    ValueError
        The evaluations of a run are unknown.
    """
    rows = []
    for problem, group in c.curves.items():
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


def speedup(c: Comparison) -> Table:
    """Return how much sooner an algorithm reaches the final quality of a rival.

    The target is the (lower) median of the rival's final hypervolumes. Columns: ``problem,
    algorithm, rival, target, reached`` (number of runs that reached it) ``, n, evaluations, q1,
    q3`` (median and quartiles over all runs, infinity for a run that never did),
    ``rival_evaluations`` (median number after which the rival's own runs first reached it),
    ``speedup`` (their ratio; NaN if half of the runs never did), and the same in ``seconds``.
    Seconds are recorded with each evaluation in a store; otherwise a run's time is spread
    evenly.

    Raises
    ------
    ValueError
        The evaluations of a run are unknown.
    """
    return Table(
        [
            {"problem": problem, **row, "volume": row["target"] * c.scales[problem].box}
            for problem, group in c.curves.items()
            for row in _speedups(group, c.baseline)
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
