"""Readers of single sources of runs: results, experiments, stores, and paths."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pymoo.core.individual import Individual, calc_cv
from pymoo.core.population import Population
from pymoo.core.problem import Problem
from pymoo.core.result import Result

from moela._arrays import Floats, rows
from moela.comparison.read.drafts import RunDraft, check_objectives, kind_of, nameless
from moela.comparison.read.files import MOST_OBJECTIVES, OF_A_RUN, read_front_file
from moela.comparison.read.record import signs_of
from moela.core.algorithm import ArchiveAlgorithm
from moela.evaluation.runners.outcome import OK, failed
from moela.evaluation.runs.open_run import definition
from moela.evaluation.storage.folders import MAGIC, only_store, stores_in
from moela.evaluation.storage.reader import EvaluationStore
from moela.evaluation.storage.stored import StoredRun
from moela.experiments import files
from moela.experiments.results import ExperimentResults
from moela.files.guard import open_file
from moela.functions.model.function_problem import FunctionProblem
from moela.functions.model.view import ProblemView
from moela.functions.results.result import MinimizeResult
from moela.functions.results.stored import objectives_in, stored_problem, unnamed_in
from moela.provenance.signature import shown_name
from moela.quality.front import Front
from moela.quality.runs import History, refuse_endless, traits

_JSON = re.compile(rb"\s*[\[{]\s*([\[{\"]|-?\d)")  # how it begins
_EXPECTED = (
    "a store (such as run.db), a folder of `moela run` or of an experiment, or a table of points "
    "(.csv, .txt or .npy)"
)
# Files that are called so and cannot be read are damaged; others may be of another kind.
_SUFFIXES = (".csv", ".tsv", ".txt", ".dat", ".npy", ".npz", "")
# A store with more is taken for damaged.
_MAX_OBJECTIVES, _MAX_ROWS = MOST_OBJECTIVES, 100_000_000


def of_front(front: Front) -> RunDraft:
    """Return a Front with its designs, names, directions and problem."""
    model = traits(front.problem).get("model")
    # Without a maximized objective, a user may have negated the objectives before.
    signs = tuple(front.signs.tolist()) if (front.signs < 0).any() else None
    return RunDraft(
        nameless(front.F, "a Front", X=front.X, names=front.names, signs=signs, model=model)
    )


def of_result(result: Result, senses: Mapping[str, float] | None = None) -> RunDraft:
    """Return the run of a pymoo Result, with all evaluations if its history was kept."""
    problem, algorithm = result.problem, getattr(result, "algorithm", None)
    if problem is None or problem.n_obj < 2:
        n_obj = None if problem is None else problem.n_obj
        raise ValueError(
            "A pymoo Result to compare must be of a problem with at least two objectives. Got "
            f"{n_obj} instead."
        )
    _check_objectives(senses, problem, f"a result of {problem.name()}")
    name = type(algorithm).__name__ if algorithm is not None else None
    n_obj, history = int(problem.n_obj), None
    asked = [step.pop if step.off is None else step.off for step in result.history or ()]
    evaluated = [ind for population in asked if population is not None for ind in population]
    if evaluated:
        F, CV, X = _individuals(evaluated, n_obj)
        scored = np.where(CV[:, None] <= 0, F, np.nan)
        history = History(len(F), lambda: scored)
    else:
        empty = result.F is None
        F = np.empty((0, n_obj)) if empty else np.atleast_2d(result.F)
        CV = np.zeros(0) if empty else np.asarray(result.CV, dtype=float).reshape(len(F))
        several = [result.X] if isinstance(result.X, dict) else result.X
        X = np.empty((0, problem.n_var)) if empty else rows(several)
    # An unbounded archive of ours holds the non-dominated part of everything evaluated.
    unbounded = isinstance(algorithm, ArchiveAlgorithm) and algorithm.archive_size is None
    n_eval = getattr(getattr(algorithm, "evaluator", None), "n_eval", None)
    seed = getattr(algorithm, "seed", None)
    run = nameless(
        F,
        "a pymoo Result",
        CV=CV,
        X=X,
        owner=f"the Result of {name}",
        seed=int(seed) if isinstance(seed, int | np.integer) else None,
        evaluated=bool(evaluated) or unbounded,
        history=history,
        n_eval=len(F) if evaluated else n_eval,
        seconds=result.exec_time,
        **traits(problem),
    )
    plain = isinstance(problem, FunctionProblem)
    title = problem.name() if plain else type(problem).__name__
    kind = kind_of(title, problem.n_var, n_obj, getattr(problem, "version", None))
    return RunDraft(run, title, name, (kind, ""))


def of_minimize(result: MinimizeResult, senses: Mapping[str, float] | None = None) -> RunDraft:
    """Return the run of a call of `moela.minimize`, with all evaluations."""
    run = Result()
    run.problem, run.algorithm, run.exec_time = result.problem, result.algorithm, None
    run.history = [SimpleNamespace(pop=None, off=result.population)]
    draft = replace(of_result(run, senses), problem=result.problem.name())
    if result.algorithm is None and result._made_by is not None:
        name, seed, source = result._made_by
        read = replace(draft.run, seed=seed, source=source)
        draft = replace(draft, algorithm=name, run=read)
    else:
        draft = replace(draft, run=replace(draft.run, source="a result of moela.minimize"))
    left_out, n_failed = dict(draft.run.left_out), len(result.failures)
    left_out["not finite"] = left_out.get("not finite", 0) - n_failed
    counts = {"failed": n_failed, **left_out}
    counts = {reason: n for reason, n in counts.items() if n > 0}
    return replace(draft, run=replace(draft.run, left_out=counts))


def _check_objectives(senses: Mapping[str, float] | None, problem: Problem, source: str) -> None:
    """Raise a ValueError if objectives differ from those of a problem, if it names them."""
    names, signs = traits(problem).get("names", ()), ProblemView(problem).signs.tolist()
    check_objectives(senses, dict(zip(names, signs, strict=False)), source)


def _individuals(individuals: list[Individual], n_obj: int) -> tuple[Floats, Floats, NDArray[Any]]:
    lost = np.full(n_obj, np.nan)
    wrong = [bool(np.any(failed(Population([ind])))) or len(ind.F) != n_obj for ind in individuals]
    checked = list(zip(individuals, wrong, strict=True))
    F = [lost if bad else ind.F for ind, bad in checked]
    CV = [0.0 if bad else float(ind.CV[0]) for ind, bad in checked]
    return np.array(F, dtype=float), np.array(CV), rows([ind.X for ind in individuals])


def of_run(run: files.Run) -> RunDraft:
    """Return a run of an experiment, with the objectives of a plain function."""
    senses = objectives_in(run.settings.get("problem", {}))
    owner = str(run.key) if run.path is None else f"{run.key} in {run.path}"
    compared = nameless(
        run.front_F,
        str(run.key) if run.path is None else str(run.path),
        X=run.front_X,
        owner=owner,
        seed=run.seed,
        evaluated=True,
        history=History(run.n_eval, run.scored_F),
        n_eval=run.n_eval,
        seconds=run.seconds["wall"],
        ref_point=run.ref_point,
        names=tuple(senses) or None,
        signs=tuple(senses.values()) or None,
        about={"budget": run.budget} | dict(run.provenance),
    )
    # The front does not tell of evaluations that are no points.
    F = run.F
    refuse_endless(owner, F)
    if n := int((~np.isfinite(F)).any(axis=1).sum()):
        compared = replace(compared, left_out={"not finite": n, **compared.left_out})
    return RunDraft(compared, run.problem, run.algorithm)


def of_experiment(results: ExperimentResults) -> list[RunDraft]:
    """Return the runs of an experiment; an algorithm with several budgets is several."""
    budgets: dict[tuple[str, str], set[int]] = {}
    for run in results.runs:
        budgets.setdefault((run.problem, run.algorithm), set()).add(run.budget)
    return [
        replace(of_run(run), algorithm=f"{run.algorithm} @{run.budget}")
        if len(budgets[run.problem, run.algorithm]) > 1
        else of_run(run)
        for run in results.runs
    ]


def of_store(store: EvaluationStore, senses: Mapping[str, float] | None = None) -> list[RunDraft]:
    """Return the runs of a store that have evaluated something."""
    out: list[RunDraft] = []
    earlier: set[str] = set()
    for run in store.runs():
        problem = json.dumps(definition(run.problem), sort_keys=True)
        if run.n_eval:
            out.append(_of_stored(store, run, senses, after_others=problem in earlier))
            earlier.add(problem)
    return out


def _of_stored(
    store: EvaluationStore,
    run: StoredRun,
    senses: Mapping[str, float] | None,
    *,
    after_others: bool,
) -> RunDraft:
    n_obj = run.problem.get("n_obj")
    if n_obj == 1:
        raise ValueError(
            f"{store.path}: run {run.id}: must have two or more objectives, since fronts are "
            "compared. Got one; compare the best values of the runs instead, each of which is "
            f"moela.MinimizeResult.from_store({str(store.path)!r}, {run.id}).best."
        )
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
            G, H = (np.empty(0) if v is None else v for v in (e.G, e.H))
            feasible[e.n] = bool(calc_cv(G=G, H=H) <= 0)
    # Results that were known before are not stored again, so they have no time. They may be those
    # of an earlier run.
    borrowed = int(np.isneginf(ended).sum()) if after_others else 0
    seconds = np.maximum(np.maximum.accumulate(ended), 0.0)
    scored = np.where(feasible[:, None], F, np.nan)
    index = np.flatnonzero(np.isfinite(F).all(axis=1))
    model = stored_problem(run, store.path)
    _check_objectives(senses, model, f"run {run.id} in {store.path}")
    about: dict[str, object] = {
        "settings": run.settings,
        "versions": run.versions,
        "date": run.updated,
    }
    if unnamed_in(model):
        about["unnamed"] = True
    compared = nameless(
        F[index],
        f"{store.path}, run {run.id}",
        CV=~feasible[index],
        X=rows([X[i] for i in index]) if len(index) else None,
        seed=run.seed,
        evaluated=True,
        history=History(run.n_eval, lambda: scored, seconds),
        n_eval=run.n_eval,
        seconds=run.elapsed,
        borrowed=borrowed,
        about=about,
        **traits(model),
    )
    if run.n_failed:
        compared = replace(compared, left_out={**compared.left_out, "failed": run.n_failed})
    title = shown_name(run.problem)
    kind = kind_of(title, run.problem.get("n_var", 0), n_obj, run.problem.get("version"))
    settings = json.dumps(definition(run.problem), sort_keys=True)
    maker = json.dumps(run.algorithm, sort_keys=True)
    return RunDraft(compared, title, shown_name(run.algorithm), (kind, settings), maker)


def of_path(path: Path, senses: Mapping[str, float] | None = None) -> list[RunDraft]:
    """Return the runs in a file or folder of any accepted kind; see `read_front_file`."""
    if path.is_dir():
        if (path / "front.csv").exists():
            return _of_folder(path, senses)
        if any(path.glob("*.npz")):
            return of_experiment(ExperimentResults.load(path))
        if stores := stores_in(path):
            words = " ".join(f"{store.stem}={store}" for store in stores)
            return of_path(only_store(path, f"Name each: `moela compare {words}`."), senses)
        raise ValueError(
            f"{path}: expected a folder of an experiment (*.npz), of `moela run` (front.csv), or "
            "with a store. Got none of these; check the path."
        )
    program, _, name = str(path).partition(".py:")
    if (path.suffix == ".py" and path.exists()) or (name and Path(f"{program}.py").exists()):
        command = f"moela run {path if name else f'{path}:NAME'} --evals 300 --out result/"
        raise ValueError(
            f"{path}: expected {_EXPECTED}. Got a Python program instead; run it first "
            f"(`{command}`), and compare the folders of the results."
        )
    if not path.exists():
        raise ValueError(f"There is no file or folder {path}; check the path.")
    with open_file(path) as file:
        start = file.read(16)
    if start.startswith(MAGIC):
        with EvaluationStore(path) as store:
            return of_store(store, senses)
    if path.suffix.lower() == ".json" or _JSON.match(start):
        raise ValueError(
            f"{path}: expected {_EXPECTED}. Got JSON, which does not say which numbers are "
            'objectives; give the result itself, a store (store="run.db"), or '
            'result.save("front.csv") with objectives= (--objectives).'
        )
    try:
        if start.startswith(b"PK"):
            return [of_run(files.Run.load(path))]
        return _of_front_file(path, senses)
    except ValueError as error:
        if path.suffix.lower() == ".npz":
            raise ValueError(
                f"{str(error).removesuffix(files.ADVICE)} The file is damaged, or is not a run of "
                "an experiment. Points of your own are read from .npy or CSV."
            ) from None
        if path.suffix.lower() in _SUFFIXES:
            raise
        got = f"a file that is none of these, or a damaged one: {error}"
        if start.startswith(b"PK"):
            got = "a ZIP archive or a workbook instead."
        raise ValueError(
            f"{path}: expected {_EXPECTED}. Got {got} Give the store or the folder of the run, or "
            "save points as CSV."
        ) from None


def _of_folder(folder: Path, senses: Mapping[str, float] | None) -> list[RunDraft]:
    """Return the run in a folder of `moela run`: everything evaluated, or else the front."""
    front, everything = folder / "front.csv", folder / "evaluations.csv"
    record = folder / "run.json"
    if not record.exists() or not signs_of(record):  # nothing says which columns are objectives
        return _of_front_file(front, senses)
    if not everything.exists():
        why = f"there is no {everything}"
    else:
        try:
            return [_sorted(draft) for draft in _of_front_file(everything, senses)]
        except ValueError as error:  # such as a table that is too large
            why = str(error).removesuffix(".")
    drafts = _of_front_file(front, senses)
    return [replace(draft, run=replace(draft.run, no_history=why)) for draft in drafts]


def _sorted(draft: RunDraft) -> RunDraft:
    """Return a run with its front in the order of front.csv, best first in the first objective."""
    run = draft.run
    order = np.lexsort(run.F.T[::-1])
    X = None if run.X is None else run.X[order]
    return replace(draft, run=replace(run, F=run.F[order], X=X))


def _of_front_file(path: Path, senses: Mapping[str, float] | None) -> list[RunDraft]:
    place = path.absolute()
    inner = place.parent if path.name in OF_A_RUN else place.with_name(place.stem)
    title = tuple(part for part in reversed(inner.parts) if part != inner.anchor)
    return [replace(draft, title=title) for draft in read_front_file(path, senses)]
