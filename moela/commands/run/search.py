"""The options of the `moela run` commands that say how to search, and the search itself."""

from __future__ import annotations

import argparse
import json
import re
import shlex
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from pymoo.core.algorithm import Algorithm
from pymoo.core.problem import Problem

from moela.commands.output import add_json, folder_to_write, only_stderr, plain
from moela.commands.parser import not_negative, workers
from moela.evaluation.interrupts import advising
from moela.evaluation.runners.outcome import EvaluationError
from moela.evaluation.storage.errors import StoreError
from moela.files.replacing import FolderLock
from moela.files.text import read_json
from moela.functions.announcement import once_ready
from moela.functions.minimize import minimize
from moela.functions.results.result import MinimizeResult
from moela.quality.durations import seconds

ALGORITHMS = ("moela", "moela-published", "moos", "moo-stage", "nsga2", "nsga3", "moead", "ga")

# Parameters of `moela.minimize` and what they are on the command line.
_OPTIONS = {
    "n_eval": "--evals", "time_limit": "--time-limit", "seed": "--seed", "n_jobs": "--jobs",
    "store": "--store", "timeout": "--timeout", "retries": "--retries", "on_error": "--on-error",
    "algorithm": "--algorithm", "batch_size": "--batch-size", "start": "--start",
    "known": "--known",
    "noisy": "--noisy", "version": "version",
}  # fmt: skip
# Options that do not change the result of a run.
_WITHOUT_EFFECT = ("out", "store", "jobs", "timeout", "retries")
# Algorithms that are chosen if none is named.
_DEFAULTS = ("moela", "de", "ga")


def add_options(
    parser: argparse.ArgumentParser,
    algorithms: Sequence[str],
    *,
    evals: int | None,
    out: str,
    algorithm: str | None = "moela",
) -> None:
    """Add the options of a search, with default numbers of evaluations and folder."""
    group = parser.add_argument_group("search")
    add = group.add_argument
    single = " or ".join(name for name in ("de", "ga") if name in algorithms)
    own = "" if algorithm else f" (default: moela; with one objective, {single})"
    add("--algorithm", choices=algorithms, default=algorithm, metavar="NAME",
        help=f"one of {', '.join(algorithms)}{own}")  # fmt: skip
    needed = "" if evals else "; needed without --time-limit"
    add("--evals", type=int, default=evals, metavar="N",
        help=f"number of designs to evaluate{needed}")  # fmt: skip
    add("--time-limit", metavar="TIME", help='end after this time: "90 min", "8h", or seconds')
    add("--seed", type=not_negative, default=1, metavar="N", help="random seed")
    add("--jobs", type=workers, default=1, metavar="N", help="workers; -1 for one per core")
    add("--store", metavar="DB", help="SQLite file to record in, and to continue from")
    add("--out", metavar="DIR", default=out, help="folder for the results")
    add(
        "--quiet",
        action="store_true",
        help="print neither progress nor a description of the problem",
    )
    add_json(group)


def check_options(arguments: argparse.Namespace, least: int = 2) -> None:
    """Raise a ValueError if there are too few evaluations, or the time is none."""
    if arguments.evals is not None and arguments.evals < least:
        raise ValueError(f"--evals must be at least {least}. Got {arguments.evals} instead.")
    try:
        seconds("time_limit", arguments.time_limit)
    except ValueError as error:
        raise ValueError(reworded(str(error))) from None


def search(
    problem: Problem,
    arguments: argparse.Namespace,
    algorithm: Algorithm | str | None,
    *,
    begin: Callable[[], object] = lambda: None,
    **settings: object,
) -> tuple[MinimizeResult, float]:
    """Optimize a problem as the options say; return the result and the seconds that it took.

    `begin` is called once all options are checked, before anything is evaluated.
    Ctrl-C ends the search after the batch in hand; `ResultFolder.finish` says how to go on.
    """
    started = time.monotonic()
    with advising(advice(arguments)), once_ready(begin), only_stderr(True):
        try:
            result = minimize(
                problem,
                algorithm=algorithm,
                n_eval=arguments.evals,
                time_limit=arguments.time_limit,
                seed=arguments.seed,
                n_jobs=arguments.jobs,
                store=arguments.store,
                progress=False if arguments.quiet else None,
                verbose=False,
                **settings,  # type: ignore[arg-type]
            )
        except EvaluationError as error:
            raise EvaluationError(reworded(str(error)), X=error.X, status=error.status) from None
        except StoreError as error:
            raise type(error)(reworded(str(error))) from None
        except ValueError as error:
            raise ValueError(reworded(str(error))) from error
    return result, time.monotonic() - started


def advice(arguments: argparse.Namespace) -> str:
    """Return how to go on after the run was stopped: the command, in words of the shell."""
    command = shlex.join(["moela", *arguments.words])
    if arguments.store is not None:
        return f"To go on: {command}"
    store = Path(arguments.out) / "run.db"
    again = f"{command} --store {shlex.quote(str(store))}"
    if hasattr(arguments, "start"):
        front = Path(arguments.out) / "front.csv"
        return (
            f"To go on from the designs found: {command} --start {shlex.quote(str(front))}\n"
            f"To be able to continue a run exactly, begin it with a store: {again}"
        )
    return f"Nothing was recorded. To be able to continue a run, begin it with a store: {again}"


def reworded(message: str) -> str:
    """Return a message about a call of `moela.minimize` with the options in its place."""
    for name, option in _OPTIONS.items():
        message = re.sub(
            rf"(The )?'{name}' parameter( of (minimize|Evaluator|MOELA))?", option, message
        )
    for name, option in _OPTIONS.items():
        value = r"'?([\w.:/\\-]+(?: min)?)'?(?=[ ,.;]|$)"
        message = re.sub(rf"\b{name}={value}", rf"{option} \1", message)
    message = message.replace("--noisy True", "--noisy").replace("--start result", "--start")
    message = message.replace("of seconds, a timedelta, or a text", "of seconds, or a text")
    message = message.replace("pass --", "add --").replace("Leave it out", "Leave the option out")
    return message.replace("make the same call again", "run the same command again")


def make_folder(arguments: argparse.Namespace) -> Path:
    """Return the folder for the results, made before the search, so that errors come early.

    A ValueError says if it holds the results of another run, which would be lost, or if no file
    can be written into it.
    """
    out = Path(arguments.out)
    start = getattr(arguments, "start", None)
    goes_on = start is not None and Path(start).resolve().parent == out.resolve()
    if not goes_on and (changes := _changes(out / "run.json", arguments)):
        raise ValueError(
            f"--out must be a new folder, or that of the same run. Got {out} instead, which holds "
            f"another run ({', '.join(changes)}). Name another folder, or move {out} away."
        )
    folder_to_write("--out", out)
    out.mkdir(parents=True, exist_ok=True)
    try:
        arguments.lock = FolderLock(out)  # as long as the command runs
    except BlockingIOError:
        raise ValueError(
            f"--out must be a folder into which no other run writes. Got {out} instead, the folder "
            "of a run that has not ended. Name another folder, or wait for that run."
        ) from None
    except OSError:  # a folder that can be written, but not read
        arguments.lock = None
    return out


def _changes(path: Path, arguments: argparse.Namespace) -> list[str]:
    """Return the options in which the run of a run.json differs from this one; none without a file.

    A run that continues in its store may have another budget.
    """
    try:
        record = read_json(path)
    except (OSError, ValueError):  # there is none, or it was never completed
        return []
    about = record if isinstance(record, dict) else {}
    found = about.get("settings")
    settings: dict[str, object] = found if isinstance(found, dict) else {}
    command = str(about.get("command", "another program"))
    n = len(command.split())
    same = " ".join(["moela", *arguments.words[: n - 1]]) == command
    if not same or ("problem" in settings) != hasattr(arguments, "problem"):
        return [f"of {command}"]
    now = json.loads(json.dumps(plain(vars(arguments)), default=str))
    free = set(_WITHOUT_EFFECT)
    if arguments.store is not None and settings.get("store") == arguments.store:
        free |= {"evals", "time_limit"}
    if now["algorithm"] is None and settings.get("algorithm") in _DEFAULTS:
        free.add("algorithm")
    return [
        f"{'' if name == 'problem' else '--'}{name.replace('_', '-')} {_word(old)} instead of "
        f"{_word(now[name])}"
        for name, old in settings.items()
        if name in now and name not in free and old != now[name]
    ]


def _word(value: object) -> str:
    """Return the value of an option as it is typed."""
    if value is None:
        return "none"
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


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
