"""NSGA-II with and without learned local search."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from pymoo.algorithms.moo.nsga2 import NSGA2

from moela import LearnedLocalSearch
from problems import MNKLandscape, MultiObjectiveQAP, NoC3D
from tests.benchmarks import harness, rivals
from tests.benchmarks.search.runs import curve
from tests.benchmarks.search.short import CLASSIC
from tests.benchmarks.search.study import Found, Report, Study

_POP = 50
# Hypervolumes are taken at these fractions of the budget.
_PARTS = (0.1, 0.2, 1 / 3, 0.5, 1.0)


def plugged(problem: Any) -> NSGA2:
    """Return NSGA-II with the plug-in."""
    operators = rivals.operators(problem)
    return NSGA2(
        pop_size=_POP,
        sampling=operators["sampling"],
        repair=operators.get("repair"),
        mating=LearnedLocalSearch(),
    )


def _over_nsga2(found: Found) -> Report:
    """Return hypervolumes with the plug-in over those at the end of NSGA-II's runs."""
    rows, bars = [["problem", "NSGA-II", *(f"at {f:.0%}" for f in _PARTS), "own time"]], []
    for name in found.problems:
        runs = found.runs(name, found.budgets[0])
        base = np.array([run["hypervolume"][-1] for run in runs["NSGA-II"]])
        with_it = np.array([run["hypervolume"] for run in runs["plug-in"]])
        ratio = np.median(with_it / base[:, None], axis=0)
        own, other = (np.median([r["seconds"] for r in runs[k]]) for k in ("plug-in", "NSGA-II"))
        times = f"{own / max(other, 1e-9):.1f}"
        rows.append([name, f"{np.median(base):.4g}", *(f"{r:.3f}" for r in ratio), times])
        bars.append(f"{name}, of NSGA-II's final after a third, {ratio[2]:.3f}, at least 1")
        bars.append(f"{name}, of NSGA-II's final after a fifth, {ratio[1]:.3f}, aim 1")
    return [harness.markdown(rows)], bars


PLUG_IN = Study(
    title="NSGA-II with learned local search",
    about="Hypervolume of all evaluated designs of `NSGA2(mating=LearnedLocalSearch())` at "
    f"{', '.join(f'{f:.0%}' for f in _PARTS)} of {{budget}} evaluations, relative to that of "
    "NSGA-II at the end of its run with the same seed; medians of {seeds} seeds. `NSGA-II` is the "
    "median of its own final hypervolume, `own time` the CPU time outside the problem, relative to "
    "NSGA-II's.",
    problems={
        "noc bfs, 5 objectives": partial(NoC3D.example, "bfs", objectives=5),
        "noc hotspot, 3 objectives": partial(NoC3D.example, "hotspot", objectives=3),
        **CLASSIC,
    },
    algorithms={"NSGA-II": partial(rivals.nsga2, pop=_POP), "plug-in": plugged},
    measure=partial(curve, fractions=_PARTS, seconds="own"),
    report=_over_nsga2,
    store="plug_in",
    budgets=(5000,),
    quick={"budgets": [900]},
)
# The other problems that the settings of the plug-in were chosen on.
PLUG_IN_MORE = replace(
    PLUG_IN,
    problems={
        "mnk 100, another": partial(MNKLandscape.random, n=100, k=4, n_obj=2, rho=0.0, seed=7),
        "mnk 60, k 6": partial(MNKLandscape.random, n=60, k=6, n_obj=2, rho=0.0, seed=2),
        "mnk 150, k 2, 3 objectives": partial(
            MNKLandscape.random, n=150, k=2, n_obj=3, rho=0.0, seed=3
        ),
        "mnk 100, rho -0.4": partial(MNKLandscape.random, n=100, k=4, n_obj=2, rho=-0.4, seed=4),
        "qap 30": partial(MultiObjectiveQAP.random, n_facilities=30, seed=2),
    },
)
