"""How quality grows over a run, and how much sooner one algorithm gets where another ends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import moocore
import numpy as np

from moela.comparison_scale import Scale
from moela.experiment_results import quartiles
from moela.outcomes import Floats, Outcome

# A run that computes the same front in another order may differ in the last bits.
_HAIR = 1.0 - 1e-12


class Growth:
    """The hypervolume of one run as it goes on, as a share of the box of its problem."""

    def __init__(self, outcome: Outcome, scale: Scale) -> None:
        assert outcome.history is not None
        F = outcome.history.load()
        # Rows beyond the reference point add no volume. NaN is not below anything.
        inside = (F < scale.ref_point).all(axis=1)
        self.n_eval = len(F)
        self.times = outcome.times()
        self._scale = scale
        self._at = np.flatnonzero(inside) + 1
        self._F = F[inside]

    def shares(self, at: Sequence[int]) -> Floats:
        """Return the share after so many evaluations, for each of them, ascending."""
        front, done, out = self._F[:0], 0, []
        for n in at:
            upto = int(np.searchsorted(self._at, n, "right"))
            front = self._merge(front, done, upto)
            done = upto
            out.append(self._scale.share(front))
        return np.array(out)

    def evaluations_to(self, target: float) -> float:
        """Return after how many evaluations the share first is `target`; infinity for never."""
        if target <= 0:
            return 1.0
        goal = target * _HAIR
        low, front, high = 0, self._F[:0], min(64, len(self._F))
        while self._scale.share(bigger := self._merge(front, low, high)) < goal:
            if high == len(self._F):
                return float("inf")
            low, front, high = high, bigger, min(2 * high, len(self._F))
        while high - low > 1:
            middle = (low + high) // 2
            bigger = self._merge(front, low, middle)
            if self._scale.share(bigger) < goal:
                low, front = middle, bigger
            else:
                high = middle
        return float(self._at[high - 1])

    def seconds(self, n: float) -> float:
        """Return when evaluation n had ended; infinity for infinity, NaN if times are unknown."""
        if not np.isfinite(n):
            return float("inf")
        return float("nan") if self.times is None else float(self.times[int(n) - 1])

    def _merge(self, front: Floats, low: int, high: int) -> Floats:
        fresh = self._F[low:high]
        if len(fresh) == 0:
            return front
        return np.asarray(moocore.filter_dominated(np.concatenate([front, fresh])))


def checkpoints(n_eval: int, n: int = 40) -> list[int]:
    """Return up to n numbers of evaluations, evenly spread on a logarithmic axis, the last one too.

    They begin at a thousandth of the run, or at 10.
    """
    first = min(max(10, n_eval // 1000), n_eval)
    return sorted({round(v) for v in np.geomspace(first, n_eval, n)})


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
