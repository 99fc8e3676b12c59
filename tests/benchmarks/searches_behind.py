"""MOELA without models, with and without searches that stay far behind the archived designs.

    python -m tests.benchmarks.searches_behind --out docs/benchmarks/searches_behind.md
    python -m tests.benchmarks.searches_behind --quick    # one problem, two seeds, nothing kept

The problems and their reference points are those of `tests.benchmarks.long_runs`; without
MOELA_DATA, only generated instances are used. Each run is kept in `results/searches_behind.json` as
soon as it is made.
"""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from moela import MOELA
from tests.benchmarks import tables
from tests.benchmarks.cases import Case, Cases
from tests.benchmarks.long_runs import problems, reference
from tests.benchmarks.timed import TimedRun, warm_up

DATA = Path(__file__).parent / "results" / "searches_behind.json"
EVALUATIONS = (5_000, 20_000, 50_000)
# Evaluations of the run that sets the reference point.
_REFERENCE = 20_000
LIMITS = {"end": 0.1, "go on": math.inf}


def measured(problem: Any, limit: float, seed: int, at: tuple[int, ...], ref: Any) -> Case:
    """Return hypervolumes after so many evaluations, and the process seconds of all."""
    algorithm = MOELA._tuned(batch_size=50, models=None, most_behind=limit)
    run = TimedRun(problem, algorithm, seed, 0.0, at[-1])
    values = {str(n): float(f"{run.hypervolume_after(n, ref):.8g}") for n in at}
    return {**values, "seconds": round(run.clock.seconds_at(at[-1]), 3)}


def main() -> None:
    """Measure the cases that are missing, and write the page."""
    parser = tables.script_parser(__doc__)
    parser.add_argument("--quick", action="store_true", help="a run of under a minute")
    parser.add_argument("--seeds", type=int, default=12)
    parser.add_argument("--first-seed", type=int, default=1)
    parser.add_argument("--out")
    arguments = parser.parse_args()
    makers = problems()
    at: tuple[int, ...] = EVALUATIONS
    if arguments.quick:
        arguments.seeds, at, makers = 2, (500, 2_000), {"qap-25": makers["qap-25"]}
    cases = Cases(None if arguments.quick else DATA)
    seeds = range(arguments.first_seed, arguments.first_seed + arguments.seeds)
    rows = [["problem", *(f"{n:,}" for n in at), "better after the last", "time"]]
    bars = []
    for name, make in makers.items():
        problem = make()
        point = cases.get(f"{name}, reference", partial(reference, problem, _REFERENCE))
        ref = np.array([point[str(i)] for i in range(problem.n_obj)])
        warm_up(problem, MOELA(batch_size=50, models=None))
        found: dict[str, list[Case]] = {kind: [] for kind in LIMITS}
        for seed in seeds:
            for kind, limit in LIMITS.items():
                case = partial(measured, problem, limit, seed, at, ref)
                found[kind].append(cases.get(f"{name}, {kind}, {seed}", case))
        values = {
            kind: np.array([[case[str(n)] for n in at] for case in found[kind]]) for kind in LIMITS
        }
        ratio = np.median(values["end"], axis=0) / np.median(values["go on"], axis=0)
        better = int((values["end"][:, -1] > values["go on"][:, -1]).sum())
        seconds = {kind: np.median([case["seconds"] for case in found[kind]]) for kind in LIMITS}
        rows.append(
            [
                name, *(f"{r:.3f}" for r in ratio), f"{better} of {arguments.seeds}",
                f"{seconds['end'] / seconds['go on']:.2f}",
            ]
        )  # fmt: skip
        bars.append(f"bar: {name} after {at[-1]:,}, searches end over go on, {ratio[-1]:.3f}, 1")
    about = (
        "Hypervolume of `MOELA(batch_size=50, models=None)`, in which a search ends if an archived "
        "design is better for its weights by more than 0.1, relative to that of the same without "
        f"this rule: ratios of medians over {arguments.seeds} seeds after so many evaluations. "
        "Above 1, the rule is better. `better after the last` counts the seeds; `time` is the "
        "ratio of the process times of all evaluations."
    )
    page = [tables.header("Searches that fall behind", __spec__.name, about)]
    tables.finish([*page, tables.markdown(rows)], arguments.out)
    print("\n".join(bars))


if __name__ == "__main__":
    main()
