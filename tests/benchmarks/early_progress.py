"""MOELA at the beginning of long runs, with and without several moves at a time.

    python -m tests.benchmarks.early_progress --out docs/benchmarks/early_progress.md
    python -m tests.benchmarks.early_progress --quick    # two problems, one seed

Runs for 5,000 evaluations are stopped after 2,000. With MOELA_DATA the problems are those of
`tests.benchmarks.ablations`; without it, generated ones. Each run is kept in
`results/early_progress.json` as soon as it is made.
"""

from __future__ import annotations

import re
import time
from functools import partial
from pathlib import Path
from typing import Any

import moocore
import numpy as np

from moela import MOELA
from tests.benchmarks import ablations, harness
from tests.benchmarks.first_hundred import reference
from tests.benchmarks.harness import Case, Cases

DATA = Path(__file__).parent / "results" / "early_progress.json"
BUDGET = 5000
EVALUATIONS = (100, 150, 200, 300, 500, 1000, 2000)
# `both` is as in version 0.1, which made single moves and ranked none before a hundred.
VARIANTS: dict[str, dict[str, int]] = {
    "default": {},
    "single moves": {"most_moves": 1},
    "model after 100 moves": {"least_moves": 100},
    "both": {"most_moves": 1, "least_moves": 100},
}
ABOUT = (
    "Hypervolume of MOELA at the beginning of runs of 5,000 evaluations, relative to variants of "
    "it: with `single moves`, a local search evaluates a design after each move; with `model after "
    "100 moves`, moves are not ranked before so many have been evaluated. Geometric mean over the "
    "problems of a family of the ratio of medians over {} seeds; above 1, the default is better. "
    "`time` is the process time of the default for 1,000 evaluations, relative to the variant's."
)


def measured(problem: Any, settings: dict[str, int], seed: int) -> Case:
    """Return hypervolumes after so many evaluations, and the seconds of a thousand."""
    point, algorithm = reference(problem), MOELA._tuned(**settings)
    begin, seconds = time.process_time(), 0.0
    algorithm.setup(problem, termination=("n_eval", BUDGET), seed=seed)
    F: list[Any] = []
    while len(F) < EVALUATIONS[-1]:
        pop = algorithm.ask()
        algorithm.evaluator.eval(problem, pop)
        algorithm.tell(infills=pop)
        F += [ind.F if ind.FEAS else np.full(problem.n_obj, np.inf) for ind in pop]
        if seconds == 0.0 and len(F) >= 1000:
            seconds = time.process_time() - begin
    values = [moocore.hypervolume(np.array(F[:n]), ref=point) for n in EVALUATIONS]
    return {"hypervolume": [float(f"{v:.6g}") for v in values], "seconds": round(seconds, 3)}


def medians(cases: Cases, problem: str, variant: str, seeds: int) -> tuple[Any, float]:
    """Return the medians over the seeds: hypervolumes [n], and seconds."""
    found = [cases.results[f"{problem}, {variant}, {seed}"] for seed in range(1, seeds + 1)]
    volumes = np.median([case["hypervolume"] for case in found], axis=0)
    return volumes, float(np.median([case["seconds"] for case in found]))


def family(problem: str) -> str:
    """Return the family of a problem, by its name."""
    if problem.startswith("noc"):
        return "networks-on-chip"
    return "quadratic assignment" if problem[:2] in ("KC", "qa") else re.split("-", problem)[0]


def rows(cases: Cases, problems: list[str], variant: str, seeds: int) -> list[str]:
    """Return the cells of a variant: geometric means over these problems."""
    ratios, times = [], []
    for problem in problems:
        ours, own = medians(cases, problem, "default", seeds)
        theirs, other = medians(cases, problem, variant, seeds)
        # Before the first design beyond the reference point there is nothing to compare.
        ratios.append(np.divide(ours, theirs, out=np.ones_like(ours), where=theirs > 0))
        times.append(own / other)
    means = np.exp(np.log(np.maximum(ratios, 1e-9)).mean(axis=0))
    return [*(f"{v:.3f}" for v in means), f"{np.exp(np.mean(np.log(times))):.2f}"]


def main() -> None:
    """Measure the cases that are missing, and write the page."""
    parser = harness.script_parser(__doc__)
    parser.add_argument("--quick", action="store_true", help="two problems, one seed, nothing kept")
    parser.add_argument("--seeds", type=int, default=7)
    parser.add_argument("--out")
    arguments = parser.parse_args()
    makers = ablations.tuning_set()
    if arguments.quick:
        arguments.seeds, makers = 1, dict(list(makers.items())[:2])
    cases = Cases(None if arguments.quick else DATA)
    for seed in range(1, arguments.seeds + 1):
        for name, make in makers.items():
            for variant, settings in VARIANTS.items():
                case = partial(measured, make(), settings, seed)
                cases.get(f"{name}, {variant}, {seed}", case)
    heading = ["family", "default over", *(f"{n:,}" for n in EVALUATIONS), "time"]
    by_family, by_problem = [heading], [["problem", *heading[1:]]]
    families: dict[str, list[str]] = {}
    for name in makers:
        families.setdefault(family(name), []).append(name)
    for title, names in families.items():
        for variant in list(VARIANTS)[1:]:
            by_family.append([title, variant, *rows(cases, names, variant, arguments.seeds)])
    for name in makers:
        by_problem.append([name, "both", *rows(cases, [name], "both", arguments.seeds)])
    about = ABOUT.format(arguments.seeds)
    harness.finish(
        [
            harness.header("The beginning of long runs", __spec__.name, about),
            harness.markdown(by_family),
            "## By problem\n",
            harness.markdown(by_problem),
        ],
        arguments.out,
    )


if __name__ == "__main__":
    main()
