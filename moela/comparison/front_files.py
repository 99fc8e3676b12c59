"""Fronts in text files: the folder that `moela run` leaves, CSV, tables with blank lines."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_VARIABLE = re.compile(r"x_?\d+$", re.IGNORECASE)
_ABOUT = ("command", "settings", "versions", "date", "machine")
_OBJECTIVE = re.compile(r"f_?\d+$", re.IGNORECASE)


@dataclass(frozen=True)
class FrontFile:
    """One set of points of a file, and what is said about it.

    Attributes
    ----------
    F : float array, [n, M]
    X : float array, [n, n_var], or None
    names : tuple of str or None
        Of the objectives, where the file has a heading.
    algorithm, problem, version : str or None
    seed, n_eval : int or None
    seconds : float or None
    ref_point : float array [M] or None
    evaluated : bool or None
        Whether the points are the non-dominated part of everything evaluated; None if unknown.
    about : dict
        Settings and versions, as they were written down.
    """

    F: Floats
    X: Floats | None = None
    names: tuple[str, ...] | None = None
    algorithm: str | None = None
    problem: str | None = None
    version: str | None = None
    seed: int | None = None
    n_eval: int | None = None
    seconds: float | None = None
    ref_point: Floats | None = None
    evaluated: bool | None = None
    about: Mapping[str, Any] = field(default_factory=dict)


def read_front_file(path: Path) -> list[FrontFile]:
    """Read the sets of points in a text file.

    Rows hold numbers, separated by commas, semicolons, tabs or blanks. Lines that start with ``#``
    are skipped. A blank line begins another set, that of another run. With a heading, columns named
    ``x0``, ``x1``, ... are variables, and the others are objectives; or, where some are named
    ``f0``, ``f1``, ..., these. A ``run.json`` beside a ``front.csv``, as `moela run` writes it,
    says more.

    Raises
    ------
    ValueError
        The file is no such table; the message names file, line, what was expected and what came.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path}: expected a store, an experiment, or a table of numbers as text. Got a file "
            f"that is none of these ({error.reason} at byte {error.start})."
        ) from error
    heading, sets = _tables(path, lines)
    objectives, variables = _columns(path, heading, sets[0].shape[1])
    record = _record(path.with_name("run.json")) if path.name == "front.csv" else {}
    said = _said(path.with_name("run.json"), record, len(objectives))
    names = None if heading is None else tuple(heading[j] for j in objectives)
    return [
        FrontFile(
            F=table[:, objectives],
            X=table[:, variables] if variables else None,
            names=names,
            **(said if len(sets) == 1 else {k: v for k, v in said.items() if k != "seed"}),
        )
        for table in sets
    ]


def _tables(path: Path, lines: list[str]) -> tuple[list[str] | None, list[Floats]]:
    heading: list[str] | None = None
    sets: list[list[list[float]]] = [[]]
    width = None
    for number, line in enumerate(lines, 1):
        text = line.strip()
        if text.startswith("#"):
            continue
        if not text:
            if sets[-1]:
                sets.append([])
            continue
        cells = _cells(text)
        if heading is None and width is None and not all(_is_number(cell) for cell in cells):
            heading, width = cells, len(cells)
            continue
        if not all(_is_number(cell) for cell in cells) or len(cells) != (width or len(cells)):
            raise ValueError(
                f"{path}: line {number}: expected {width or 'some'} numbers, got {text[:80]!r}."
            )
        width = len(cells)
        sets[-1].append([float(cell) for cell in cells])
    if heading is not None and not any(sets):
        return heading, [np.empty((0, len(heading)))]
    full = [np.array(rows, dtype=float) for rows in sets if rows]
    if not full:
        raise ValueError(f"{path}: expected rows of numbers, got an empty file.")
    return heading, full


def _cells(text: str) -> list[str]:
    separator = next((s for s in (",", ";", "\t") if s in text), None)
    return [cell.strip().strip('"') for cell in text.split(separator)]


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _columns(path: Path, heading: list[str] | None, width: int) -> tuple[list[int], list[int]]:
    if heading is None:
        return list(range(width)), []
    variables = [j for j, name in enumerate(heading) if _VARIABLE.match(name)]
    objectives = [j for j, name in enumerate(heading) if _OBJECTIVE.match(name)]
    if not objectives:
        objectives = [j for j in range(width) if j not in variables]
    if len(objectives) < 2:
        raise ValueError(
            f"{path}: line 1: expected at least two columns of objectives (f0, f1, ..., or any "
            f"names but x0, x1, ...), got {', '.join(heading)[:80]}."
        )
    return objectives, variables


def _record(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: expected JSON, got {error}.") from error
    if not isinstance(record, dict):
        raise ValueError(f"{path}: expected a JSON object, got {type(record).__name__}.")
    return record


def _said(path: Path, record: dict[str, Any], n_obj: int) -> dict[str, Any]:
    """Return what a run.json says about its front, checked."""
    if not record:
        return {}
    settings, problem = record.get("settings", {}), record.get("problem", {})
    for name, part in (("settings", settings), ("problem", problem)):
        if not isinstance(part, dict):
            raise ValueError(f"{path}: {name}: expected an object, got {type(part).__name__}.")
    reference = record.get("reference")
    point = None
    if isinstance(reference, dict):
        point = np.array([_number(path, "reference", v) for v in reference.values()])
        if point.shape != (n_obj,):
            raise ValueError(f"{path}: reference: expected {n_obj} numbers, got {len(point)}.")
    seconds = record.get("seconds")
    algorithm = settings.get("algorithm")
    return {
        "algorithm": None if algorithm is None else str(algorithm),
        "problem": None if problem.get("name") is None else str(problem["name"]),
        "version": None if problem.get("version") is None else str(problem["version"]),
        "seed": _whole(path, "settings.seed", settings.get("seed")),
        "n_eval": _whole(path, "n_eval", record.get("n_eval")),
        "seconds": None if seconds is None else _number(path, "seconds", seconds),
        "ref_point": point,
        # MOELA returns all that is non-dominated, the others a population or a bounded archive.
        "evaluated": algorithm in ("moela", "moela-published"),
        "about": {k: record[k] for k in _ABOUT if k in record}
        | {"version": problem.get("version")},
    }


def _number(path: Path, name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not np.isfinite(value):
        raise ValueError(f"{path}: {name}: expected a finite number, got {str(value)[:40]!r}.")
    return float(value)


def _whole(path: Path, name: str, value: Any) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"{path}: {name}: expected an integer, got {str(value)[:40]!r}.")
    return value
