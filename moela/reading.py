"""Reading whatever people hand in to be compared: results, arrays, experiments, stores, files."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from pymoo.core.population import Population
from pymoo.core.result import Result

from moela import experiment_runs
from moela.base import ArchiveAlgorithm, rows
from moela.experiment_results import ExperimentResults
from moela.front_files import read_front_file
from moela.outcomes import Floats, History, Outcome, clean
from moela.policy import OK, failed
from moela.store import EvaluationStore
from moela.store import Run as StoredRun

ACCEPTED = (
    "pymoo Results, arrays [n, M], runs of an experiment, ExperimentResults, EvaluationStores, "
    "paths of these, lists of them, or a dict of them by algorithm, or by problem and algorithm"
)


@dataclass(frozen=True)
class _Found:
    """An outcome whose names may still be open: None is a name that nobody gave."""

    outcome: Outcome
    problem: str | None
    algorithm: str | None
    # Class, sizes and version of the problem, then its settings where those are known: by these,
    # problems of the same class are told apart.
    kind: tuple[str, str] = ("", "")


def read(results: Any) -> list[Outcome]:
    """Return the outcomes in whatever was handed in.

    Parameters
    ----------
    results
        Whatever `moela.compare` takes.

    Raises
    ------
    ValueError
        Something in it is none of these, or its problems can't be told apart.
    """
    if isinstance(results, Mapping):
        nested = bool(results) and all(_by_name(value) for value in results.values())
        if nested:
            found = [
                replace(f, problem=str(problem), kind=("", ""))
                for problem, group in results.items()
                for f in _mapping(group)
            ]
        else:
            found = _mapping(results)
    elif _is_list(results):
        found = _apart([_runs(item) for item in results])
    else:
        found = _runs(results)
    if not found:
        raise ValueError(f"There is nothing to compare. Pass {ACCEPTED}.")
    return _name_algorithms(_name_problems(found))


def _by_name(value: Any) -> bool:
    return isinstance(value, Mapping) and all(isinstance(key, str) for key in value)


def _mapping(group: Mapping[Any, Any]) -> list[_Found]:
    """Read runs by name of the algorithm."""
    out = []
    for name, value in group.items():
        found = _runs(value)
        kinds = {f.algorithm for f in found}
        if not found:
            raise ValueError(f"There is no run of {name!r}. Leave it out, or pass {ACCEPTED}.")
        out += [
            replace(f, algorithm=str(name) if len(kinds) == 1 else f"{name}: {f.algorithm}")
            for f in found
        ]
    return out


def _runs(value: Any) -> list[_Found]:
    """Read one run, or several of them."""
    if isinstance(value, Mapping):  # by seed
        return [
            replace(f, outcome=replace(f.outcome, seed=_seed(seed)))
            for seed, run in value.items()
            for f in _runs(run)
        ]
    if isinstance(value, Result):
        return [_of_result(value)]
    if isinstance(value, experiment_runs.Run):
        return [_of_run(value)]
    if isinstance(value, ExperimentResults):
        return _of_experiment(value)
    if isinstance(value, EvaluationStore):
        return _of_store(value)
    if isinstance(value, str | os.PathLike):
        return _of_path(Path(value).expanduser())
    if isinstance(value, Population):
        F, CV, X = value.get("F"), value.get("CV"), value.get("X")
        return [_plain(F, "a Population", CV=np.asarray(CV)[:, 0] if len(value) else None, X=X)]
    if isinstance(value, np.ndarray) and value.ndim == 3:
        return [_plain(F, "an array") for F in value]
    if _is_list(value):
        return [found for item in value for found in _runs(item)]
    if isinstance(value, np.ndarray | list | tuple):
        return [_plain(value, "an array")]
    raise ValueError(
        f"The 'results' parameter of compare must be {ACCEPTED}. Got {type(value).__name__} "
        "instead."
    )


def _is_list(value: Any) -> bool:
    """Whether it is a list of runs; a list of points of numbers is one run."""
    if isinstance(value, np.ndarray):
        return value.dtype == object and value.ndim == 1
    if not isinstance(value, list | tuple):
        return False
    return not all(_numeric_row(item) for item in value)


def _numeric_row(item: Any) -> bool:
    plain = isinstance(item, list | tuple | np.ndarray)
    return plain and all(isinstance(v, int | float | np.number) for v in item)


def _seed(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise ValueError(
            "Runs in a dict below the algorithm must be by seed, an integer. Got the key "
            f"{value!r} instead. Use {{algorithm: runs}} or {{problem: {{algorithm: runs}}}}."
        )
    return int(value)


def _plain(F: Any, source: str, **more: Any) -> _Found:
    points, X, left_out = clean(source, F, more.get("CV"), more.get("X"))
    outcome = Outcome("", "", None, points, X, source=source, left_out=left_out)
    return _Found(outcome, None, None)


# ---------------------------------------------------------------------------------- pymoo's result


def _of_result(result: Result) -> _Found:
    problem, algorithm = result.problem, getattr(result, "algorithm", None)
    if problem is None or problem.n_obj < 2:
        n_obj = None if problem is None else problem.n_obj
        raise ValueError(
            "A pymoo Result to compare must be of a problem with at least two objectives. Got "
            f"{n_obj} instead."
        )
    name = type(algorithm).__name__ if algorithm is not None else None
    n_obj, history = int(problem.n_obj), None
    everything = [ind for step in result.history or () for ind in _asked(step)]
    if everything:
        F, CV, X = _individuals(everything, n_obj)
        scored = np.where(CV[:, None] <= 0, F, np.nan)
        history = History(len(F), lambda: scored)
    else:
        empty = result.F is None
        F = np.empty((0, n_obj)) if empty else np.atleast_2d(result.F)
        CV = np.zeros(0) if empty else np.asarray(result.CV, dtype=float).reshape(len(F))
        X = np.empty((0, problem.n_var)) if empty else rows(_several(result.X))
    points, designs, left_out = clean(f"the Result of {name}", F, CV, X)
    evaluator = getattr(algorithm, "evaluator", None)
    # The archive of ours holds the non-dominated part of all that was evaluated.
    unbounded = isinstance(algorithm, ArchiveAlgorithm) and algorithm.archive_size is None
    outcome = Outcome(
        "",
        "",
        _whole(getattr(algorithm, "seed", None)),
        points,
        designs,
        evaluated=bool(everything) or unbounded,
        history=history,
        n_eval=len(F) if everything else getattr(evaluator, "n_eval", None),
        seconds=result.exec_time,
        names=_names(problem),
        ref_point=_point(getattr(problem, "ref_point", None)),
        model=problem if hasattr(problem, "decode") else None,
        source="a pymoo Result",
        left_out=left_out,
    )
    version = getattr(problem, "version", None)
    kind = _kind(type(problem).__name__, problem.n_var, n_obj, version)
    return _Found(outcome, type(problem).__name__, name, (kind, ""))


def _asked(step: Any) -> Iterable[Any]:
    asked = step.off if step.off is not None else step.pop
    return asked if asked is not None else ()


def _individuals(individuals: list[Any], n_obj: int) -> tuple[Floats, Floats, Any]:
    lost = np.full(n_obj, np.nan)
    wrong = [bool(np.any(failed(Population([ind])))) or len(ind.F) != n_obj for ind in individuals]
    F = [lost if bad else ind.F for ind, bad in zip(individuals, wrong, strict=True)]
    CV = [0.0 if bad else float(ind.CV[0]) for ind, bad in zip(individuals, wrong, strict=True)]
    return np.array(F, dtype=float), np.array(CV), rows([ind.X for ind in individuals])


def _several(X: Any) -> Any:
    return [X] if isinstance(X, dict) else X


def _names(problem: Any) -> tuple[str, ...] | None:
    names = getattr(problem, "objective_names", None)
    return None if names is None else tuple(str(name) for name in names)


def _point(value: Any) -> Floats | None:
    return None if value is None else np.asarray(value, dtype=float)


def _whole(value: Any) -> int | None:
    return int(value) if isinstance(value, int | np.integer) else None


def _kind(name: str, n_var: Any, n_obj: Any, version: Any) -> str:
    return json.dumps([name, int(n_var), int(n_obj), None if version is None else str(version)])


# ------------------------------------------------------------------------------------ experiments


def _of_run(run: experiment_runs.Run) -> _Found:
    points, X, left_out = clean(str(run.key), run.front_F, None, run.front_X)
    outcome = Outcome(
        "",
        "",
        run.seed,
        points,
        X,
        evaluated=True,
        history=History(run.n_eval, run.scored_F),
        n_eval=run.n_eval,
        seconds=run.seconds["wall"],
        ref_point=run.ref_point,
        source=str(run.key) if run.path is None else str(run.path),
        left_out=left_out,
        about={"budget": run.budget} | dict(run.provenance),
    )
    return _Found(outcome, run.problem, run.algorithm)


def _of_experiment(results: ExperimentResults) -> list[_Found]:
    budgets: dict[str, set[int]] = {}
    for run in results.runs:
        budgets.setdefault(f"{run.problem}\n{run.algorithm}", set()).add(run.budget)
    out = []
    for run in results.runs:
        found = _of_run(run)
        if len(budgets[f"{run.problem}\n{run.algorithm}"]) > 1:
            found = replace(found, algorithm=f"{run.algorithm} @{run.budget}")
        out.append(found)
    return out


# ------------------------------------------------------------------------------------------ stores


def _of_store(store: EvaluationStore) -> list[_Found]:
    return [_of_stored(store, run) for run in store.runs() if run.n_eval]


def _of_stored(store: EvaluationStore, run: StoredRun) -> _Found:
    n_obj = int(run.problem.get("n_obj", 0))
    F = np.full((run.n_eval, n_obj), np.nan)
    feasible, ended = np.zeros(run.n_eval, dtype=bool), np.full(run.n_eval, -np.inf)
    X: list[Any] = [None] * run.n_eval
    for e in store.evaluations(run.id):
        ended[e.n] = e.elapsed
        if e.status == OK and e.F is not None:
            if len(e.F) != n_obj:
                raise ValueError(
                    f"{store.path}: run {run.id}, evaluation {e.n}: expected {n_obj} objectives, "
                    f"got {len(e.F)}."
                )
            F[e.n], X[e.n] = e.F, e.X
            feasible[e.n] = _feasible(e.G, e.H)
    # Answers that came from the journal are not recorded again: no time, and no new design.
    seconds = np.maximum(np.maximum.accumulate(ended), 0.0)
    scored = np.where(feasible[:, None], F, np.nan)
    index = np.flatnonzero(np.isfinite(F).all(axis=1))
    designs = rows([X[i] for i in index]) if len(index) else None
    owner = f"{store.path}, run {run.id}"
    points, front_X, left_out = clean(owner, F[index], ~feasible[index], designs)
    if run.n_failed:
        left_out["failed"] = run.n_failed
    signature = run.problem
    title = _title(signature)
    algorithm = _title(run.algorithm)
    outcome = Outcome(
        "",
        "",
        run.seed,
        points,
        front_X,
        evaluated=True,
        history=History(run.n_eval, lambda: scored, seconds),
        n_eval=run.n_eval,
        seconds=run.elapsed,
        source=owner,
        left_out=left_out,
        about={"settings": run.settings, "versions": run.versions, "date": run.updated},
    )
    kind = _kind(title, signature.get("n_var", 0), n_obj, signature.get("version"))
    settings = json.dumps(signature, sort_keys=True)
    return _Found(outcome, title, algorithm, (kind, settings))


def _feasible(G: Any, H: Any) -> bool:
    from pymoo.core.individual import calc_cv

    none = np.empty(0)
    return bool(calc_cv(G=none if G is None else G, H=none if H is None else H) <= 0)


def _title(signature: Mapping[str, Any]) -> str:
    return str(signature.get("class") or "algorithm").rpartition(".")[2]


# ------------------------------------------------------------------------------------------- paths


def _of_path(path: Path) -> list[_Found]:
    if path.is_dir():
        if (path / "front.csv").exists():
            return _of_front_file(path / "front.csv")
        if any(path.glob("*.npz")):
            return _of_experiment(ExperimentResults.load(path))
        raise ValueError(
            f"{path}: expected a folder of an experiment (*.npz) or of `moela run` (front.csv). "
            "Got neither; check the path."
        )
    if not path.exists():
        raise ValueError(f"There is no file or folder {path}.")
    with path.open("rb") as file:
        start = file.read(16)
    if start.startswith(b"SQLite format 3\0"):
        with EvaluationStore(path) as store:
            return _of_store(store)
    if start.startswith(b"PK"):
        return [_of_run(experiment_runs.Run.load(path))]
    return _of_front_file(path)


def _of_front_file(path: Path) -> list[_Found]:
    out = []
    for part in read_front_file(path):
        points, X, left_out = clean(str(path), part.F, None, part.X)
        outcome = Outcome(
            "",
            "",
            part.seed,
            points,
            X,
            evaluated=part.evaluated,
            n_eval=part.n_eval,
            seconds=part.seconds,
            names=part.names,
            ref_point=part.ref_point,
            source=str(path),
            left_out=left_out,
            about=part.about,
        )
        kind = "" if part.problem is None else _kind(part.problem, 0, part.F.shape[1], part.version)
        out.append(_Found(outcome, part.problem, part.algorithm, (kind, "")))
    return out


# ------------------------------------------------------------------------------------------- names


def _apart(groups: list[list[_Found]]) -> list[_Found]:
    """Keep runs of different sources apart that have the same names and seeds."""
    keys = [{(f.problem, f.algorithm, f.outcome.seed) for f in group} for group in groups]
    out = []
    for i, group in enumerate(groups):
        others = set().union(*(keys[j] for j in range(len(groups)) if j != i))
        sources = {f.outcome.source for f in group}
        clash = any(
            f.outcome.seed is not None
            and (f.problem, f.algorithm, f.outcome.seed) in others
            for f in group
        )
        if clash and len(groups) > 1:
            group = [replace(f, algorithm=f"{f.algorithm} ({_short(sources, i)})") for f in group]
        out += group
    return out


def _short(sources: set[str], position: int) -> str:
    paths = {Path(source.partition(", run ")[0]) for source in sources if os.sep in source}
    folders = {p.parent.name if p.suffix in (".npz", ".csv") else p.stem for p in paths}
    return folders.pop() if len(folders) == 1 else str(position + 1)


def _name_problems(found: list[_Found]) -> list[_Found]:
    """Give runs of problems of one class, but of other sizes or settings, names of their own."""
    number: dict[tuple[str, str], int] = {}
    known: dict[str, list[tuple[str, str]]] = {}
    out = []
    for f in found:
        if f.problem is not None and f.kind != ("", ""):
            kinds = known.setdefault(f.problem, [])
            same = (k for k in kinds if k[0] == f.kind[0] and (not f.kind[1] or k[1] in ("", f.kind[1])))
            kind = next(same, None)
            if kind is None:
                kind = f.kind
                kinds.append(kind)
                number[kind] = len(kinds)
            if number[kind] > 1:
                f = replace(f, problem=f"{f.problem} ({number[kind]})")
        out.append(f)
    names = list(dict.fromkeys(f.problem for f in out if f.problem is not None))
    if len(names) > 1 and any(f.problem is None for f in out):
        raise ValueError(
            "Some of the runs to compare are plain points, and the others are of several problems: "
            f"{', '.join(names)}. Say which is of which: "
            '{"problem": {"algorithm": runs}}.'
        )
    only = names[0] if names else "problem"
    return [f if f.problem is not None else replace(f, problem=only) for f in out]


def _name_algorithms(found: list[_Found]) -> list[Outcome]:
    nameless = sum(f.algorithm is None for f in found)
    out, n = [], 0
    for f in found:
        name = f.algorithm
        if name is None:
            n += 1
            name = "front" if nameless == 1 else f"front {n}"
        out.append(replace(f.outcome, problem=str(f.problem), algorithm=name))
    return out
