"""run_experiment: runs of algorithms on problems over seeds; stored ones are not repeated."""

from __future__ import annotations

import copy
import inspect
import logging
import os
import sys
import traceback
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
from pymoo.core.algorithm import Algorithm
from pymoo.core.evaluator import Evaluator as PymooEvaluator
from pymoo.core.problem import Problem

from moela._checks import one_of, require
from moela.evaluation.progress import wanted
from moela.evaluation.storage.errors import StoreMismatchError
from moela.experiments.files import Key, Run, Settings
from moela.experiments.recording import External, record_run
from moela.experiments.results import ExperimentResults
from moela.provenance import renames
from moela.provenance.code import UNKNOWN, code_of
from moela.provenance.content import CONTENT, Content, Doubts, compare, content_of
from moela.provenance.environment import provenance
from moela.provenance.signature import Signature, differences, of_algorithm, of_problem

__all__ = ["ExperimentError", "ExperimentResults", "External", "run_experiment"]

logger = logging.getLogger("moela.experiment")

MakeProblem: TypeAlias = Problem | Callable[[], Problem]
MakeAlgorithm: TypeAlias = Callable[..., Algorithm | External] | Algorithm | External
MakeEvaluator = Callable[[], PymooEvaluator]


class ExperimentError(RuntimeError):
    """A run of an experiment failed; the message names it and carries its traceback."""


@dataclass(frozen=True)
class _Task:
    """A run to make."""

    key: Key
    problem: MakeProblem
    algorithm: MakeAlgorithm
    settings: Settings
    before: Settings  # the settings in the spelling of version 0.1
    content: Content
    evaluator: MakeEvaluator | None
    store: Path | None


def run_experiment(
    problems: Mapping[str, MakeProblem],
    algorithms: Mapping[str, MakeAlgorithm],
    seeds: int | Iterable[int],
    budget: int | Mapping[str, int],
    n_jobs: int = 1,
    *,
    store: str | os.PathLike[str] | None = None,
    on_mismatch: Literal["raise", "rerun"] = "raise",
    on_error: Literal["raise", "skip"] = "raise",
    evaluator: MakeEvaluator | None = None,
    progress: bool | None = None,
) -> ExperimentResults:
    """Run every algorithm on every problem with every seed and record all evaluations.

    With a `store`, each run is written as it ends. If you make the same call again, after an
    interruption or with more seeds, problems or algorithms, only the missing runs are made.

    Parameters
    ----------
    problems : dict of str to Problem, or to a function that returns one
        A function is called in the worker; use one for problems that can't be sent there.
    algorithms : dict of str to function
        Each returns a fresh pymoo Algorithm, with the problem as its argument, ``lambda problem:
        NSGA2(**problem.operators())``, or without one, ``MOELA``. An Algorithm object, which is
        copied, and an `External` runner are accepted as well.
    seeds : int or iterable of int
        A number n means 1 to n.
    budget : int or dict of str to int
        Evaluations of each run, as one number or by name of the problem.
    n_jobs : int
        Runs at the same time, by joblib; -1 means one per core. The results are the same for any
        number. A worker has one BLAS thread.
    store : path, optional
        Folder for the runs, with one file per run; made if it doesn't exist.
    on_mismatch : {"raise", "rerun"}
        Whether to raise or make the run again if the store has one with the same names, but of
        another problem, algorithm or code.
    on_error : {"raise", "skip"}
        Whether a failed run ends the experiment, or is left out with a warning. The next call tries
        it again.
    evaluator : function, optional
        Returns a fresh evaluator for each run, such as ``lambda: moela.Evaluator(on_error=
        "infeasible")``. Default: pymoo's.
    progress : bool, optional
        Progress bar; by default one is shown if standard error is a terminal.

    Returns
    -------
    ExperimentResults

    Raises
    ------
    ValueError
        A parameter is out of its range.
    StoreMismatchError
        A stored run is of another problem, algorithm or code. The message names the files and the
        differences.
    ExperimentError
        A run failed and ``on_error="raise"``. Runs that had ended are in the store.

    Examples
    --------
    >>> from moela import MOELA
    >>> from moela.experiments.run import run_experiment
    >>> from pymoo.algorithms.moo.nsga2 import NSGA2
    >>> from pymoo.problems import get_problem
    >>> results = run_experiment(
    ...     {"zdt1": get_problem("zdt1", n_var=5)}, {"MOELA": MOELA, "NSGA-II": NSGA2}, 2, 300
    ... )
    >>> len(results.runs)
    4
    """
    one_of("run_experiment", "on_mismatch", on_mismatch, ("raise", "rerun"))
    one_of("run_experiment", "on_error", on_error, ("raise", "skip"))
    whole = isinstance(n_jobs, int | np.integer) and n_jobs != 0
    require("run_experiment", "n_jobs", n_jobs, whole, "an integer other than 0")
    folder = None if store is None else Path(store).expanduser()
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    tasks = list(_plan(problems, algorithms, seeds, budget, evaluator, folder))
    done = {} if folder is None else _stored(tasks, on_mismatch)
    due = [task for task in tasks if task.key not in done]
    failures: dict[Key, str] = {}
    with closing(_execute_all(due, n_jobs, progress)) as outcomes:
        for key, outcome in outcomes:
            if isinstance(outcome, Run):
                done[key] = outcome
            elif on_error == "raise":
                raise ExperimentError(f"{key} failed.\n{outcome}")
            else:
                failures[key] = outcome
    if failures:
        first, message = next(iter(failures.items()))
        warnings.warn(
            f"{len(failures)} of {len(tasks)} runs failed and are left out. The first is {first}: "
            f"{message.strip().splitlines()[-1]}",
            stacklevel=2,
        )
    _warn_of_versions(list(done.values()))
    runs = [done[task.key] for task in tasks if task.key in done]
    return ExperimentResults(runs, failures={str(k): v for k, v in failures.items()})


def _plan(
    problems: Mapping[str, MakeProblem],
    algorithms: Mapping[str, MakeAlgorithm],
    seeds: int | Iterable[int],
    budget: int | Mapping[str, int],
    evaluator: MakeEvaluator | None,
    store: Path | None,
) -> Iterator[_Task]:
    for name, value in (("problems", problems), ("algorithms", algorithms)):
        fits = isinstance(value, Mapping) and len(value) > 0
        require("run_experiment", name, value, fits, "a dict by name that isn't empty")
    numbers = _seeds(seeds)
    signed: dict[tuple[str, str], tuple[Settings, Settings, Content]] = {}
    budgets = {name: _budget(budget, name) for name in problems}
    for name, given in problems.items():
        problem = make_problem(name, given)
        content = content_of(problem)
        for kind, make in algorithms.items():
            algorithm = make_algorithm(kind, make, problem)
            settings, before = (_sign(problem, algorithm, old=old) for old in (False, True))
            settings["problem"][CONTENT] = content.record()
            signed[name, kind] = settings, before, content
    # Seed by seed, so that an interrupted experiment has runs of every combination.
    for seed in numbers:
        for (name, kind), signatures in signed.items():
            key = Key(name, kind, seed, budgets[name])
            yield _Task(key, problems[name], algorithms[kind], *signatures, evaluator, store)


def _seeds(seeds: int | Iterable[int]) -> list[int]:
    numbers = list(range(1, seeds + 1)) if isinstance(seeds, int) else [int(s) for s in seeds]
    fits = len(numbers) > 0 and len(set(numbers)) == len(numbers) and min(numbers) >= 0
    require("run_experiment", "seeds", seeds, fits, "a positive number, or different integers >= 0")
    return numbers


def _budget(budget: int | Mapping[str, int], problem: str) -> int:
    if isinstance(budget, Mapping):
        expected = f"a number, or a dict with a number for {problem!r}"
        require("run_experiment", "budget", budget, problem in budget, expected)
        budget = budget[problem]
    fits = isinstance(budget, int | np.integer) and not isinstance(budget, bool) and budget >= 1
    require("run_experiment", "budget", budget, fits, "a positive number of evaluations")
    return int(budget)


def make_problem(name: str, given: MakeProblem) -> Problem:
    """Return the given problem, or the one that the given function returns."""
    problem = given if isinstance(given, Problem) else given() if callable(given) else None
    if not isinstance(problem, Problem):
        raise ValueError(
            f"The problem {name!r} must be a pymoo Problem, or a function that returns one. Got "
            f"{given if problem is None else problem!r} instead."
        )
    return problem


def make_algorithm(name: str, given: MakeAlgorithm, problem: Problem) -> Algorithm | External:
    """Return a fresh algorithm for a problem, from the given function or as a copy."""
    if isinstance(given, External):
        return given
    if isinstance(given, Algorithm):
        return copy.deepcopy(given)
    made = None
    if callable(given):
        needed = _needed(given)
        if needed > (0 if isinstance(given, type) else 1):
            raise ValueError(
                f"The algorithm {name!r} must be a function of the problem or of no argument. Got "
                f"{given!r} instead, which needs more arguments. Use lambda problem: ..."
            )
        made = given(problem) if needed else given()
    if not isinstance(made, Algorithm | External):
        raise ValueError(
            f"The algorithm {name!r} must be a function that returns a pymoo Algorithm or an "
            f"External runner. Got {given if made is None else made!r} instead."
        )
    return made


def _needed(function: Callable[..., object]) -> int:
    """Return the number of positional parameters without a default."""
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    parameters = inspect.signature(function).parameters.values()
    return sum(p.kind in kinds and p.default is inspect.Parameter.empty for p in parameters)


def _sign(problem: Problem, algorithm: Algorithm | External, *, old: bool = False) -> Settings:
    """Return the signatures of problem and algorithm; with ``old`` as version 0.1 wrote them."""
    run = algorithm.run if isinstance(algorithm, External) else algorithm
    return {
        "problem": {**of_problem(problem, old=old), "code": {**code_of(problem)}},
        "algorithm": {**of_algorithm(algorithm, old=old), "code": {**code_of(run)}},
    }


def _stored(tasks: list[_Task], on_mismatch: str) -> dict[Key, Run]:
    """Return the runs of these tasks that are already in the store."""
    runs, stale, doubtful = {}, [], []
    loaded: dict[str, list[tuple[_Task, Run]]] = {}
    for task in tasks:
        assert task.store is not None
        path = task.store / task.key.file_name
        if path.exists():
            loaded.setdefault(task.key.problem, []).append((task, Run.load(path)))
    for pairs in loaded.values():
        for (task, run), (changes, about) in zip(pairs, _compared(pairs), strict=True):
            if about and not changes:
                difference = _difference(task, run)
                if difference:
                    changes = [f"the problem: {about.words()}; {difference}"]
                else:
                    doubtful.append(f"{run.key}: {about.words()}")
            if changes:
                lines = "; ".join(_explained(line, task) for line in changes)
                stale.append(f"{run.path}: {lines}")
            else:
                runs[task.key] = run
    if doubtful:
        logger.warning(
            "%d stored runs are used, since designs of their fronts, evaluated again, have the "
            "same results, although their problem may have changed. The first is %s. Give the "
            "problem a 'version' that changes whenever its evaluation does",
            len(doubtful),
            doubtful[0],
        )
    if stale and on_mismatch == "raise":
        more = f"\nand {len(stale) - 3} more" if len(stale) > 3 else ""
        raise StoreMismatchError(
            "The store holds runs with the same names, but of another problem, algorithm or code "
            "(stored -> now).\n" + "\n".join(stale[:3]) + f"{more}\nUse another store or other "
            'names, move the files away, or pass on_mismatch="rerun" to replace them.'
        )
    if stale:
        logger.info("%d stored runs do not match and are made again", len(stale))
    return runs


def _compared(pairs: list[tuple[_Task, Run]]) -> list[tuple[list[str], Doubts]]:
    """Return the differences of each stored run from its task, and the doubts about its problem."""
    out = []
    stored = [dict(run.settings["problem"]) for _, run in pairs]
    for i, (task, run) in enumerate(pairs):
        wanted = renames.without_content(task.settings["problem"])
        before = task.before["problem"]
        problem = {**stored[i], "code": {}}
        others = [{**other, "code": {}} for other in stored]
        changes, about = compare(
            [problem, *others],
            {**wanted, "code": {}},
            {**before, "code": {}},
            task.content,
            "settings.problem",
        )[0]
        lines, unknown = _code_differences(stored[i], wanted["code"], "settings.problem.code")
        algorithm = dict(run.settings["algorithm"])
        now = task.settings["algorithm"]
        rest, _ = _code_differences(algorithm, now["code"], "settings.algorithm.code")
        changes = [
            *differences(vars(run.key), vars(task.key), "run"),
            *changes,
            *lines,
            *differences(
                {**algorithm, "code": {}},
                {**now, "code": {}},
                "settings.algorithm",
                {**task.before["algorithm"], "code": {}},
            ),
            *rest,
        ]
        versioned = wanted["version"] is not None
        # The digests of sources are compared as code.
        about = replace(about, sources=unknown, unseen=() if versioned else about.unseen)
        out.append((changes, about))
    return out


def _code_differences(
    stored: Signature, code: dict[str, str], name: str
) -> tuple[list[str], tuple[str, ...]]:
    """Return the differences of code, and the packages whose stored version is not known."""
    old = {
        package: version
        for package, version in dict(stored.get("code", {})).items()
        if package not in sys.stdlib_module_names
    }
    unknown = tuple(
        package for package, version in old.items() if version == UNKNOWN and package in code
    )
    left_out = {*unknown}
    if stored.get(CONTENT) is None and "bytecode" not in old:  # version 0.1 had no such digest
        left_out.add("bytecode")
    first, second = (
        {k: v for k, v in digests.items() if k not in left_out} for digests in (old, code)
    )
    return differences(first, second, name), unknown


def _difference(task: _Task, run: Run) -> str:
    """Evaluate designs of the front of a stored run again; return the first difference."""
    X, F = run.front_X, run.front_F
    if not len(X):
        return "no design of it can be evaluated again, because none is feasible"
    try:
        problem = make_problem(task.key.problem, task.problem)
        for i in sorted({0, len(X) // 2}):
            x = X[i : i + 1]
            new = problem.evaluate(x, return_values_of=["F"])
            if not np.allclose(new, F[i], rtol=1e-6, atol=0, equal_nan=True):
                return f"a design, evaluated again, has F = {new[0]} instead of F = {F[i]}"
    except Exception as error:
        return f"a design, evaluated again, fails: {error!r}"
    return ""


def _explained(line: str, task: _Task) -> str:
    """Name the class to which a difference between two digests of code belongs."""
    for part in ("problem", "algorithm"):
        if line.startswith(f"settings.{part}.code"):
            name, kind = getattr(task.key, part), task.settings[part]["class"]
            return f"the code of the {part} {name!r} ({kind}) has changed, {line}"
    return line


def _warn_of_versions(runs: list[Run]) -> None:
    """Warn if runs were made with different versions, since results may depend on them."""
    versions: dict[str, set[str]] = {}
    for run in runs:
        for package, version in run.provenance.get("versions", {}).items():
            versions.setdefault(package, set()).add(version)
    mixed = [f"{package} {', '.join(sorted(v))}" for package, v in versions.items() if len(v) > 1]
    if mixed:
        warnings.warn(
            f"The runs were made with different versions: {'; '.join(mixed)}.", stacklevel=3
        )


def _execute_all(
    tasks: list[_Task], n_jobs: int, progress: bool | None
) -> Generator[tuple[Key, Run | str], None, None]:
    if not tasks:
        return
    outcomes: Generator[tuple[Key, Run | str], None, None]
    if n_jobs == 1:
        outcomes = (_execute(task) for task in tasks)
    else:
        from joblib import Parallel, delayed, parallel_config

        # One thread per worker: more would change the last bits, and compete for the cores.
        with parallel_config(backend="loky", inner_max_num_threads=1):
            parallel = Parallel(n_jobs=n_jobs, return_as="generator_unordered", batch_size=1)
            outcomes = parallel(delayed(_execute)(task) for task in tasks)
    shown: Iterable[tuple[Key, Run | str]] = outcomes
    if wanted(progress):
        from tqdm import tqdm

        shown = tqdm(outcomes, total=len(tasks), unit="run")
    try:
        for key, outcome in shown:
            logger.info("%s %s", key, "done" if isinstance(outcome, Run) else "failed")
            yield key, outcome
    finally:
        # joblib warns of the runs that it drops, as a caller who stops early intends.
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".* tasks which were still being processed")
            outcomes.close()


def _execute(task: _Task) -> tuple[Key, Run | str]:
    """Make one run; return the traceback if it fails."""
    try:
        problem = make_problem(task.key.problem, task.problem)
        algorithm = make_algorithm(task.key.algorithm, task.algorithm, problem)
        arrays, seconds = record_run(
            problem,
            algorithm,
            seed=task.key.seed,
            budget=task.key.budget,
            evaluator=None if task.evaluator is None else task.evaluator(),
        )
        settings = task.settings
        # What the problem has changed in itself is no change of the problem.
        changed = content_of(problem).remembered(settings["problem"][CONTENT])
        if changed is not None:
            settings = settings | {"problem": settings["problem"] | {CONTENT: changed}}
        run = Run(
            task.key,
            arrays,
            settings=settings,
            provenance=provenance(),
            seconds=seconds,
            ref_point=getattr(problem, "ref_point", None),
            log=getattr(algorithm, "log", None),
        )
        # A stored run is returned without its arrays, which stay in the file.
        return task.key, run if task.store is None else Run.load(run.save(task.store))
    except Exception:
        return task.key, traceback.format_exc()
