"""Batches of a given size: as many local searches as designs, against five.

    python -m tests.benchmarks.batches --out docs/benchmarks/batches.md

Hypervolume after the same number of evaluations. The box in which it is measured holds the fronts
of all runs of a problem. Results are kept in `.benchmarks`, by run.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from pymoo.optimize import minimize
from scipy.stats import wilcoxon

from moela import MOELA
from moela.quality.indicators import hypervolume
from problems import MNKLandscape, MultiObjectiveKnapsack, NoC3D
from tests.benchmarks import harness

DATA = Path(__file__).parents[2] / ".benchmarks" / "batches.json"
SIZES = (8, 16, 32)
DEFAULT = "by default"
CASES = {
    "noc, 5 objectives, bfs": lambda: NoC3D.example("bfs", objectives=5),
    "noc, 5 objectives, gau": lambda: NoC3D.example("gau", objectives=5),
    "noc, 3 objectives, hotspot": lambda: NoC3D.example("hotspot", objectives=3),
    "mnk 100": lambda: MNKLandscape.random(n=100, k=4, n_obj=2, rho=0.0, seed=1),
    "knapsack 100": lambda: MultiObjectiveKnapsack.random(n_items=100, seed=1),
}


def arms() -> dict[str, dict[str, Any]]:
    """Return the settings of MOELA, by name."""
    made: dict[str, dict[str, Any]] = {DEFAULT: {}}
    for size in SIZES:
        made[f"{size}, 5 searches"] = {"batch_size": size, "n_searches": 5}
        made[f"{size}"] = {"batch_size": size}
    return made


def row_of(name: str, fronts: dict[str, list[list[list[float]]]]) -> list[str]:
    """Return a row of the table: medians relative to the default, and the tests of pairs."""
    F = np.concatenate([np.array(front) for runs in fronts.values() for front in runs])
    low, high = F.min(axis=0), F.max(axis=0)
    point = high + 0.1 * (high - low)
    size = float(np.prod(point - low))
    values = {
        arm: np.array([hypervolume(np.array(front), point) / size for front in runs])
        for arm, runs in fronts.items()
    }
    base, row = float(np.median(values[DEFAULT])), [name]
    for size_ in SIZES:
        few, many = values[f"{size_}, 5 searches"], values[f"{size_}"]
        p = float(wilcoxon(few, many).pvalue) if len(few) > 1 and (few != many).any() else 1.0
        row += [f"{np.median(few) / base:.3f}", f"{np.median(many) / base:.3f}", f"{p:.3f}"]
    return row


def main() -> None:
    """Make the runs that are missing, and write the page."""
    parser = harness.script_parser(__doc__)
    parser.add_argument("--evaluations", type=int, default=2000)
    parser.add_argument("--seeds", type=int, default=14)
    parser.add_argument("--out")
    parser.add_argument("--quick", action="store_true", help="a run of under a minute")
    arguments = parser.parse_args()
    n_eval, n_seeds = (300, 2) if arguments.quick else (arguments.evaluations, arguments.seeds)
    known = json.loads(DATA.read_text()) if DATA.exists() and not arguments.quick else {}
    heading = ["problem"]
    for size in SIZES:
        heading += [f"{size}, 5 searches", f"{size}, {size} searches", "p"]
    rows = [heading]
    for name, make in CASES.items():
        problem, fronts = make(), known.setdefault(f"{name}, {n_eval}", {})
        for arm, settings in arms().items():
            runs = fronts.setdefault(arm, [])
            for seed in range(len(runs), n_seeds):
                result = minimize(problem, MOELA(**settings), ("n_eval", n_eval), seed=seed)
                runs.append(np.round(result.F, 8).tolist())
            if not arguments.quick:
                DATA.parent.mkdir(exist_ok=True)
                DATA.write_text(json.dumps(known))
        rows.append(row_of(name, fronts))
        print(rows[-1], flush=True)
    about = (
        f"Hypervolume after {n_eval:,} evaluations in batches of 8, 16 and 32 designs, with five "
        "local searches and with as many searches as designs, which is what `batch_size` sets. "
        "Values are medians over the seeds, relative to runs without `batch_size`, whose batches "
        "are small and whose designs therefore know more. p: Wilcoxon signed-rank test of both "
        f"kinds of batches, {n_seeds} seeds."
    )
    head = harness.header("Batches of a given size", "tests.benchmarks.batches", about)
    harness.finish([head, harness.markdown(rows)], arguments.out)


if __name__ == "__main__":
    main()
