"""Short runs on smooth and classic problems and chips, and in batches."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
from pymoo.problems import get_problem
from scipy.stats import wilcoxon

from moela import MOELA
from moela.rivals import BatchMOEAD
from problems import MNKLandscape, MultiObjectiveKnapsack, MultiObjectiveQAP, NoC3D
from tests.benchmarks import harness, rivals
from tests.benchmarks.search.reports import to_best_rival
from tests.benchmarks.search.runs import (
    curve,
    front_of_problem,
    reference_beyond,
    volumes_of_fronts,
)
from tests.benchmarks.search.study import OURS, Found, Report, Study

# Of a thousand evaluations, evolution with few members often makes more.
_POP, _SMALL = 50, 20
CLASSIC = {
    "qap 20": partial(MultiObjectiveQAP.random, n_facilities=20, seed=1),
    "knapsack 100": partial(MultiObjectiveKnapsack.random, n_items=100, seed=1),
    "mnk 100": partial(MNKLandscape.random, n=100, k=4, n_obj=2, rho=0.0, seed=1),
}
FEW_EVALUATIONS = Study(
    title="After 300 and 1,000 evaluations",
    about="Hypervolume relative to that of the best rival: medians over the seeds. The reference "
    "point is the problem's own, or the nadir of the non-dominated among 1,000 random designs if "
    "the problem has none. If the exact front is known, the point is at least a tenth of the "
    "front's extent beyond it. Without that (`search few_inner`), it cuts off most of WFG1's "
    "front, and MOELA has 65 % of the best rival's hypervolume there after 300 evaluations and "
    f"58 % after 1,000. The rivals have a population of {_POP}, one of them {_SMALL}. The last "
    "column is the process time of MOELA in s, problem included.",
    problems={
        **{f"zdt{i}": partial(get_problem, f"zdt{i}") for i in (1, 2, 3, 4, 6)},
        **{f"dtlz{i}": partial(get_problem, f"dtlz{i}", n_obj=3) for i in (1, 2, 3, 4, 7)},
        **{f"wfg{i}": partial(get_problem, f"wfg{i}", n_var=10, n_obj=2) for i in range(1, 10)},
        "qap 10": partial(MultiObjectiveQAP.random, n_facilities=10, seed=1),
        **CLASSIC,
        "noc bfs, 3 objectives": partial(NoC3D.example, "bfs", objectives=3),
        "noc bfs, 5 objectives": partial(NoC3D.example, "bfs", objectives=5),
    },
    algorithms={
        OURS: MOELA,
        "NSGA-II": partial(rivals.nsga2, pop=_POP),
        "MOEA/D batch": partial(BatchMOEAD, n_subproblems=_POP),
        f"NSGA-II, {_SMALL}": partial(rivals.nsga2, pop=_SMALL),
        "AGE-MOEA-II": partial(rivals.age2, pop=_POP),
    },
    measure=partial(curve, point_of=reference_beyond),
    report=to_best_rival,
    store="few_evaluations",
    budgets=(300, 1000),
    quick={"problems": ["zdt1", "qap 10"], "algorithms": [OURS, "NSGA-II"], "budgets": [300]},
    least=0.95,
)
# The reference points where random designs put them.
FEW_INNER = replace(FEW_EVALUATIONS, measure=curve, store="few_inner")

# --------------------------------------------------------------------------------------- batches

_SIZES = (8, 16, 32)


def _batches(found: Found) -> Report:
    """Return medians relative to the default, and tests of pairs."""
    rows = [["problem"]]
    for size in _SIZES:
        rows[0] += [f"{size}, 5 searches", f"{size}, {size} searches", "p"]
    for name in found.problems:
        values = volumes_of_fronts(found.runs(name, found.budgets[0]))
        base, row = float(np.median(values[OURS])), [name]
        for size in _SIZES:
            few, many = (np.array(values[arm]) for arm in (f"{size}, 5 searches", f"{size}"))
            p = float(wilcoxon(few, many).pvalue) if len(few) > 1 and (few != many).any() else 1.0
            row += [f"{np.median(few) / base:.3f}", f"{np.median(many) / base:.3f}", f"{p:.3f}"]
        rows.append(row)
    return [harness.markdown(rows)], []


BATCHES = Study(
    title="Batches of a given size",
    about="Hypervolume after {budget} evaluations in batches of 8, 16 and 32 designs, with five "
    "local searches and with as many searches as designs, which is what `batch_size` sets. "
    "Values are medians over the seeds, relative to runs without `batch_size`, whose batches are "
    "small and whose designs therefore know more. p: Wilcoxon signed-rank test of both kinds of "
    "batches, {seeds} seeds.",
    problems={
        "noc, 5 objectives, bfs": partial(NoC3D.example, "bfs", objectives=5),
        "noc, 5 objectives, gau": partial(NoC3D.example, "gau", objectives=5),
        "noc, 3 objectives, hotspot": partial(NoC3D.example, "hotspot", objectives=3),
        "mnk 100": CLASSIC["mnk 100"],
        "knapsack 100": CLASSIC["knapsack 100"],
    },
    algorithms={
        OURS: MOELA,
        **{f"{n}, 5 searches": partial(MOELA, batch_size=n, n_searches=5) for n in _SIZES},
        **{f"{n}": partial(MOELA, batch_size=n) for n in _SIZES},
    },
    measure=front_of_problem,
    report=_batches,
    store="batches",
    budgets=(2000,),
    quick={"problems": ["knapsack 100"], "budgets": [300]},
    seeds=14,
)
