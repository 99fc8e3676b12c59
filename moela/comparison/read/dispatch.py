"""Reading whatever people hand in to be compared: results, arrays, experiments, stores, files."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from pymoo.core.population import Population
from pymoo.core.result import Result

from moela.comparison.read.files import read_frame
from moela.comparison.read.sources import (
    Found,
    of_experiment,
    of_front,
    of_parts,
    of_path,
    of_points,
    of_result,
    of_run,
    of_store,
    one_batch,
)
from moela.evaluation.storage.reader import EvaluationStore
from moela.experiments import files
from moela.experiments.results import ExperimentResults
from moela.quality.front import Front
from moela.quality.runs import ComparedRun

ACCEPTED = (
    "pymoo Results, arrays [n, M], Fronts, DataFrames, runs of an experiment, ExperimentResults, "
    "EvaluationStores, paths of these, lists of them, or a dict of them by algorithm, or by "
    "problem and algorithm"
)


def read(results: Any) -> list[ComparedRun]:
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


def _mapping(group: Mapping[Any, Any]) -> list[Found]:
    """Read runs by name of the algorithm."""
    out = []
    for name, value in group.items():
        found = _runs(value)
        kinds = {(f.algorithm, f.maker) for f in found}
        if not found:
            raise ValueError(f"There is no run of {name!r}. Leave it out, or pass {ACCEPTED}.")
        if len(kinds) == 1:
            out += [replace(f, algorithm=str(name), maker="") for f in found]
        else:
            out += [replace(f, algorithm=f"{name}: {f.algorithm}") for f in found]
    return out


def _runs(value: Any) -> list[Found]:
    """Read one run, or several of them."""
    if isinstance(value, Mapping):  # by seed
        return [
            replace(f, outcome=replace(f.outcome, seed=_seed(seed)))
            for seed, run in value.items()
            for f in _runs(run)
        ]
    if isinstance(value, Result):
        return [of_result(value)]
    if isinstance(value, files.Run):
        return [of_run(value)]
    if isinstance(value, ExperimentResults):
        return of_experiment(value)
    if isinstance(value, EvaluationStore):
        return of_store(value)
    if isinstance(value, str | os.PathLike):
        return of_path(Path(value).expanduser())
    if isinstance(value, Population):
        F, CV, X = value.get("F"), value.get("CV"), value.get("X")
        return [of_points(F, "a Population", CV=np.asarray(CV)[:, 0] if len(value) else None, X=X)]
    if isinstance(value, Front):
        return [of_front(value)]
    if hasattr(value, "columns") and hasattr(value, "itertuples"):
        return of_parts(read_frame(value), "a DataFrame")
    if _is_list(value):
        return [found for item in value for found in _runs(item)]
    if isinstance(value, list | tuple) or hasattr(value, "__array__"):
        points = value if isinstance(value, np.ndarray | list | tuple) else np.asarray(value)
        several = isinstance(points, np.ndarray) and points.ndim == 3
        return one_batch(of_points(F, "an array") for F in (points if several else [points]))
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
    if isinstance(item, np.ndarray):
        return item.ndim == 1 and item.dtype.kind in "fiu"
    plain = isinstance(item, list | tuple) and len(item) > 0
    return plain and all(isinstance(v, int | float | np.number) for v in item)


def _seed(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise ValueError(
            "Runs in a dict below the algorithm must be by seed, an integer. Got the key "
            f"{value!r} instead. Use {{algorithm: runs}} or {{problem: {{algorithm: runs}}}}."
        )
    return int(value)


# ------------------------------------------------------------------------------------------- names


def _apart(groups: list[list[Found]]) -> list[Found]:
    """Keep runs of different sources apart that have the same names and seeds."""
    keys = [
        {(f.problem, f.algorithm, f.outcome.seed) for f in group if f.outcome.seed is not None}
        for group in groups
    ]
    clash = [
        any(keys[i] & other for j, other in enumerate(keys) if j != i) for i in range(len(groups))
    ]
    marks = [_mark(group, i) for i, group in enumerate(groups)]
    if len({mark for mark, clashes in zip(marks, clash, strict=True) if clashes}) < sum(clash):
        marks = [str(i + 1) for i in range(len(groups))]
    return [
        replace(f, algorithm=f"{f.algorithm} ({mark})") if clashes else f
        for group, mark, clashes in zip(groups, marks, clash, strict=True)
        for f in group
    ]


def _mark(group: list[Found], position: int) -> str:
    """Return the folder or file that runs come from; their place where there isn't one."""
    sources = {f.outcome.source for f in group}
    paths = {Path(source.partition(", run ")[0]) for source in sources if os.sep in source}
    folders = {p.parent.name if p.suffix in (".npz", ".csv") else p.stem for p in paths}
    return folders.pop() if len(folders) == 1 else str(position + 1)


def _name_problems(found: list[Found]) -> list[Found]:
    """Give runs of problems of one class, but of other sizes or settings, names of their own."""
    number: dict[tuple[str, str], int] = {}
    known: dict[str, list[tuple[str, str]]] = {}
    out = []
    for f in found:
        if f.problem is not None and f.kind != ("", ""):
            kinds = known.setdefault(f.problem, [])
            same = (
                k for k in kinds if k[0] == f.kind[0] and (not f.kind[1] or k[1] in ("", f.kind[1]))
            )
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


def _name_algorithms(found: list[Found]) -> list[ComparedRun]:
    """Name those without a name, and give those of one class, but of other settings, their own."""
    makers: dict[str | None, list[str]] = {}
    batches = _name_batches([f for f in found if f.algorithm is None])
    out = []
    for f in found:
        name = batches[f.batch] if f.algorithm is None else f.algorithm
        if f.maker:
            known = makers.setdefault(name, [])
            if f.maker not in known:
                known.append(f.maker)
            if (number := known.index(f.maker) + 1) > 1:
                name = f"{name} ({number})"
        out.append(replace(f.outcome, problem=str(f.problem), algorithm=name))
    return out


def _name_batches(nameless: list[Found]) -> dict[Any, str]:
    """Name points by the file that they come from, and arrays by their place."""
    titles = {f.batch: f.title for f in nameless}
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
