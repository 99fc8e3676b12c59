"""run_experiment: runs of algorithms on problems over seeds; stored ones are not repeated."""

from __future__ import annotations

import logging
import os
import tempfile
import traceback
import warnings
from collections.abc import Generator, Iterable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Literal

import numpy as np

from moela._checks import one_of, require
from moela._tracebacks import exception_of
from moela.evaluation.progress import begin
from moela.evaluation.settings import check_name
from moela.evaluation.storage.errors import StoreError
from moela.experiments.files import Key, Run
from moela.experiments.recording import External, record_run
from moela.experiments.results import ExperimentResults
from moela.experiments.stored import stored_runs
from moela.experiments.tasks import (
    MakeAlgorithm,
    MakeEvaluator,
    MakeProblem,
    Task,
    is_external,
    make_algorithm,
    make_evaluator,
    make_problem,
    plan,
)
from moela.experiments.workers import in_workers
from moela.files.replacing import check_writable
from moela.heartbeat.working import long_work
from moela.provenance.environment import provenance

__all__ = ["ExperimentError", "ExperimentResults", "External", "run_experiment"]

logger = logging.getLogger("moela.experiment")


class ExperimentError(RuntimeError):
    """A run of an experiment failed; the message names it and carries its traceback."""


@long_work("running an experiment")
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
    StoreError
        A run could not be written into the store, such as on a full disk.

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
    check_name("run_experiment", store, "the path of a folder")
    folder = None if store is None else Path(store).expanduser()
    if folder is not None:
        is_file = folder.exists() and not folder.is_dir()
        require("run_experiment", "store", str(store), not is_file, "a folder, not a file")
        folder.mkdir(parents=True, exist_ok=True)
        check_writable(folder)
    tasks = list(plan(problems, algorithms, seeds, budget, evaluator, folder))
    done = {} if folder is None else stored_runs(tasks, on_mismatch)
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
            f"{exception_of(message)}",
            stacklevel=2,
        )
    _warn_of_few([done[task.key] for task in due if task.key in done])
    _warn_of_versions(list(done.values()))
    runs = [done[task.key] for task in tasks if task.key in done]
    return ExperimentResults(runs, failures={str(k): v for k, v in failures.items()})


def _warn_of_few(runs: list[Run]) -> None:
    """Warn if an external optimizer has returned fewer evaluations than it was asked for."""
    few = [run for run in runs if is_external(run) and run.n_eval < run.budget]
    if few:
        first = few[0]
        warnings.warn(
            f"External runners returned fewer evaluations than the budget in {len(few)} of "
            f"{len(runs)} runs. The first is {first.key}: asked for {first.budget:,}, got "
            f"{first.n_eval:,}. Return every evaluated design in order, not the front only.",
            stacklevel=3,
        )


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
    tasks: list[Task], n_jobs: int, progress: bool | None
) -> Generator[tuple[Key, Run | str], None, None]:
    if not tasks:
        return
    outcomes: Generator[tuple[Key, Run | str], None, None]
    if n_jobs == 1:
        outcomes = (_execute(task) for task in tasks)
    else:
        outcomes = in_workers(_execute, tasks, n_jobs)
    shown = begin(progress, len(tasks), 0, unit="run")
    try:
        if shown is not None:
            shown.busy = True
        for key, outcome in outcomes:
            done = isinstance(outcome, Run)
            logger.info("%s %s", key, "done" if done else "failed")
            if shown is not None:
                shown.add(1, np.empty((0, 0)), n_failed=int(not done))
            yield key, outcome
    finally:
        if shown is not None:
            shown.close()
        # joblib warns of the runs that it drops, as a caller who stops early intends.
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".* tasks which were still being processed")
            outcomes.close()


def _execute(task: Task) -> tuple[Key, Run | str]:
    """Make one run; return the traceback if it fails."""
    try:
        problem = make_problem(task.key.problem, task.problem)
        algorithm = make_algorithm(task.key.algorithm, task.algorithm, problem)
        arrays, seconds = record_run(
            problem,
            algorithm,
            seed=task.key.seed,
            budget=task.key.budget,
            evaluator=make_evaluator(task.evaluator),
        )
        run = Run(
            task.key,
            arrays,
            settings=task.settings,
            provenance=provenance(),
            seconds=seconds,
            ref_point=getattr(problem, "ref_point", None),
            log=getattr(algorithm, "log", None),
        )
        return task.key, run if task.store is None else _kept(run, task.store)
    except _NotKeptError:
        raise
    except (Exception, SystemExit):  # a program's sys.exit ends its run, not the experiment
        return task.key, traceback.format_exc()


class _NotKeptError(StoreError):
    """A run that could not be written. Others could not be either, so the experiment ends."""


def _kept(run: Run, folder: Path) -> Run:
    """Write a run, and return it without its arrays, which stay in the file."""
    try:
        path = run.save(folder)
    except OSError as error:
        raise _NotKeptError(
            f"The run {run.key} cannot be written into the folder {folder}: "
            f"{error.strerror or error}. Runs that were written before are in it. {_rescued(run)}"
            "Free some space, or make the folder one that can be written, and make the same call "
            "again."
        ) from error
    return Run.load(path)


def _rescued(run: Run) -> str:
    """Write a run among the temporary files; say in a sentence what to do with it."""
    try:
        path = run.save(tempfile.mkdtemp(prefix="moela-run-"))
    except OSError:
        return ""
    return f"This one is in {path}: move that file into the folder. "
