"""The run.json that `moela run` writes beside a front: whose the front is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from moela._arrays import Floats
from moela.comparison.read.drafts import RunDraft, kind_of
from moela.files.fields import number_in, object_in, text_in, whole_in
from moela.files.guard import brief, invalid_file
from moela.files.text import read_json
from moela.quality.runs import ComparedRun

__all__ = ["signs_of", "with_record"]

_ABOUT = ("command", "settings", "versions", "date", "machine")


def signs_of(path: Path) -> dict[str, float]:
    """Return 1 for each minimized objective of a run.json by name, and -1 for each maximized one.

    Version 0.1 wrote no senses of objectives, and no columns but objectives and variables; then it
    is empty.
    """
    return _senses(path, _problem(path, read_json(path)))


def with_record(drafts: list[RunDraft], path: Path) -> list[RunDraft]:
    """Return runs with the attributes that their run.json names; labels in the table count more.

    A ValueError names the file and the field that is no such attribute.
    """
    content = read_json(path)
    if not isinstance(content, dict):
        raise invalid_file(path, brief(content), "a JSON object")
    record: dict[str, object] = content
    settings = object_in(path, "settings", record.setdefault("settings", {}))
    problem = _problem(path, record)
    senses = _senses(path, problem)
    versions = object_in(path, "versions", record.get("versions", {}))
    for package, version in versions.items():
        text_in(path, f"versions.{package}", version)
    n_obj = drafts[0].run.F.shape[1]
    name, version = (_text(path, f"problem.{k}", problem.get(k)) for k in ("name", "version"))
    algorithm = _text(path, "settings.algorithm", settings.get("algorithm"))
    if algorithm is None and "algorithm" in settings and n_obj > 1:
        algorithm = "moela"  # the default, which earlier versions wrote as null
    seed = _whole(path, "settings.seed", settings.get("seed"))
    seconds = record.get("seconds")
    known: dict[str, Any] = {
        "n_eval": _whole(path, "n_eval", record.get("n_eval"), 0),
        "seconds": None if seconds is None else number_in(path, "seconds", seconds, 0.0),
        "ref_point": _ref_point(path, record, drafts[0].run.names or (), n_obj),
        # Fronts of version 0.1, which wrote no senses, are what the algorithm returned. That of
        # MOELA is everything non-dominated; the others have a population or a bounded archive.
        "evaluated": bool(senses) or algorithm in ("moela", "moela-published"),
        "about": {k: record[k] for k in _ABOUT if k in record} | {"version": version},
    }
    out = []
    for draft in drafts:
        own = draft.run.seed if draft.run.seed is not None or len(drafts) > 1 else seed
        title = draft.problem or name
        kind = "" if title is None else kind_of(title, 0, n_obj, version)
        run = _as_recorded(replace(draft.run, seed=own, **known), record.get("feasible"))
        if run.ref_point is not None and senses:
            signs = np.array([senses.get(name, 1.0) for name in run.names or ()])
            run = replace(run, ref_point=signs * run.ref_point)
        maker = draft.algorithm or algorithm
        out.append(replace(draft, run=run, problem=title, algorithm=maker, kind=(kind, "")))
    return out


def _as_recorded(run: ComparedRun, feasible: object) -> ComparedRun:
    """Return a run without what its record shows to be no evaluation of it, or no front."""
    history = run.history
    if history is None and feasible is False:  # then front.csv holds the least violating designs
        X = None if run.X is None else run.X[:0]
        run = replace(run, F=run.F[:0], X=X, left_out={"infeasible": len(run.F)})
    if history is not None and run.n_eval not in (None, history.n_eval):
        why = (
            f"it has {history.n_eval:,} rows and run.json counts {run.n_eval:,} evaluations, so "
            "that rows with known results are among them"
        )
        run = replace(run, history=None, no_history=why)
    return run


def _problem(path: Path, content: object) -> dict[str, object]:
    record = content if isinstance(content, dict) else {}
    return object_in(path, "problem", record.setdefault("problem", {}))


def _senses(path: Path, problem: dict[str, object]) -> dict[str, float]:
    if problem.get("senses") is None:
        return {}
    out = {}
    for field in ("objectives", "senses"):
        if not isinstance(problem.get(field), list):
            raise invalid_file(path, brief(problem.get(field)), "a list", f"problem.{field}")
    names, senses = problem["objectives"], problem["senses"]
    if len(names) != len(senses):  # type: ignore[arg-type]
        expected = "as long as the list of objectives"
        raise invalid_file(path, brief(senses), expected, "problem.senses")
    for name, sense in zip(names, senses, strict=True):  # type: ignore[call-overload]
        if sense not in ("min", "max"):
            raise invalid_file(path, brief(sense), "'min' or 'max'", "problem.senses")
        out[text_in(path, "problem.objectives", name)] = 1.0 if sense == "min" else -1.0
    return out


def _ref_point(
    path: Path, record: dict[str, object], names: tuple[str, ...], n_obj: int
) -> Floats | None:
    name = "ref_point" if "ref_point" in record else "reference"  # its name in version 0.1
    if record.get(name) is None:
        return None
    given = object_in(path, name, record[name])
    values = {key: number_in(path, f"{name}.{key}", value) for key, value in given.items()}
    if len(values) != n_obj:
        raise invalid_file(path, len(values), f"{n_obj} numbers, one per objective", name)
    if names and values.keys() != set(names):
        expected = f"a number for each objective: {', '.join(names)}"
        raise invalid_file(path, brief(", ".join(values)), expected, name)
    return np.array([values[key] for key in names or values])


def _text(path: Path, field: str, value: object) -> str | None:
    return None if value is None else text_in(path, field, value)


def _whole(path: Path, field: str, value: object, low: int = -(2**63)) -> int | None:
    return None if value is None else whole_in(path, field, value, low)
