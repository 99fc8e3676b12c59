"""Fronts in text files: the folder that `moela run` leaves, CSV, tables with blank lines."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from moela._arrays import Floats

_VARIABLE = re.compile(r"x_?\d+$", re.IGNORECASE)
# Columns that say whose the points of a row are.
_LABELS = ("algorithm", "problem", "seed")
_ABOUT = ("command", "settings", "versions", "date", "machine")
_INDEX = re.compile(r"(Unnamed: \d+)?$")
_OBJECTIVE = re.compile(r"f_?\d+$", re.IGNORECASE)


@dataclass(frozen=True)
class FrontFile:
    """One set of points of a file, and what is said about it.

    Attributes
    ----------
    F : float array, [n, M]
    X : array [n, n_var] of numbers, truths or texts, or None
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
    X: NDArray[Any] | None = None
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
    """Read the sets of points in a text file, or in a numpy file of an array.

    Rows hold numbers, separated by commas, semicolons, tabs or blanks; with semicolons or tabs the
    decimal sign may be a comma. An empty cell is a value that nobody knows, as NaN is. Lines that
    start with ``#`` are skipped. A blank line begins another set, that of another run. With a
    heading, columns named ``x0``, ``x1``, ... are variables, those named ``algorithm``,
    ``problem`` and ``seed`` say whose points a row's are, one without a name is an index, and the
    others are objectives; or, where some are named ``f0``, ``f1``, ..., these. A ``run.json``
    beside a ``front.csv``, as `moela run` writes it, says more. An array in a ``.npy`` file is
    [n, M] or, for s runs, [s, n, M].

    Raises
    ------
    ValueError
        The file is no such table; the message names file, line, what was expected and what came.
    """
    if path.suffix == ".npy":
        return [FrontFile(F) for F in _array(path)]
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path}: expected a store, an experiment, or a table of numbers as text. Got a file "
            f"that is none of these ({error.reason} at byte {error.start})."
        ) from error
    heading, sets = _tables(path, lines)
    parts = [part for rows in sets for part in _parts(path, heading, rows)]
    record = _record(path.with_name("run.json")) if path.name == "front.csv" else {}
    said = _said(path.with_name("run.json"), record, parts[0].F.shape[1])
    if len(parts) > 1:
        said.pop("seed", None)
    own = ("algorithm", "problem", "seed")
    return [
        replace(part, **said | {k: v for k in own if (v := getattr(part, k)) is not None})
        for part in parts
    ]


def read_frame(frame: Any) -> list[FrontFile]:
    """Read the points in a pandas DataFrame, whose columns are as in a file; see there."""
    heading = [str(name) for name in frame.columns]
    cells = [["" if v is None else str(v) for v in row] for row in frame.itertuples(index=False)]
    return _parts("the DataFrame", heading, list(enumerate(cells)))


def _array(path: Path) -> list[Floats]:
    try:
        with path.open("rb") as file:
            F = np.lib.format.read_array(file, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise ValueError(f"{path}: expected a numpy array of numbers, got {error}") from error
    if F.dtype.kind not in "fiu" or F.ndim not in (2, 3):
        raise ValueError(
            f"{path}: expected an array of numbers, [n, M] or [s, n, M], got {F.dtype} of shape "
            f"{F.shape}."
        )
    return list(F.astype(float)) if F.ndim == 3 else [F.astype(float)]


Rows = list[tuple[int, list[str]]]
"""Numbers of lines, and the cells in them."""


def _tables(path: Path, lines: list[str]) -> tuple[list[str] | None, list[Rows]]:
    heading: list[str] | None = None
    sets: list[Rows] = [[]]
    width = None
    for number, line in enumerate(lines, 1):
        text = line.strip(" \r\n")
        if text.startswith("#"):
            continue
        if not text:
            if sets[-1]:
                sets.append([])
            continue
        cells = _cells(text)
        if width is None and any(cell and not _is_number(cell) for cell in cells):
            heading, width = cells, len(cells)
            continue
        if len(cells) != (width or len(cells)):
            raise ValueError(f"{path}: line {number}: expected {width} values, got {text[:80]!r}.")
        width = len(cells)
        sets[-1].append((number, cells))
    full = [rows for rows in sets if rows]
    if not full and heading is None:
        raise ValueError(f"{path}: expected rows of numbers, got an empty file.")
    return heading, full or [[]]


def _cells(text: str) -> list[str]:
    separator = next((s for s in (";", "\t", ",") if s in text), None)
    cells = [cell.strip().strip('"') for cell in text.split(separator)]
    if separator in (";", "\t"):
        cells = [c.replace(",", ".") if _is_number(c.replace(",", ".")) else c for c in cells]
    return cells


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _parts(owner: Any, heading: list[str] | None, rows: Rows) -> list[FrontFile]:
    """Return the sets of points in rows under a heading, by whose they are."""
    width = len(rows[0][1]) if heading is None else len(heading)
    whose, objectives, variables = _columns(owner, heading, width)
    groups: dict[tuple[str, ...], Rows] = {}
    for number, cells in rows:
        key = tuple(cells[j] for j in whose.values())
        groups.setdefault(key, []).append((number, cells))
    names = None if heading is None else tuple(heading[j] for j in objectives)
    return [
        FrontFile(
            F=_numbers(owner, group, objectives, heading),
            X=_designs(group, variables) if variables else None,
            names=names,
            **_labels(owner, dict(zip(whose, key, strict=True)), group),
        )
        for key, group in (groups or {("",) * len(whose): []}).items()
    ]


def _labels(owner: Any, said: dict[str, str], rows: Rows) -> dict[str, Any]:
    """Return the labels of a set of rows; an empty cell says nothing."""
    labels: dict[str, Any] = {name: value for name, value in said.items() if value}
    if "seed" in labels:
        seed = float(labels["seed"]) if _is_number(labels["seed"]) else float("nan")
        if not seed.is_integer():
            raise ValueError(
                f"{owner}: line {rows[0][0]}: seed: expected an integer, got "
                f"{labels['seed'][:40]!r}."
            )
        labels["seed"] = int(seed)
    return labels


def _numbers(owner: Any, rows: Rows, columns: list[int], heading: list[str] | None) -> Floats:
    out = np.empty((len(rows), len(columns)))
    for i, (number, cells) in enumerate(rows):
        for k, j in enumerate(columns):
            if cells[j] and not _is_number(cells[j]):
                column = "" if heading is None else f", column {heading[j]!r}"
                raise ValueError(
                    f"{owner}: line {number}{column}: expected a number, got {cells[j][:40]!r}."
                )
            out[i, k] = float(cells[j] or "nan")
    return out


def _designs(rows: Rows, columns: list[int]) -> NDArray[Any]:
    """Return variables as what they are: numbers, truths, or texts."""
    cells = np.array([[row[j] for j in columns] for _, row in rows], dtype=object)
    cells = cells.reshape(len(rows), len(columns))
    if all(cell in ("True", "False") for cell in cells.flat):
        return np.asarray(cells == "True")
    if all(not cell or _is_number(cell) for cell in cells.flat):
        return np.where(cells == "", "nan", cells).astype(float)
    return cells


def _columns(
    owner: Any, heading: list[str] | None, width: int
) -> tuple[dict[str, int], list[int], list[int]]:
    """Return the columns of labels by name, of objectives, and of variables."""
    if heading is None:
        return {}, list(range(width)), []
    twice = next((name for k, name in enumerate(heading) if name and name in heading[:k]), None)
    if twice is not None:
        raise ValueError(f"{owner}: expected a heading of different names, got {twice!r} twice.")
    whose = {name.lower(): j for j, name in enumerate(heading) if name.lower() in _LABELS}
    variables = [j for j, name in enumerate(heading) if _VARIABLE.match(name)]
    objectives = [j for j, name in enumerate(heading) if _OBJECTIVE.match(name)]
    if not objectives:
        others = {*variables, *whose.values()}
        objectives = [j for j in range(width) if j not in others and not _INDEX.match(heading[j])]
    if len(objectives) < 2:
        raise ValueError(
            f"{owner}: line 1: expected at least two columns of objectives (f0, f1, ..., or any "
            f"names but x0, x1, ... and {', '.join(_LABELS)}), got {', '.join(heading)[:80]}."
        )
    return whose, objectives, variables


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
