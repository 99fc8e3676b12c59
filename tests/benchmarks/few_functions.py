"""`moela.minimize` and evolution after 300 and 1,000 evaluations of plain functions.

    python -m tests.benchmarks.few_functions --out docs/benchmarks/few_functions.md

The value of a run is the hypervolume of its feasible front, in the box of the fronts of all runs on
the problem with the same budget, and a tenth of its size beyond the worst values. Fronts are kept
in `tests/benchmarks/results`, by problem, algorithm, budget and seed, so an interrupted run
resumes. `--again MOELA` makes the runs of an algorithm anew.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from pymoo.algorithms.moo.age2 import AGEMOEA2
from pymoo.algorithms.moo.nsga2 import NSGA2

import moela
from moela import MOELA
from tests.benchmarks import harness, tables
from tests.benchmarks.feasible import values
from tests.benchmarks.plain_functions import CASES

DATA = Path(__file__).parent / "results" / "few_functions.json"
OURS = tables.OURS
_MOST_KEPT = 60
# With as many sub-problems and first designs as in longer runs; no rival.
_MANY = "MOELA, 50"
ALGORITHMS: dict[str, Any] = {
    OURS: MOELA,
    _MANY: partial(MOELA._tuned, fewer_if_few=False),
    "NSGA-II, 50": partial(NSGA2, pop_size=50),
    "NSGA-II, 20": partial(NSGA2, pop_size=20),
    "AGE-MOEA-II": partial(AGEMOEA2, pop_size=50),
}


class Runs:
    """Feasible fronts by problem, algorithm, budget and seed, kept in a JSON file."""

    def __init__(
        self,
        path: Path | None,
        again: list[str],
        cases: Mapping[str, Any],
        algorithms: Mapping[str, Any],
    ) -> None:
        self.path, self.again, self.cases, self.algorithms = path, again, cases, algorithms
        self.fronts: dict[str, Any] = {}
        if path is not None and path.exists():
            self.fronts = json.loads(path.read_text(encoding="utf-8"))

    def get(self, name: str, algorithm: str, budget: int, seed: int) -> dict[str, Any]:
        """Return the front of a run, made now unless it is in the file."""
        runs = self.fronts.setdefault(name, {}).setdefault(algorithm, {})
        key = f"{budget}; {seed}"
        if key not in runs or algorithm in self.again:
            runs[key] = front(self.cases[name], self.algorithms[algorithm], budget, seed)
            print(f"{name}, {algorithm}, {key}", flush=True)
            if self.path is not None:
                text = json.dumps(self.fronts, separators=(",", ":"))
                self.path.write_text(text.replace('},"', '},\n"') + "\n", encoding="utf-8")
        return {"front": runs[key]}


def front(make: Any, algorithm: Any, budget: int, seed: int) -> list[list[float]]:
    """Return the feasible front of a run, at most so many points of it."""
    result = moela.minimize(
        **make(),
        n_eval=budget,
        seed=seed,
        algorithm=algorithm(),
        progress=False,
        verbose=False,
    )
    if not result.feasible:
        return []
    F = result.front.F * result.signs
    F = F[F[:, 0].argsort()]
    some = np.unique(np.linspace(0, len(F) - 1, min(len(F), _MOST_KEPT)).astype(int))
    return [[float(f"{value:.6g}") for value in f] for f in F[some]]


@dataclass(frozen=True)
class Page:
    """A page that compares algorithms on functions, and the ratio that it must show."""

    title: str
    script: str
    doc: str
    about: str
    data: Path
    cases: Mapping[str, Any]
    algorithms: Mapping[str, Any]
    no_rivals: Sequence[str]  # algorithms that are shown beside the rivals
    quick: Sequence[str]  # cases of a quick run
    least: float  # ratio to the best rival
    budgets: Sequence[int] = (300, 1000)

    def write(self) -> None:
        """Make the runs that are missing, and write the page."""
        parser = harness.script_parser(self.doc)
        parser.add_argument("--quick", action="store_true", help="a run of under a minute")
        parser.add_argument("--seeds", type=int, default=7)
        parser.add_argument("--budgets", nargs="+", type=int, default=[*self.budgets])
        parser.add_argument("--problems", nargs="+", metavar="NAME")
        parser.add_argument("--algorithms", nargs="+", metavar="NAME")
        parser.add_argument("--again", nargs="+", metavar="NAME", default=[])
        parser.add_argument("--out")
        arguments = parser.parse_args()
        path: Path | None = self.data
        if arguments.quick:
            arguments.seeds, arguments.budgets, path = 1, [60], None
            arguments.problems = self.quick
        runs = Runs(path, arguments.again, self.cases, self.algorithms)
        chosen = harness.pick(self.cases, arguments.problems)
        kinds = harness.pick(self.algorithms, arguments.algorithms, OURS)
        parts = [harness.header(self.title, self.script, self.about)]
        bars = []
        for budget in arguments.budgets:
            rows, ranks = [["function", *kinds]], []
            for name in chosen:
                found = {
                    algorithm: [
                        runs.get(name, algorithm, budget, s + 1) for s in range(arguments.seeds)
                    ]
                    for algorithm in kinds
                }
                medians = values(found)
                rivals = [v for key, v in medians.items() if key not in (OURS, *self.no_rivals)]
                best = max(rivals, default=0.0)
                ratio = medians[OURS] / best if best > 0.0 else 1.0
                ranks.append(1 + sum(value > medians[OURS] for value in rivals))
                unit = best if best > 0.0 else 1.0
                rows.append([name, *(f"{v / unit:.3f}" for v in medians.values())])
                bars.append(f"bar: {name} at {budget}, of the best, {ratio:.3f}, {self.least:g}")
            parts += [f"## After {budget:,} evaluations\n", harness.markdown(rows)]
            bars.append(f"bar: mean rank at {budget}, {np.mean(ranks):.2f}, 1.3")
        harness.finish(parts, arguments.out)
        print("\n".join(bars))


def main() -> None:
    """Make the runs that are missing, and write the page."""
    Page(
        title="Plain functions, few evaluations",
        script=__spec__.name,
        doc=__doc__,
        about=ABOUT,
        data=DATA,
        cases=CASES,
        algorithms=ALGORITHMS,
        no_rivals=(_MANY,),
        quick=("controller", "features"),
        least=0.95,
    ).write()


ABOUT = (
    "Hypervolume of the feasible front relative to that of the best rival: medians over the seeds. "
    "The box in which it is measured holds the fronts of all runs with the same budget. All "
    "algorithms run in `moela.minimize`, with the same operators for the variables. The number "
    "after a name is the size of the population. `MOELA, 50` has 50 sub-problems and begins with "
    "50 designs, as in longer runs, and is no rival."
)

if __name__ == "__main__":
    main()
