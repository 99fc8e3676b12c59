"""Worth of learned picks of starts and moves: MOELA with and without its models.

    python -m tests.benchmarks.learning --out docs/benchmarks/learning.md

Arms differ only in the models of starts and moves; `none` ranks neighbors at random and starts from
the design that is best for the weights. `boosted moves` replaces the ridge regression of moves by
gradient-boosted trees, one ensemble an objective. `both, tenfold` makes ten times the evaluations,
and `perfect moves` knows the objectives of all candidates, to show how much room there is for
better models. All problems are generated. Every case is kept in
`results/learning.json` as soon as it is measured; `--redo both` measures the cases of an arm again.
"""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.multioutput import MultiOutputRegressor

from moela import MOELA, Models
from moela.experiments.tasks import make_algorithm
from problems import MNKLandscape, MultiObjectiveKnapsack, MultiObjectiveQAP, NoC3D
from tests.benchmarks import harness
from tests.benchmarks.equal_time import key
from tests.benchmarks.harness import Case, Cases
from tests.benchmarks.perfect_moves import PerfectMoves
from tests.benchmarks.start_variants import BestMoveAhead, NewestSearches, Optimistic
from tests.benchmarks.timed import TimedRun, median_of, warm_up

DATA = Path(__file__).parent / "results" / "learning.json"
FRACTIONS = (0.2, 0.5, 1.0)
_OTHER_STARTS = (
    " The last three arms rank moves as `both` does and pick starts in other ways: where the move "
    "model promises most, where the start model promises most or is least certain, and with a "
    "start model of the newest searches."
)
NONE, STARTS, MOVES, BOTH = "none", "starts", "moves", "both"
PERFECT, TENFOLD = "perfect moves", "both, tenfold"
# Trees take minutes, so that they are tried on one problem of each kind.
# Only zeros and ones have a Hamming-kernel model that an arm could be without.
_BITS = ("qap 20", "mnk 100-4-2")
BOOSTED = {
    "boosted moves": (BOTH, ("noc bfs, 5", "qap 20", "knapsack 100, 2", "mnk 100-4-2")),
    "boosted moves, no kernel": ("both, no kernel", _BITS),
}


def problems() -> dict[str, Any]:
    """Return functions that make the problems, by name."""
    makers: dict[str, Any] = {}
    for m in (5, 3):
        for name in ("bfs", "hotspot"):
            makers[f"noc {name}, {m}"] = partial(NoC3D.example, name, objectives=m)
    makers["qap 20"] = partial(MultiObjectiveQAP.random, n_facilities=20, seed=1)
    makers["qap 30, 3"] = partial(MultiObjectiveQAP.random, n_facilities=30, n_obj=3, seed=1)
    for n, m in ((100, 2), (150, 3)):
        makers[f"knapsack {n}, {m}"] = partial(
            MultiObjectiveKnapsack.random, n_items=n, n_obj=m, seed=1
        )
    for n, k, m in ((100, 4, 2), (64, 8, 3)):
        makers[f"mnk {n}-{k}-{m}"] = partial(MNKLandscape.random, n=n, k=k, n_obj=m, seed=1)
    return makers


def boosted() -> MultiOutputRegressor:
    """Return an ensemble of boosted trees for each objective."""
    return MultiOutputRegressor(
        HistGradientBoostingRegressor(max_iter=50, early_stopping=False, random_state=0)
    )


def arms() -> dict[str, Any]:
    """Return the arms, by name."""
    models = {
        NONE: Models(starts=None, moves=None),
        STARTS: Models(moves=None),
        MOVES: Models(starts=None),
        BOTH: Models(),
        TENFOLD: Models(),
        "both, no kernel": Models(hamming=False),
        "boosted moves": Models(moves=boosted()),
        "boosted moves, no kernel": Models(moves=boosted(), hamming=False),
    }
    made: dict[str, Any] = {name: partial(MOELA, models=m) for name, m in models.items()}
    return made | {
        PERFECT: PerfectMoves,
        "best move ahead": partial(BestMoveAhead, models=Models(starts=None)),
        "optimistic starts": Optimistic,
        "newest searches": NewestSearches,
    }


def measured(problem: Any, name: str, make: Any, seed: int, budget: int) -> Case:
    """Return hypervolumes at `FRACTIONS` of the budget, and the process time of the run."""
    run = TimedRun(problem, make_algorithm(name, make, problem), seed, 0.0, budget)
    case: Case = {"seconds": round(run.clock.seconds_at(budget), 2)}
    for fraction in FRACTIONS:
        volume = run.hypervolume_after(round(fraction * budget), problem.ref_point)
        case[f"{fraction:.0%}"] = float(f"{volume:.8g}")
    return case


def main() -> None:
    """Measure the cases that are missing, and write the page."""
    parser = harness.script_parser(__doc__)
    parser.add_argument("--quick", action="store_true", help="a run of under a minute")
    parser.add_argument("--seeds", type=int, default=7)
    parser.add_argument("--boosted-seeds", type=int, default=3)
    parser.add_argument("--budget", type=int, default=5000)
    parser.add_argument("--problems", nargs="+", metavar="NAME")
    parser.add_argument("--arms", nargs="+", metavar="NAME")
    parser.add_argument("--redo", nargs="+", metavar="NAME", default=[])
    parser.add_argument("--out")
    arguments = parser.parse_args()
    cases, chosen = Cases(DATA), harness.pick(problems(), arguments.problems)
    for name in list(cases.results):
        if name.split(" | ")[1] in arguments.redo:
            del cases.results[name]
    if arguments.quick:
        cases.results, cases.path = {}, Path(os.devnull)
        arguments.seeds, arguments.budget, arguments.boosted_seeds = 1, 600, 0
        chosen = harness.pick(problems(), ["noc bfs, 5", "qap 20"])
    kinds = harness.pick(arms(), arguments.arms, NONE, BOTH)
    warm: set[type] = set()
    # Seed by seed, so that an interrupted benchmark has runs of every case.
    for seed in range(1, max(arguments.seeds, arguments.boosted_seeds) + 1):
        for problem_name, make_problem in chosen.items():
            problem = make_problem()
            for name, make in kinds.items():
                if not wanted(problem_name, name, seed, arguments):
                    continue
                case = key(f"{problem_name}, {arguments.budget}", name, seed)
                if case not in cases and type(problem) not in warm:
                    warm_up(problem, MOELA())
                    warm.add(type(problem))
                budget = arguments.budget * (10 if name == TENFOLD else 1)
                run = partial(measured, problem, name, make, seed, budget)
                cases.get(case, run)
    report(cases, list(chosen), list(kinds), arguments)


def wanted(problem: str, arm: str, seed: int, arguments: Any) -> bool:
    """Return whether this case is part of the benchmark."""
    if arm in BOOSTED:
        return problem in BOOSTED[arm][1] and seed <= arguments.boosted_seeds
    if arm == "both, no kernel":
        return problem in _BITS and seed <= arguments.boosted_seeds
    return seed <= (arguments.boosted_seeds if arm in (PERFECT, TENFOLD) else arguments.seeds)


def report(cases: Cases, names: list[str], kinds: list[str], arguments: Any) -> None:
    """Write the page, and print the bars."""
    budget, last = arguments.budget, f"{FRACTIONS[-1]:.0%}"

    def values(name: str, arm: str, column: str) -> dict[int, float]:
        found = {}
        for seed in range(1, max(arguments.seeds, arguments.boosted_seeds) + 1):
            case = key(f"{name}, {budget}", arm, seed)
            if wanted(name, arm, seed, arguments) and case in cases:
                found[seed] = cases.results[case][column]
        return found

    def ratio(name: str, arm: str, base: str, column: str) -> float:
        own, of = values(name, arm, column), values(name, base, column)
        shared = own.keys() & of.keys()
        if not shared:
            return float("nan")
        return median_of([own[seed] / of[seed] for seed in shared])

    rows = [["problem", *(f"{kind}" for kind in kinds if kind != NONE)]]
    seconds = [["problem", *kinds]]
    over: dict[str, list[float]] = {kind: [] for kind in kinds if kind != NONE}
    for name in names:
        row = [name]
        for kind, seen in over.items():
            seen.append(ratio(name, kind, NONE, last))
            row.append("" if np.isnan(seen[-1]) else f"{seen[-1]:.3f}")
        rows.append(row)
        times = {kind: list(values(name, kind, "seconds").values()) for kind in kinds}
        seconds.append([name, *(f"{median_of(t):.1f}" if t else "" for t in times.values())])
    means = {
        kind: float(np.exp(np.nanmean(np.log(seen)))) if not np.isnan(seen).all() else np.nan
        for kind, seen in over.items()
    }
    rows.append(["geometric mean", *(f"{v:.3f}" for v in means.values())])
    parts = [
        harness.header(
            "Learned starts and moves",
            "tests.benchmarks.learning",
            f"Hypervolume of all designs of {budget:,} evaluations over that of MOELA without "
            "models of starts and moves, with the same seed; medians of "
            f"{arguments.seeds} seeds ({arguments.boosted_seeds} of perfect moves, of tenfold "
            "runs, and of boosted trees). `both` is MOELA's default, `tenfold` makes ten times the "
            "evaluations, and `perfect moves` ranks candidates by their objectives instead of by "
            "predictions. `boosted moves` has gradient-boosted trees in place of the ridge "
            "regression of moves, and `no kernel` is without the Hamming-kernel model."
            + (_OTHER_STARTS if set(kinds) & {"best move ahead", "newest searches"} else ""),
        ),
        harness.markdown(rows),
        "## Process time of a run, seconds\n",
        harness.markdown(seconds),
    ]
    harness.finish(parts, arguments.out)
    print(f"bar: learned starts and moves over none, {means[BOTH]:.3f}, at least 1.5")
    print(f"bar: learned starts and moves over none, {means[BOTH]:.3f}, aim 2")
    for arm in (PERFECT, TENFOLD):
        if arm in means and not np.isnan(means[arm]):
            print(f"{arm} over none, {means[arm]:.3f}")
    for arm, (base, tried) in BOOSTED.items():
        on = [name for name in tried if name in names and values(name, arm, last)]
        for column, text in ((last, "hypervolume"), ("seconds", "process time")) if on else ():
            cells = ", ".join(f"{ratio(name, arm, base, column):.3f} ({name})" for name in on)
            print(f"{arm} over {base}, {text}: {cells}")


if __name__ == "__main__":
    main()
