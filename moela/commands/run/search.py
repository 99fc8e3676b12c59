"""The options of both `moela run` commands that say how to search, and the search itself."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

from pymoo.core.algorithm import Algorithm
from pymoo.core.problem import Problem
from pymoo.core.result import Result
from pymoo.optimize import minimize

from moela.evaluation.evaluator import Evaluator

ALGORITHMS = ("moela", "moela-published", "moos", "moo-stage", "nsga2", "nsga3", "moead", "ga")


def add_options(
    parser: argparse.ArgumentParser, algorithms: Sequence[str], *, evals: int, out: str
) -> None:
    """Add the options of a search, with default numbers of evaluations and folder."""
    add = parser.add_argument
    add("--algorithm", choices=algorithms, default="moela", help="optimization algorithm")
    add("--evals", type=int, default=evals, help="number of designs to evaluate")
    add("--seed", type=int, default=1, help="random seed")
    add("--jobs", type=int, default=1, help="workers; -1 for one per core")
    add("--store", metavar="DB", help="SQLite file to record and resume from")
    add("--out", metavar="DIR", default=out, help="folder for the results")


def check_evals(arguments: argparse.Namespace) -> None:
    """Raise a ValueError if there are too few evaluations for a search."""
    if arguments.evals < 2:
        raise ValueError(f"--evals must be at least 2. Got {arguments.evals} instead.")


def search(
    problem: Problem, arguments: argparse.Namespace, *, progress: bool | None = None
) -> Result:
    """Optimize a problem as the options say."""
    return minimize(
        problem,
        make_algorithm(arguments.algorithm, problem),
        ("n_eval", arguments.evals),
        seed=arguments.seed,
        evaluator=Evaluator(n_jobs=arguments.jobs, store=arguments.store, progress=progress),
    )


def make_folder(arguments: argparse.Namespace) -> Path:
    """Return the folder for the results, made before the search, so that errors come early."""
    out = Path(arguments.out)
    out.mkdir(parents=True, exist_ok=True)
    return out


def make_algorithm(name: str, problem: Problem) -> Algorithm:
    """Return an algorithm by its name on the command line, with the problem's operators."""
    from moela import MOELA
    from moela.rivals import MOOS, MOOSTAGE

    own: dict[str, Callable[[], Algorithm]] = {
        "moela": MOELA, "moela-published": MOELA.published, "moos": MOOS, "moo-stage": MOOSTAGE
    }  # fmt: skip
    if name in own:
        return own[name]()
    if name == "ga":
        from pymoo.algorithms.soo.nonconvex.ga import GA

        return GA(pop_size=50, **problem.operators())
    from pymoo.algorithms.moo.moead import MOEAD
    from pymoo.algorithms.moo.nsga2 import NSGA2
    from pymoo.algorithms.moo.nsga3 import NSGA3
    from pymoo.util.ref_dirs import get_reference_directions

    if name == "nsga2":
        return NSGA2(pop_size=50, **problem.operators())
    directions = get_reference_directions("energy", problem.n_obj, 50, seed=1)
    kind = NSGA3 if name == "nsga3" else MOEAD
    return kind(directions, **problem.operators())
