"""Readers of the things that hold runs, one each: results, experiments, stores, paths."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from pymoo.core.individual import calc_cv
from pymoo.core.population import Population
from pymoo.core.result import Result

from moela._arrays import Floats, rows
from moela.comparison.read.files import FrontFile, read_front_file
from moela.core.algorithm import ArchiveAlgorithm
from moela.evaluation.runners.outcome import OK, failed
from moela.evaluation.storage.reader import EvaluationStore, StoredRun
from moela.experiments import files
from moela.experiments.results import ExperimentResults
from moela.provenance import renames
from moela.quality.front import Front
from moela.quality.outcome import History, Outcome, clean

# Beyond which a store is taken for damaged.
_MAX_OBJECTIVES, _MAX_ROWS = 1_000, 100_000_000


@dataclass(frozen=True)
class Found:
    """An outcome whose names may still be open: None is a name that nobody gave."""

    outcome: Outcome
    problem: str | None
    algorithm: str | None
    # Class, sizes and version of the problem, then its settings where those are known: by these,
    # problems of the same class are told apart.
    kind: tuple[str, str] = ("", "")
    # The settings of the algorithm where they are known, which tell those of one class apart.
    maker: str = ""
    # What came together: without a name of an algorithm, the runs of one batch are those of one.
    batch: Any = field(default_factory=object)
    # Name of the file and of the folders above it, innermost first, for want of a better name.
    title: tuple[str, ...] = ()


def one_batch(found: Iterable[Found]) -> list[Found]:
    """Return runs as those that came together."""
    batch = object()
    return [replace(f, batch=batch) for f in found]


def of_points(F: Any, source: str, **more: Any) -> Found:
    """Return plain points of which nothing else is known, but for CV and X."""
    points, X, left_out = clean(source, F, more.get("CV"), more.get("X"))
    outcome = Outcome("", "", None, points, X, source=source, left_out=left_out)
    return Found(outcome, None, None)


def of_front(front: Front) -> Found:
    """Return a Front with its designs, names and problem."""
    outcome = Outcome(
        "",
        "",
        None,
        front.F,
        front.X,
        names=front.names,
        model=front.problem if hasattr(front.problem, "decode") else None,
        source="a Front",
    )
    return Found(outcome, None, None)


# ---------------------------------------------------------------------------------- pymoo's result


def of_result(result: Result) -> Found:
    """Return a pymoo Result: all that it evaluated where its history was kept."""
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
    return Found(outcome, type(problem).__name__, name, (kind, ""))


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


def of_run(run: files.Run) -> Found:
    """Return a run of an experiment."""
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
    return Found(outcome, run.problem, run.algorithm)


def of_experiment(results: ExperimentResults) -> list[Found]:
    """Return the runs of an experiment; an algorithm with several budgets is several."""
    budgets: dict[str, set[int]] = {}
    for run in results.runs:
        budgets.setdefault(f"{run.problem}\n{run.algorithm}", set()).add(run.budget)
    out = []
    for run in results.runs:
        found = of_run(run)
        if len(budgets[f"{run.problem}\n{run.algorithm}"]) > 1:
            found = replace(found, algorithm=f"{run.algorithm} @{run.budget}")
        out.append(found)
    return out


# ------------------------------------------------------------------------------------------ stores


def of_store(store: EvaluationStore) -> list[Found]:
    """Return the runs of a store that have evaluated something."""
    out: list[Found] = []
    earlier: set[str] = set()
    for run in store.runs():
        problem = json.dumps(run.problem, sort_keys=True)
        if run.n_eval:
            out.append(_of_stored(store, run, after_others=problem in earlier))
            earlier.add(problem)
    return out


def _of_stored(store: EvaluationStore, run: StoredRun, *, after_others: bool) -> Found:
    n_obj = run.problem.get("n_obj")
    if not isinstance(n_obj, int) or not 2 <= n_obj <= _MAX_OBJECTIVES or run.n_eval > _MAX_ROWS:
        raise ValueError(
            f"{store.path}: run {run.id}: expected 2 to {_MAX_OBJECTIVES} objectives and at most "
            f"{_MAX_ROWS:,} evaluations, got {n_obj!r} and {run.n_eval:,}."
        )
    F = np.full((run.n_eval, n_obj), np.nan)
    feasible, ended = np.zeros(run.n_eval, dtype=bool), np.full(run.n_eval, -np.inf)
    X: list[Any] = [None] * run.n_eval
    for e in store.evaluations(run.id):
        if not 0 <= e.n < run.n_eval:
            raise ValueError(
                f"{store.path}: run {run.id}: expected evaluations 0 to {run.n_eval - 1}, got "
                f"{e.n}."
            )
        ended[e.n] = e.elapsed
        if e.status == OK and e.F is not None:
            if len(e.F) != n_obj:
                raise ValueError(
                    f"{store.path}: run {run.id}, evaluation {e.n}: expected {n_obj} objectives, "
                    f"got {len(e.F)}."
                )
            F[e.n], X[e.n] = e.F, e.X
            feasible[e.n] = _feasible(e.G, e.H)
    # Answers that came from the journal are not recorded again: no time, and no new design. Of an
    # earlier run they may be, whose designs this run then had as well.
    borrowed = int(np.isneginf(ended).sum()) if after_others else 0
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
        borrowed=borrowed,
        about={"settings": run.settings, "versions": run.versions, "date": run.updated},
    )
    kind = _kind(title, signature.get("n_var", 0), n_obj, signature.get("version"))
    settings = json.dumps(renames.without_digests(signature), sort_keys=True)
    maker = json.dumps(renames.without_digests(run.algorithm), sort_keys=True)
    return Found(outcome, title, algorithm, (kind, settings), maker)


def _feasible(G: Any, H: Any) -> bool:
    none = np.empty(0)
    return bool(calc_cv(G=none if G is None else G, H=none if H is None else H) <= 0)


def _title(signature: Mapping[str, Any]) -> str:
    return str(signature.get("class") or "algorithm").rpartition(".")[2]


# ------------------------------------------------------------------------------------------- paths


def of_path(path: Path) -> list[Found]:
    """Return the runs in a file or folder, whatever it is."""
    if path.is_dir():
        if (path / "front.csv").exists():
            return _of_front_file(path / "front.csv")
        if any(path.glob("*.npz")):
            return of_experiment(ExperimentResults.load(path))
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
            return of_store(store)
    if start.startswith(b"PK"):
        return [of_run(files.Run.load(path))]
    return _of_front_file(path)


def _of_front_file(path: Path) -> list[Found]:
    place = path.absolute()
    inner = place.parent if path.name == "front.csv" else place.with_name(place.stem)
    title = tuple(part for part in reversed(inner.parts) if part != inner.anchor)
    return [replace(f, title=title) for f in of_parts(read_front_file(path), str(path))]


def of_parts(parts: Iterable[FrontFile], source: str) -> list[Found]:
    """Return the sets of points of a table."""
    out = []
    for part in parts:
        points, X, left_out = clean(source, part.F, None, part.X)
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
            source=source,
            left_out=left_out,
            about=part.about,
        )
        kind = "" if part.problem is None else _kind(part.problem, 0, part.F.shape[1], part.version)
        out.append(Found(outcome, part.problem, part.algorithm, (kind, "")))
    return one_batch(out)
