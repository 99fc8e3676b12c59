"""`read`: from anything that `moela.compare` accepts to runs with names."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

import numpy as np
from pymoo.core.population import Population
from pymoo.core.result import Result

from moela.comparison.read.drafts import RunDraft, nameless, one_batch, same_kind
from moela.comparison.read.files import read_frame
from moela.comparison.read.sources import (
    of_experiment,
    of_front,
    of_minimize,
    of_path,
    of_result,
    of_run,
    of_store,
)
from moela.comparison.read.studies import is_study, of_study
from moela.evaluation.storage.reader import EvaluationStore
from moela.experiments import files
from moela.experiments.results import ExperimentResults
from moela.functions.results.result import MinimizeResult
from moela.quality.front import Front
from moela.quality.runs import ComparedRun

ACCEPTED = (
    "results of moela.minimize, pymoo Results, arrays [n, M], Fronts, DataFrames, studies of "
    "Optuna, runs of an experiment, ExperimentResults, EvaluationStores, paths of these, lists of "
    "them, or a dict of them by algorithm, or by problem and algorithm"
)


Senses: TypeAlias = "Mapping[str, float] | None"
"""Objectives by name: 1 to minimize, -1 to maximize. They are columns of a table."""


def read(results: object, senses: Senses = None) -> list[ComparedRun]:
    """Return the runs in any object that `moela.compare` accepts, with names."""
    if isinstance(results, list | tuple | dict) and not results:
        raise ValueError(
            "The 'results' parameter of compare must hold at least one run. Got an empty "
            f"{type(results).__name__} instead."
        )
    if isinstance(results, Mapping):
        if not all(_is_by_name(value) for value in results.values()):
            drafts = _by_algorithm(results, senses)
        else:
            _check_names(results)
            drafts = [
                replace(draft, problem=str(problem), kind=("", ""))
                for problem, group in results.items()
                for draft in _by_algorithm(group, senses)
            ]
    elif isinstance(results, list | tuple | np.ndarray) and _is_list_of_runs(results):
        drafts = _apart([_drafts(item, senses) for item in results])
    else:
        drafts = _drafts(results, senses)
    if not drafts:
        raise ValueError(f"There is nothing to compare. Pass {ACCEPTED}.")
    return _name_algorithms(_name_problems(drafts))


def _is_by_name(value: object) -> bool:
    return isinstance(value, Mapping) and all(isinstance(key, str) for key in value)


def _check_names(group: Mapping[object, object]) -> None:
    """Refuse names that are the same as texts, such as 1 and "1"."""
    known: dict[str, object] = {}
    for name in group:
        twin = known.setdefault(str(name), name)
        if twin is not name:
            raise ValueError(
                f"Algorithms and problems must have different names as texts. Got {twin!r} and "
                f"{name!r} instead; rename one."
            )


def _by_algorithm(group: Mapping[object, object], senses: Senses) -> list[RunDraft]:
    """Read runs by name of the algorithm."""
    _check_names(group)
    out = []
    for name, value in group.items():
        drafts = _drafts(value, senses)
        if not drafts:
            raise ValueError(f"There is no run of {name!r}. Leave it out, or pass {ACCEPTED}.")
        if len({(draft.algorithm, draft.maker) for draft in drafts}) == 1:
            out += [replace(draft, algorithm=str(name), maker="") for draft in drafts]
        else:
            out += [replace(draft, algorithm=f"{name}: {draft.algorithm}") for draft in drafts]
    return out


def _drafts(value: object, senses: Senses) -> list[RunDraft]:
    """Read one or several runs."""
    if isinstance(value, Mapping):  # by seed
        return [
            replace(draft, run=replace(draft.run, seed=_seed(seed)))
            for seed, run in value.items()
            for draft in _drafts(run, senses)
        ]
    if isinstance(value, Result):
        return [of_result(value, senses)]
    if isinstance(value, MinimizeResult):
        return [of_minimize(value, senses)]
    if is_study(value):
        return [of_study(value, senses)]
    if isinstance(value, files.Run):
        return [of_run(value)]
    if isinstance(value, ExperimentResults):
        return of_experiment(value)
    if isinstance(value, EvaluationStore):
        return of_store(value, senses)
    if isinstance(value, str | os.PathLike):
        return of_path(Path(value).expanduser(), senses)
    if isinstance(value, Population):
        F, CV, X = value.get("F"), value.get("CV"), value.get("X")
        total = np.asarray(CV)[:, 0] if len(value) else None
        return [RunDraft(nameless(F, "a Population", CV=total, X=X))]
    if isinstance(value, Front):
        return [of_front(value)]
    if hasattr(value, "columns") and hasattr(value, "itertuples"):
        return read_frame(value, senses)
    if isinstance(value, list | tuple | np.ndarray) and _is_list_of_runs(value):
        return [draft for item in value for draft in _drafts(item, senses)]
    if isinstance(value, list | tuple) or hasattr(value, "__array__"):
        points = value if isinstance(value, np.ndarray | list | tuple) else np.asarray(value)
        several = isinstance(points, np.ndarray) and points.ndim == 3
        fronts = points if several else [points]
        return one_batch(RunDraft(nameless(F, "an array")) for F in fronts)
    raise ValueError(
        f"The 'results' parameter of compare must be {ACCEPTED}. Got {type(value).__name__} "
        "instead."
    )


def _is_list_of_runs(value: list[object] | tuple[object, ...] | np.ndarray) -> bool:
    """Tell whether a sequence holds runs; a list of points of numbers is one run."""
    if isinstance(value, Population):  # an array of individuals
        return False
    if isinstance(value, np.ndarray):
        return value.dtype == object and value.ndim == 1
    return not all(_is_point(item) for item in value)


def _is_point(item: object) -> bool:
    if isinstance(item, np.ndarray):
        return item.ndim == 1 and item.dtype.kind in "fiu"
    if not isinstance(item, list | tuple) or not item:
        return False
    return all(isinstance(v, int | float | np.number) for v in item)


def _seed(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise ValueError(
            "Runs in a dict below the algorithm must be by seed, an integer. Got the key "
            f"{value!r} instead. Use {{algorithm: runs}} or {{problem: {{algorithm: runs}}}}."
        )
    return int(value)


def _apart(groups: list[list[RunDraft]]) -> list[RunDraft]:
    """Give runs of different sources with the same names and seeds different names."""
    keys = [
        {(d.problem, d.algorithm, d.run.seed) for d in group if d.run.seed is not None}
        for group in groups
    ]
    clash = [
        any(keys[i] & other for j, other in enumerate(keys) if j != i) for i in range(len(groups))
    ]
    marks = [_mark(group, i) for i, group in enumerate(groups)]
    if len({mark for mark, clashes in zip(marks, clash, strict=True) if clashes}) < sum(clash):
        marks = [str(i + 1) for i in range(len(groups))]
    return [
        replace(draft, algorithm=f"{draft.algorithm} ({mark})") if clashes else draft
        for group, mark, clashes in zip(groups, marks, clash, strict=True)
        for draft in group
    ]


def _mark(group: list[RunDraft], position: int) -> str:
    """Return the folder or file that runs come from, or their position without one."""
    sources = {draft.run.source for draft in group}
    paths = {Path(source.partition(", run ")[0]) for source in sources if os.sep in source}
    folders = {p.parent.name if p.suffix in (".npz", ".csv") else p.stem for p in paths}
    return folders.pop() if len(folders) == 1 else str(position + 1)


def _name_problems(drafts: list[RunDraft]) -> list[RunDraft]:
    """Give problems of one class, but of other sizes or settings, different names."""
    known: dict[str, list[tuple[str, str]]] = {}
    out = []
    for draft in drafts:
        problem = draft.problem
        if problem is not None and draft.kind != ("", ""):
            kinds = known.setdefault(problem, [])
            number, kind = next(
                (
                    (i, both)
                    for i, kind in enumerate(kinds)
                    if (both := same_kind(kind, draft.kind))
                ),
                (len(kinds), draft.kind),
            )
            kinds[number : number + 1] = [kind]
            if number > 0:
                draft = replace(draft, problem=f"{problem} ({number + 1})")
        out.append(draft)
    names = list(dict.fromkeys(d.problem for d in out if d.problem is not None))
    if len(names) > 1 and any(d.problem is None for d in out):
        raise ValueError(
            "Some of the runs to compare are plain points, and the others are of several problems: "
            f"{', '.join(names)}. Say which is of which: "
            '{"problem": {"algorithm": runs}}.'
        )
    only = names[0] if names else "problem"
    return [d if d.problem is not None else replace(d, problem=only) for d in out]


def _name_algorithms(drafts: list[RunDraft]) -> list[ComparedRun]:
    """Name nameless algorithms, and give those of one class but of other settings their own."""
    makers: dict[str, list[str]] = {}
    batches = _name_batches([d for d in drafts if d.algorithm is None])
    out = []
    for draft in drafts:
        name = batches[draft.batch] if draft.algorithm is None else draft.algorithm
        if draft.maker:
            known = makers.setdefault(name, [])
            if draft.maker not in known:
                known.append(draft.maker)
            if (number := known.index(draft.maker) + 1) > 1:
                name = f"{name} ({number})"
        out.append(replace(draft.run, problem=str(draft.problem), algorithm=name))
    return out


def _name_batches(drafts: list[RunDraft]) -> dict[object, str]:
    """Name points by the file that they come from, and arrays by their position."""
    titles = {draft.batch: draft.title for draft in drafts}
    plain = [batch for batch, title in titles.items() if not title]
    names = {b: "front" if len(plain) == 1 else f"front {k}" for k, b in enumerate(plain, 1)}
    for batch, title in titles.items():
        if title:
            others = [other for key, other in titles.items() if key != batch]
            depth = 1
            while any(o != title and o[:depth] == title[:depth] for o in others):
                depth += 1
            name = "/".join(reversed(title[:depth]))
            names[batch] = f"{name} ({len(names) + 1})" if title in others else name
    return names
