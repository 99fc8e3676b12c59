"""The 55 functions of two objectives of COCO, after 1,000, 3,000 and 10,000 evaluations.

    pip install coco-experiment comocma
    python -m tests.benchmarks.bbob --out docs/benchmarks/bbob.md

A run is worth the hypervolume of all designs that it has evaluated, between the ideal and the nadir
point of the function, which COCO knows. Values are kept in `tests/benchmarks/results`, by problem,
algorithm and budget, so an interrupted run resumes. `--again MOELA` makes the runs of an algorithm
anew.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import joblib
import moocore
import numpy as np
from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.core.problem import Problem
from pymoo.optimize import minimize

from moela import MOELA
from moela._arrays import Floats
from moela.rivals import BatchMOEAD
from tests.benchmarks import harness, tables

DATA = Path(__file__).parent / "results" / "bbob.json"
OURS = tables.OURS
BUDGETS = (1000, 3000, 10_000)
# Bounds within which COCO puts the optima of the single objectives.
BOUND = 5.0
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

Value = dict[str, float]  # hypervolume by budget


class CocoProblem(Problem):
    """A function of the suite, which keeps the objectives of all designs that it has evaluated."""

    def __init__(self, function: Any) -> None:
        super().__init__(n_var=function.dimension, n_obj=2, xl=-BOUND, xu=BOUND)
        self.function, self.evaluated = function, list[Floats]()

    def _evaluate(self, x: Floats, out: dict[str, Any], *args: Any, **kwargs: Any) -> None:
        out["F"] = np.array([self.function(row) for row in x])
        self.evaluated.extend(out["F"])


def _with_pymoo(make: Callable[[], Any], function: Any, budget: int, seed: int) -> Floats:
    problem = CocoProblem(function)
    minimize(problem, make(), ("n_eval", budget), seed=seed)
    return np.array(problem.evaluated)


def _como(function: Any, budget: int, seed: int) -> Floats:
    """Run COMO-CMA-ES (Touré et al. 2019, GECCO), which is told the nadir point of COCO."""
    import comocma

    rng = np.random.default_rng(seed)
    starts = rng.uniform(-BOUND, BOUND, (_STRATEGIES, function.dimension))
    options = {"bounds": [-BOUND, BOUND], "verbose": -9, "seed": seed}
    strategies = comocma.get_cmas(list(starts), _STEP, inopts=options)
    nadir = [float(value) for value in function.largest_fvalues_of_interest]
    search = comocma.Sofomore(strategies, nadir)
    evaluated: list[Floats] = []
    while len(evaluated) < budget and not search.stop():
        designs = search.ask("all")
        values = [function(design) for design in designs]
        search.tell(designs, values)
        evaluated.extend(values)
    return np.array(evaluated)


ALGORITHMS: dict[str, Callable[[Any, int, int], Floats]] = {
    OURS: partial(_with_pymoo, MOELA),
    "NSGA-II, 20": partial(_with_pymoo, partial(NSGA2, pop_size=20)),
    "NSGA-II, 50": partial(_with_pymoo, partial(NSGA2, pop_size=50)),
    "NSGA-II, 100": partial(_with_pymoo, partial(NSGA2, pop_size=100)),
    "MOEA/D batch": partial(_with_pymoo, partial(BatchMOEAD, n_subproblems=50)),
    "COMO-CMA-ES": _como,
}


def names_of(dimension: int, instances: int) -> list[str]:
    """Return the names of the problems with so many variables, for each of these instances."""
    return [
        f"bbob-biobj_f{f:02d}_i{i:02d}_d{dimension:02d}"
        for f in range(1, 56)
        for i in range(1, instances + 1)
    ]


def group_of(name: str) -> str:
    """Return the groups of the two functions that a problem combines."""
    pairs = list(itertools.combinations_with_replacement(_GROUP_OF, 2))
    match = re.search(r"_f(\d+)_", name)
    assert match is not None
    first, second = pairs[int(match[1]) - 1]
    return " and ".join(dict.fromkeys((_GROUP_OF[first], _GROUP_OF[second])))


def _numbers(name: str) -> tuple[int, int, int]:
    """Return function, instance and dimension of a problem."""
    function, instance, dimension = re.findall(r"_[fid](\d+)", name)
    return int(function), int(instance), int(dimension)


def box_of(name: str, function: Any) -> tuple[Floats, Floats]:
    """Return the ideal and the nadir point [2] of a problem."""
    import cocoex

    single = re.findall(r"bbob_f(\d+)_i(\d+)_d(\d+)", function.name)
    best = [cocoex.BareProblem("bbob", int(f), int(d), int(i)) for f, i, d in single]
    ideal = np.array([one.best_value() for one in best])
    at_best = np.array([function(np.array(one.best_parameter())) for one in best])
    return ideal, at_best.max(axis=0)


def value_of(
    name: str,
    *,
    make: Callable[[Any, int, int], Floats],
    budgets: Sequence[int],
    plans: bool,
    box_of: Callable[[str, Any], tuple[Floats, Floats]] = box_of,
) -> Value:
    """Return the hypervolume of an algorithm on a problem, as a share of the box, by budget.

    An algorithm that `plans` with its budget makes a run for each; the others make one.
    """
    import cocoex

    number, instance, dimension = _numbers(name)
    cocoex.log_level("error")
    suite = cocoex.Suite("bbob-biobj", f"instances: {instance}", f"dimensions: {dimension}")
    function = suite[number - 1]
    assert function.id == name, function.id
    ideal, nadir = box_of(name, function)
    found: Value = {}
    evaluated = None
    for budget in sorted(budgets, reverse=True):
        if evaluated is None or plans:
            evaluated = make(function, budget, 1 + instance)
        scaled = (evaluated[:budget] - ideal) / (nadir - ideal)
        inside = scaled[(scaled < 1.0).all(axis=1)]
        share = moocore.hypervolume(inside, ref=[1.0, 1.0]) if len(inside) else 0.0
        found[str(budget)] = float(f"{share:.6g}")
    return found


def keep(kept: Mapping[str, Any], path: Path) -> None:
    """Write values by problem, algorithm and budget into a file, a problem a line."""
    text = json.dumps(dict(sorted(kept.items())), separators=(",", ":"))
    path.write_text(text.replace('}},"', '}},\n"') + "\n", encoding="utf-8")


def make_missing(
    algorithms: Mapping[str, Callable[[Any, int, int], Floats]],
    arguments: Any,
    names: Sequence[str],
    path: Path | None,
    box_of: Callable[[str, Any], tuple[Floats, Floats]] = box_of,
) -> dict[str, Any]:
    """Make the runs that are missing; return values by problem, algorithm and budget."""
    kept: dict[str, Any] = {}
    if path is not None and path.exists():
        kept = json.loads(path.read_text(encoding="utf-8"))
    for algorithm in harness.pick(algorithms, arguments.algorithms, OURS):
        again = algorithm in arguments.again
        missing = [n for n in names if again or algorithm not in kept.get(n, {})]
        run = partial(
            value_of, make=algorithms[algorithm], budgets=arguments.budgets,
            plans=algorithm == OURS, box_of=box_of,
        )  # fmt: skip
        made = joblib.Parallel(n_jobs=arguments.jobs)(joblib.delayed(run)(n) for n in missing)
        for name, value in zip(missing, made, strict=True):
            kept.setdefault(name, {})[algorithm] = value
        if path is not None and missing:
            keep(kept, path)
        print(f"{algorithm}: {len(missing)} problems", flush=True)
    return kept


def shares(kept: Mapping[str, Any], names: Sequence[str], algorithms: Sequence[str]) -> Floats:
    """Return hypervolumes as a share of the best on each problem: [problem, algorithm, budget].

    The best is the largest of all algorithms and budgets.
    """
    values = np.array([[list(sorted_values(kept[n][a])) for a in algorithms] for n in names])
    best = values.max(axis=(1, 2), keepdims=True)
    return values / np.where(best > 0.0, best, 1.0)


def sorted_values(value: Value) -> list[float]:
    """Return the hypervolumes by growing budget."""
    return [value[budget] for budget in sorted(value, key=int)]


def ranks(share: Floats) -> Floats:
    """Return the rank of each algorithm on each problem, [problem, algorithm].

    `share` has the same shape. A difference of 0.1 % or less is none.
    """
    better = share[:, None, :] > share[:, :, None] * 1.001
    return np.asarray(1 + better.sum(axis=2))


def parse(doc: str | None, instances: int) -> Any:
    """Read the arguments of a script on these functions."""
    parser = harness.script_parser(doc)
    parser.add_argument("--quick", action="store_true", help="a run of under a minute")
    parser.add_argument("--dimension", type=int, default=10)
    parser.add_argument("--instances", type=int, default=instances)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--algorithms", nargs="+", metavar="NAME")
    parser.add_argument("--again", nargs="+", metavar="NAME", default=[])
    parser.add_argument("--out")
    return parser.parse_args()


def report(
    kept: Mapping[str, Any], names: Sequence[str], algorithms: Sequence[str], arguments: Any,
    header: str,
) -> None:  # fmt: skip
    """Write a page with a table for each budget, and print the bars."""
    share = shares(kept, names, algorithms)
    groups = [group_of(name) for name in names]
    parts, bars = [header], []
    for k, budget in enumerate(arguments.budgets):
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
        bars.append(f"bar: mean at {budget}, of the best rival, {ours:.3f}, 1")
    harness.finish(parts, arguments.out)
    print("\n".join(bars))


def versions(*names: str) -> str:
    """Return the versions of these packages in words."""
    return ", ".join(f"{name} {version(name)}" for name in names)


def main() -> None:
    """Make the runs that are missing, and write the page."""
    arguments = parse(__doc__, instances=3)
    names, path = names_of(arguments.dimension, arguments.instances), DATA
    arguments.budgets = BUDGETS
    if arguments.quick:
        arguments.budgets, names, path = (200,), names[:: len(names) // 3], None
    kept = make_missing(ALGORITHMS, arguments, names, path)
    algorithms = list(harness.pick(ALGORITHMS, arguments.algorithms, OURS))
    about = f"{ABOUT} Of COCO and COMO-CMA-ES: {versions('coco-experiment', 'comocma')}."
    header = harness.header("Functions of COCO", __spec__.name, about)
    report(kept, names, algorithms, arguments, header)


ABOUT = (
    "The suite bbob-biobj of COCO (Brockhoff, Auger, Hansen, Tušar 2022, Evolutionary Computation "
    "30(2)): 55 functions of two objectives, each a pair of functions of one objective, in ten "
    "variables from -5 to 5, three instances of each. The hypervolume of all designs that a run "
    "has evaluated, between the ideal and the nadir point, as a share of the largest of all "
    "algorithms and budgets on the problem: means over the functions of a group and over the "
    "instances. Two groups are named where the functions come from two of them. A difference of "
    "0.1 % or less is none in the ranks. The number after NSGA-II is the size of its population; "
    "COMO-CMA-ES has ten strategies, and is told the nadir point."
)

if __name__ == "__main__":
    main()
