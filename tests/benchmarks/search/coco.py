"""The 55 functions of two objectives of COCO, in long and in short runs.

Needs the packages coco-experiment and comocma, and optuna for short runs.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.core.problem import Problem

from moela import MOELA
from moela._arrays import Floats
from moela.experiments.run import External
from moela.rivals import BatchMOEAD
from tests.benchmarks import harness
from tests.benchmarks.harness import Case
from tests.benchmarks.search.runs import (
    Make,
    Run,
    last_volumes,
    nadir_of_random,
    record,
    rounded,
    volume,
)
from tests.benchmarks.search.study import OURS, Found, Report, Study

# Bounds within which COCO puts the optima of the single objectives.
BOUND = 5.0
DIMENSION = 10
# The functions that are combined, by the groups of COCO's suite of one objective.
_GROUPS = {
    "separable": (1, 2),
    "moderate": (6, 8),
    "ill-conditioned": (13, 14),
    "multi-modal": (15, 17),
    "weak structure": (20, 21),
}
_GROUP_OF = {number: group for group, numbers in _GROUPS.items() for number in numbers}
# COMO-CMA-ES: strategies side by side, and their first step size.
_STRATEGIES, _STEP = 10, 1.0


class CocoProblem(Problem):
    """A function of the suite.

    Attributes
    ----------
    ideal, nadir : float array [2]
        What COCO knows of the front.
    """

    def __init__(self, name: str) -> None:
        import cocoex

        number, self.instance, dimension = map(int, re.findall(r"_[fid](\d+)", name))
        cocoex.log_level("error")
        options = f"instances: {self.instance}", f"dimensions: {dimension}"
        # The suite must live as long as its functions.
        self.suite = cocoex.Suite("bbob-biobj", *options)
        self.function = self.suite[number - 1]
        assert self.function.id == name, self.function.id
        single = re.findall(r"bbob_f(\d+)_i(\d+)_d(\d+)", self.function.name)
        best = [cocoex.BareProblem("bbob", int(f), int(d), int(i)) for f, i, d in single]
        self.ideal = np.array([one.best_value() for one in best])
        at_best = [self.function(np.array(one.best_parameter())) for one in best]
        self.nadir = np.array(at_best).max(axis=0)
        super().__init__(n_var=dimension, n_obj=2, xl=-BOUND, xu=BOUND)

    def _evaluate(self, x: Floats, out: dict[str, Any], *args: Any, **kwargs: Any) -> None:
        out["F"] = np.array([self.function(row) for row in x])


def como(problem: CocoProblem, n_eval: int, seed: int) -> tuple[Floats, Floats]:
    """Run COMO-CMA-ES (Touré et al. 2019, GECCO), which is told the nadir point of COCO."""
    import comocma

    rng = np.random.default_rng(seed)
    starts = rng.uniform(-BOUND, BOUND, (_STRATEGIES, problem.n_var))
    options = {"bounds": [-BOUND, BOUND], "verbose": -9, "seed": seed}
    strategies = comocma.get_cmas(list(starts), _STEP, inopts=options)
    nadir = [float(value) for value in problem.function.largest_fvalues_of_interest]
    search = comocma.Sofomore(strategies, nadir)
    X: list[Floats] = []
    F: list[Floats] = []
    while len(F) < n_eval and not search.stop():
        designs = search.ask("all")
        values = [problem.function(design) for design in designs]
        search.tell(designs, values)
        X, F = [*X, *designs], [*F, *values]
    return np.array(X), np.array(F)


def tpe(problem: CocoProblem, n_eval: int, seed: int) -> tuple[Floats, Floats]:
    """Run Optuna's TPE sampler with its option for variables that depend on each other."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    sampler = optuna.samplers.TPESampler(seed=seed, multivariate=True)
    study = optuna.create_study(directions=["minimize"] * 2, sampler=sampler)
    names = [f"x{j}" for j in range(problem.n_var)]

    def objective(trial: Any) -> list[float]:
        design = [trial.suggest_float(name, -BOUND, BOUND) for name in names]
        return [float(value) for value in problem.function(np.array(design))]

    study.optimize(objective, n_trials=n_eval)
    X = np.array([[trial.params[name] for name in names] for trial in study.trials])
    return X, np.array([trial.values for trial in study.trials])


def measure(run: Run, make_problem: Make, make: Make, *, to_random: bool = False) -> Case:
    """Return the hypervolume of a run, as a share of the box; an instance is a seed.

    The box ends at the nadir point that COCO knows, or at that of random designs.
    """
    problem = make_problem()
    nadir = problem.nadir
    if to_random:
        X = np.random.default_rng(0).uniform(-BOUND, BOUND, (1000, problem.n_var))
        nadir = nadir_of_random(problem, X)
    F, _ = record(run._replace(seed=run.seed + problem.instance), problem, make)
    scaled = (F - problem.ideal) / (nadir - problem.ideal)
    return {"hypervolume": rounded([volume(scaled, np.ones(2))])}


def problems(instances: int) -> dict[str, Make]:
    """Return functions that make the problems of these instances, by name."""
    names = [
        f"bbob-biobj_f{f:02d}_i{i:02d}_d{DIMENSION:02d}"
        for f in range(1, 56)
        for i in range(1, instances + 1)
    ]
    return {name: partial(CocoProblem, name) for name in names}


def group_of(name: str) -> str:
    """Return the groups of the two functions that a problem combines."""
    pairs = list(itertools.combinations_with_replacement(_GROUP_OF, 2))
    first, second = pairs[int(re.findall(r"_f(\d+)_", name)[0]) - 1]
    return " and ".join(dict.fromkeys((_GROUP_OF[first], _GROUP_OF[second])))


def ranks(share: Floats) -> Floats:
    """Return the rank of each algorithm on each problem, [problem, algorithm].

    `share` has the same shape. A difference of 0.1 % or less is none.
    """
    better = share[:, None, :] > share[:, :, None] * 1.001
    return np.asarray(1 + better.sum(axis=2))


def report(found: Found) -> Report:
    """Return a table for each budget, and the bars."""
    algorithms, budgets = list(found.algorithms), found.budgets
    at_budgets = [[last_volumes(found.runs(n, b)) for b in budgets] for n in found.problems]
    values = [[[of[name] for of in at] for name in algorithms] for at in at_budgets]
    # Of the largest of all algorithms and budgets on each problem.
    share = np.array(values) / np.max(values, axis=(1, 2), keepdims=True)
    groups = [group_of(name) for name in found.problems]
    parts, bars = [], []
    for k, budget in enumerate(budgets):
        now = share[:, :, k]
        rows = [["functions", *algorithms]]
        for group in dict.fromkeys(groups):
            at = [i for i, other in enumerate(groups) if other == group]
            rows.append([group, *(f"{value:.3f}" for value in now[at].mean(axis=0))])
        rank, mean = ranks(now), now.mean(axis=0)
        rows.append(["**all**", *(f"**{value:.3f}**" for value in mean)])
        rows.append(["mean rank", *(f"{value:.2f}" for value in rank.mean(axis=0))])
        rows.append(["first on", *(f"{value:.0%}" for value in (rank == 1).mean(axis=0))])
        parts += [f"## After {budget:,} evaluations\n", harness.markdown(rows)]
        best = max(m for m, name in zip(mean, algorithms, strict=True) if name != OURS)
        ours = mean[algorithms.index(OURS)] / best
        bars.append(f"mean at {budget}, of the best rival, {ours:.3f}, 1")
    return parts, bars


def _quick(instances: int) -> Mapping[str, Any]:
    names: Sequence[str] = list(problems(instances))
    return {"problems": names[:: len(names) // 3], "budgets": [60]}


_EVOLUTION = {OURS: MOELA, **{f"NSGA-II, {n}": partial(NSGA2, pop_size=n) for n in (20, 50)}}
BBOB = Study(
    title="Functions of COCO",
    about="The suite bbob-biobj of COCO (Brockhoff, Auger, Hansen, Tušar 2022, Evolutionary "
    "Computation 30(2)): 55 functions of two objectives, each a pair of functions of one "
    "objective, in ten variables from -5 to 5, three instances of each. The hypervolume of all "
    "designs that a run has evaluated, between the ideal and the nadir point, as a share of the "
    "largest of all algorithms and budgets on the problem: means over the functions of a group and "
    "over the instances. Two groups are named where the functions come from two of them. A "
    "difference of 0.1 % or less is none in the ranks. The number after NSGA-II is the size of its "
    "population; COMO-CMA-ES has ten strategies, and is told the nadir point. Of COCO and "
    "COMO-CMA-ES: {versions}.",
    problems=problems(3),
    algorithms={
        **_EVOLUTION,
        "NSGA-II, 100": partial(NSGA2, pop_size=100),
        "MOEA/D batch": partial(BatchMOEAD, n_subproblems=50),
        "COMO-CMA-ES": External(como),
    },
    measure=measure,
    report=report,
    store="bbob",
    budgets=(1000, 3000, 10_000),
    quick=_quick(3),
    seeds=1,
    packages=("coco-experiment", "comocma"),
)
FEW_BBOB = Study(
    title="Few evaluations of functions of COCO",
    about="The functions of the page [bbob](bbob.md), in ten variables, two instances of each. The "
    "hypervolume of all designs that a run has evaluated, from the ideal point of COCO to the "
    "nadir point of the non-dominated among 1,000 random designs, as a share of the largest of all "
    "algorithms and budgets on the problem: means over the functions of a group and over the "
    "instances. A difference of 0.1 % or less is none in the ranks. The number after NSGA-II is "
    "the size of its population. COMO-CMA-ES has ten strategies, and is told the nadir point of "
    "COCO. TPE is multivariate. Made with {versions}.",
    problems=problems(2),
    algorithms={**_EVOLUTION, "COMO-CMA-ES": External(como), "TPE (Optuna)": External(tpe)},
    measure=partial(measure, to_random=True),
    report=report,
    store="few_bbob",
    budgets=(100, 300),
    quick=_quick(2),
    seeds=1,
    packages=("coco-experiment", "comocma", "optuna"),
)
