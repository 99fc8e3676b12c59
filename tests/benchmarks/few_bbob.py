"""The 55 functions of two objectives of COCO, after 100 and 300 evaluations.

    pip install coco-experiment comocma optuna
    python -m tests.benchmarks.few_bbob --out docs/benchmarks/few_bbob.md

A run is worth the hypervolume of all designs that it has evaluated, from the ideal point of COCO to
the nadir point of the non-dominated among 1,000 random designs. Values are kept as those of `bbob`
are. `--again MOELA` makes the runs of an algorithm anew.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import moocore
import numpy as np

from moela._arrays import Floats
from tests.benchmarks import bbob, harness, tables

DATA = Path(__file__).parent / "results" / "few_bbob.json"
OURS = tables.OURS
BUDGETS = (100, 300)
N_RANDOM = 1000
TPE = "TPE (Optuna)"


def _tpe(function: Any, budget: int, seed: int) -> Floats:
    """Run Optuna's TPE sampler with its option for variables that depend on each other."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    sampler = optuna.samplers.TPESampler(seed=seed, multivariate=True)
    study = optuna.create_study(directions=["minimize"] * 2, sampler=sampler)

    def objective(trial: Any) -> list[float]:
        names = [f"x{j}" for j in range(function.dimension)]
        design = [trial.suggest_float(name, -bbob.BOUND, bbob.BOUND) for name in names]
        return [float(value) for value in function(np.array(design))]

    study.optimize(objective, n_trials=budget)
    return np.array([trial.values for trial in study.trials])


ALGORITHMS: dict[str, Callable[[Any, int, int], Floats]] = {
    name: bbob.ALGORITHMS[name] for name in (OURS, "NSGA-II, 20", "NSGA-II, 50", "COMO-CMA-ES")
} | {TPE: _tpe}


def box_of(name: str, function: Any) -> tuple[Floats, Floats]:
    """Return the ideal point of a problem, and the nadir point of random designs, both [2]."""
    rng = np.random.default_rng(0)
    designs = rng.uniform(-bbob.BOUND, bbob.BOUND, (N_RANDOM, function.dimension))
    values = np.array([function(design) for design in designs])
    return bbob.box_of(name, function)[0], values[moocore.is_nondominated(values)].max(axis=0)


def main() -> None:
    """Make the runs that are missing, and write the page."""
    arguments = bbob.parse(__doc__, instances=2)
    names, path = bbob.names_of(arguments.dimension, arguments.instances), DATA
    arguments.budgets = BUDGETS
    if arguments.quick:
        arguments.budgets, names, path = (60,), names[:: len(names) // 3], None
    kept = bbob.make_missing(ALGORITHMS, arguments, names, path, box_of)
    algorithms = list(harness.pick(ALGORITHMS, arguments.algorithms, OURS))
    about = f"{ABOUT} {bbob.versions('coco-experiment', 'comocma', 'optuna')}."
    header = harness.header("Few evaluations of functions of COCO", __spec__.name, about)
    bbob.report(kept, names, algorithms, arguments, header)


ABOUT = (
    "The functions of the page [bbob](bbob.md), in ten variables, two instances of each. The "
    "hypervolume of all designs that a run has evaluated, from the ideal point of COCO to the "
    "nadir point of the non-dominated among 1,000 random designs, as a share of the largest of all "
    "algorithms and budgets on the problem: means over the functions of a group and over the "
    "instances. A difference of 0.1 % or less is none in the ranks. The number after NSGA-II is "
    "the size of its population. COMO-CMA-ES has ten strategies, and is told the nadir point of "
    "COCO. TPE is multivariate. Made with"
)

if __name__ == "__main__":
    main()
