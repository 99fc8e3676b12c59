"""MOELA and its rivals on smooth test problems: ZDT, DTLZ, WFG, MW, and badly scaled ones.

After few evaluations no run is close to a front, so `--reference random` derives the reference
point from random designs. Problems of 100 to 1,000 variables are a family of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import moocore
import numpy as np
from pymoo.core.problem import Problem
from pymoo.problems import get_problem
from pymoo.util.ref_dirs import get_reference_directions

from moela import MOELA, Models
from moela.experiments.run import ExperimentResults
from tests.benchmarks import harness, rivals, tables
from tests.benchmarks.search.runs import N_RANDOM, nadir_of_random

FAMILIES = ("zdt", "dtlz", "wfg", "mw", "scaled")
# A family that only runs if it is named: problems of 100 variables and more.
LARGE = "large"
SCALE = 1000.0
# Choices of the reference point of the hypervolumes.
REFERENCES = {
    "front": "The reference point is the front's nadir plus a tenth of its range.",
    "random": "The reference point is the nadir of the non-dominated among 1,000 random designs.",
}
# pymoo downloads the fronts of these problems; a benchmark must not depend on the network.
DOWNLOADED = frozenset(["mw5", "mw7", "mw9", "mw10", "mw11", "mw13", "mw14"])


class Wrapped(Problem):
    """A problem of pymoo, scaled, or evaluated just inside its upper bounds.

    On the bounds, rounding errors make some arguments of square roots negative, and pymoo's version
    of MW problems returns NaN.

    Parameters
    ----------
    name : str
        Name of the problem for pymoo's `get_problem`.
    scale : float
        Factor of the first objective.
    inside : bool
        Whether upper bounds are left out.
    **settings
        Settings of the problem for `get_problem`.
    """

    def __init__(
        self, name: str, *, scale: float = 1.0, inside: bool = False, **settings: Any
    ) -> None:
        self.inner = inner = get_problem(name, **settings)
        super().__init__(inner.n_var, inner.n_obj, inner.n_ieq_constr, xl=inner.xl, xu=inner.xu)
        self.factor = np.where(np.arange(self.n_obj) == 0, scale, 1.0)
        self.most = self.xu * (1.0 - 1e-9) if inside else self.xu

    def _evaluate(self, x: Any, out: dict[str, Any], *args: Any, **kwargs: Any) -> None:
        self.inner._evaluate(np.minimum(x, self.most), out)
        out["F"] = np.column_stack([out["F"]]) * self.factor


def families() -> dict[str, dict[str, Any]]:
    """Return functions that make the problems, by family and name."""
    return {
        "zdt": {f"zdt{i}": partial(get_problem, f"zdt{i}") for i in (1, 2, 3, 4, 6)},
        "dtlz": {f"dtlz{i}": partial(get_problem, f"dtlz{i}", n_obj=3) for i in (1, 2, 3, 4)},
        "wfg": {
            f"wfg{i}": partial(get_problem, f"wfg{i}", n_var=10, n_obj=2) for i in range(1, 10)
        },
        "mw": {f"mw{i}": partial(Wrapped, f"mw{i}", inside=True) for i in range(1, 15)},
        "scaled": {
            "zdt1 x1000": partial(Wrapped, scale=SCALE, name="zdt1"),
            "zdt3 x1000": partial(Wrapped, scale=SCALE, name="zdt3"),
            "dtlz2 x1000": partial(Wrapped, scale=SCALE, name="dtlz2", n_obj=3),
            "dtlz4 x1000": partial(Wrapped, scale=SCALE, name="dtlz4", n_obj=3),
            "wfg4 x1000": partial(Wrapped, scale=SCALE, name="wfg4", n_var=10, n_obj=2),
            "dtlz1 x1000": partial(Wrapped, scale=SCALE, name="dtlz1", n_obj=3),
        },
        LARGE: {
            f"{name}, {n} variables": partial(get_problem, name, n_var=n, **n_obj)
            for name, n_obj in (("zdt1", {}), ("zdt3", {}), ("zdt4", {}), ("dtlz2", {"n_obj": 3}))
            for n in (100, 300, 1000)
        },
    }


def exact_front(problem: Any) -> Any:
    """Return the known front [k, M] of a problem, or None if pymoo has none."""
    if type(problem).__name__.lower() in DOWNLOADED:
        return None
    if isinstance(problem, Wrapped):
        front = exact_front(problem.inner)
        return None if front is None else front * problem.factor
    # pymoo's default samples are sparse; the setting for more points depends on the problem.
    dense = get_reference_directions("das-dennis", problem.n_obj, n_partitions=40)
    attempts: list[dict[str, Any]] = [{"n_pareto_points": 1000}, {"ref_dirs": dense}, {}]
    for settings in attempts if problem.n_obj == 3 else (attempts[0], attempts[2]):
        try:
            return problem.pareto_front(use_cache=False, **settings)
        except TypeError:
            continue
    return None


def main(words: Sequence[str]) -> None:
    """Make the runs and the tables."""
    parser = tables.parser(__doc__, budget=10_000, store="smooth")
    parser.add_argument("--families", nargs="+", default=list(FAMILIES), choices=(*FAMILIES, LARGE))
    parser.add_argument("--pop", type=int, default=100, help="population of the rivals")
    parser.add_argument("--reference", default="front", choices=REFERENCES)
    arguments = tables.parsed(parser, words, ["zdt1", "mw2"])
    results = ExperimentResults([])
    blocks: dict[str, list[str]] = {}
    points: dict[str, Any] = {}
    scale: dict[str, float] = {}
    for family in arguments.families:
        makers = harness.pick(families()[family], arguments.problems)
        made = {name: make() for name, make in makers.items()}
        blocks[family] = list(makers)
        for constrained in (False, True):
            chosen = {n: makers[n] for n, p in made.items() if p.has_constraints() == constrained}
            if chosen:
                kinds = {
                    tables.OURS: MOELA,
                    "no surrogate": partial(MOELA, models=Models(surrogate_size=0)),
                    **rivals.pymoo_rivals(arguments.pop, constrained=constrained),
                    **rivals.our_rivals(),
                }
                slow = rivals.slow_rivals(arguments.pop)
                results = results + tables.run(chosen, kinds, slow, arguments)
        for name, problem in made.items():
            front = exact_front(problem)
            if front is not None:
                points[name] = _reference(problem, front, arguments.reference)
                scale[name] = moocore.hypervolume(front, ref=points[name]) / 100
    infeasible = [
        name for name in results.problems
        if not any(len(run.front_F) for run in results.select(problem=name).runs)
    ]  # fmt: skip
    results = results.select(problem=[n for n in results.problems if n not in infeasible])
    blocks = {f: [n for n in names if n not in infeasible] for f, names in blocks.items()}
    # If pymoo has no front of a problem, the pooled front of all runs replaces it.
    for name in results.problems:
        if name not in points:
            points[name] = results.ref_point(name, "pooled")
            front = results.pooled_front(name)
            scale[name] = moocore.hypervolume(front, ref=points[name]) / 100
    parts = [_header(arguments), tables.sources(results)]
    if infeasible:
        parts.append(f"No run found a feasible design on {', '.join(infeasible)}.\n")
    report = tables.Report(results, points, scale)
    for family, names in blocks.items():
        for start in range(0, len(names), 5):
            title = f"## {family}\n" if start == 0 else ""
            parts += [title, report.cells(names[start : start + 5])]
        if names:
            parts += [report.against(names), report.overall(names)]
    if results.problems:
        slow_rivals = report.slow(results.problems)
        parts += [harness.titled("Comparison at the budget of the slow rivals:", slow_rivals)]
        parts += ["## All problems\n", report.overall(results.problems)]
    harness.finish(parts, arguments.out)


def _header(arguments: Any) -> str:
    after = "" if arguments.reference == "front" else f" after {arguments.budget:,} evaluations"
    kind = "Problems of many real variables" if LARGE in arguments.families else "Smooth problems"
    return harness.header(
        f"{kind}{after}",
        "tests.benchmarks.search",
        "Hypervolume of all evaluated designs, in percent of that of the known front: median "
        f"(quartiles) over {arguments.seeds} seeds after {arguments.budget:,} evaluations. The "
        f"best is bold, and `@n` marks a smaller budget. {REFERENCES[arguments.reference]} The "
        "known front is a sample of points, so more than 100 % is possible. "
        f"{tables.tests_note(arguments.seeds)}",
    )


def _reference(problem: Any, front: Any, by: str) -> Any:
    """Return the reference point of a problem whose front [k, M] is known."""
    if by == "random":
        X = np.random.default_rng(0).uniform(problem.xl, problem.xu, (N_RANDOM, problem.n_var))
        point = nadir_of_random(problem, X)
        if np.isfinite(point).all():
            return point
    return front.max(axis=0) + 0.1 * np.ptp(front, axis=0)
