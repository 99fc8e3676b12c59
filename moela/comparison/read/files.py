"""Readers of fronts in text files: folders of `moela run`, CSV, and tables with blank lines."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from moela._arrays import Floats
from moela.comparison.read.drafts import RunDraft, kind_of, nameless, one_batch

if TYPE_CHECKING:
    from pandas import DataFrame

_VARIABLE = re.compile(r"x_?\d+$", re.IGNORECASE)
# Columns that name the run that a row belongs to.
_LABELS = ("algorithm", "problem", "seed")
_ABOUT = ("command", "settings", "versions", "date", "machine")
_INDEX = re.compile(r"(Unnamed: \d+)?$")
_OBJECTIVE = re.compile(r"f_?\d+$", re.IGNORECASE)


def read_front_file(path: Path) -> list[RunDraft]:
    """Read the sets of points in a text file, or in a numpy file of an array.

    Rows hold numbers, separated by commas, semicolons, tabs or blanks; with semicolons or tabs the
    decimal sign may be a comma. An empty cell is an unknown value, as NaN is. Lines that start with
    ``#`` are skipped. A blank line begins the set of another run. With a heading, columns named
    ``x0``, ``x1``, ... are variables; columns named ``algorithm``, ``problem`` and ``seed`` name
    the run of each row; a column without a name is an index; and the other columns are objectives,
    or only those named ``f0``, ``f1``, ..., if there are any. A ``run.json`` beside a
    ``front.csv``, as `moela run` writes it, is read, too. An array in a ``.npy`` file is [n, M] or,
    for s runs, [s, n, M]. Errors name the file, the line, and expected and actual content.
    """
    if path.suffix == ".npy":
        return one_batch(RunDraft(nameless(F, str(path))) for F in _array(path))
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path}: expected a store, an experiment, or a table of numbers as text. Got a file "
            f"that is none of these ({error.reason} at byte {error.start})."
        ) from error
    heading, sets = _tables(path, lines)
    drafts = one_batch(draft for rows in sets for draft in _drafts(str(path), heading, rows))
    beside = path.with_name("run.json")
    if path.name != "front.csv" or not beside.exists():
        return drafts
    return _with_record(drafts, beside, _record(beside))


def read_frame(table: DataFrame) -> list[RunDraft]:
    """Read the points in a pandas DataFrame, with the columns of `read_front_file`."""
    heading = [str(name) for name in table.columns]
    cells = [["" if v is None else str(v) for v in row] for row in table.itertuples(index=False)]
    return one_batch(_drafts("a DataFrame", heading, list(enumerate(cells))))


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
"""The number of each line, and its cells."""


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


def _drafts(source: str, heading: list[str] | None, rows: Rows) -> list[RunDraft]:
    """Return the sets of points in rows under a heading, one per run."""
    width = len(rows[0][1]) if heading is None else len(heading)
    labels, objectives, variables = _columns(source, heading, width)
    groups: dict[tuple[str, ...], Rows] = {}
    for number, cells in rows:
        key = tuple(cells[j] for j in labels.values())
        groups.setdefault(key, []).append((number, cells))
    names = None if heading is None else tuple(heading[j] for j in objectives)
    out = []
    for key, group in (groups or {("",) * len(labels): []}).items():
        # An empty cell is no label.
        own = {name: cell for name, cell in zip(labels, key, strict=True) if cell}
        run = nameless(
            _numbers(source, group, objectives, heading),
            source,
            X=_designs(group, variables) if variables else None,
            seed=_seed(source, group, own["seed"]) if "seed" in own else None,
            names=names,
        )
        problem = own.get("problem")
        kind = "" if problem is None else kind_of(problem, 0, len(objectives), None)
        out.append(RunDraft(run, problem, own.get("algorithm"), (kind, "")))
    return out


def _seed(source: str, rows: Rows, cell: str) -> int:
    seed = float(cell) if _is_number(cell) else float("nan")
    if not seed.is_integer():
        raise ValueError(
            f"{source}: line {rows[0][0]}: seed: expected an integer, got {cell[:40]!r}."
        )
    return int(seed)


def _numbers(source: str, rows: Rows, columns: list[int], heading: list[str] | None) -> Floats:
    out = np.empty((len(rows), len(columns)))
    for i, (number, cells) in enumerate(rows):
        for k, j in enumerate(columns):
            if cells[j] and not _is_number(cells[j]):
                column = "" if heading is None else f", column {heading[j]!r}"
                raise ValueError(
                    f"{source}: line {number}{column}: expected a number, got {cells[j][:40]!r}."
                )
            out[i, k] = float(cells[j] or "nan")
    return out


def _designs(rows: Rows, columns: list[int]) -> NDArray[Any]:
    """Return variables as numbers, booleans, or texts."""
    cells = np.array([[row[j] for j in columns] for _, row in rows], dtype=object)
    cells = cells.reshape(len(rows), len(columns))
    if all(cell in ("True", "False") for cell in cells.flat):
        return np.asarray(cells == "True")
    if all(not cell or _is_number(cell) for cell in cells.flat):
        return np.where(cells == "", "nan", cells).astype(float)
    return cells


def _columns(
    source: str, heading: list[str] | None, width: int
) -> tuple[dict[str, int], list[int], list[int]]:
    """Return the columns of labels by name, of objectives, and of variables."""
    if heading is None:
        return {}, list(range(width)), []
    twice = next((name for k, name in enumerate(heading) if name and name in heading[:k]), None)
    if twice is not None:
        raise ValueError(f"{source}: expected a heading of different names, got {twice!r} twice.")
    labels = {name.lower(): j for j, name in enumerate(heading) if name.lower() in _LABELS}
    variables = [j for j, name in enumerate(heading) if _VARIABLE.match(name)]
    objectives = [j for j, name in enumerate(heading) if _OBJECTIVE.match(name)]
    if not objectives:
        others = {*variables, *labels.values()}
        objectives = [j for j in range(width) if j not in others and not _INDEX.match(heading[j])]
    if len(objectives) < 2:
        raise ValueError(
            f"{source}: line 1: expected at least two columns of objectives (f0, f1, ..., or any "
            f"names but x0, x1, ... and {', '.join(_LABELS)}), got {', '.join(heading)[:80]}."
        )
    return labels, objectives, variables


def _record(path: Path) -> dict[str, Any]:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: expected JSON, got {error}.") from error
    if not isinstance(record, dict):
        raise ValueError(f"{path}: expected a JSON object, got {type(record).__name__}.")
    for name in ("settings", "problem"):
        if not isinstance(part := record.setdefault(name, {}), dict):
            raise ValueError(f"{path}: {name}: expected an object, got {type(part).__name__}.")
    return record


def _with_record(drafts: list[RunDraft], path: Path, record: dict[str, Any]) -> list[RunDraft]:
    """Return runs with the attributes that their run.json names; labels in the table count more."""
    settings, problem, n_obj = record["settings"], record["problem"], drafts[0].run.F.shape[1]
    given = record.get("ref_point", record.get("reference"))  # its name in version 0.1
    ref_point = None
    if isinstance(given, dict):
        ref_point = np.array([_number(path, "ref_point", v) for v in given.values()])
        if ref_point.shape != (n_obj,):
            raise ValueError(f"{path}: ref_point: expected {n_obj} numbers, got {len(ref_point)}.")
    seconds, name = record.get("seconds"), problem.get("name")
    algorithm = settings.get("algorithm")
    seed = _whole(path, "settings.seed", settings.get("seed"))
    known: dict[str, Any] = {
        "n_eval": _whole(path, "n_eval", record.get("n_eval")),
        "seconds": None if seconds is None else _number(path, "seconds", seconds),
        "ref_point": ref_point,
        # MOELA returns everything non-dominated; the others a population or a bounded archive.
        "evaluated": algorithm in ("moela", "moela-published"),
        "about": {k: record[k] for k in _ABOUT if k in record}
        | {"version": problem.get("version")},
    }
    out = []
    for draft in drafts:
        own = draft.run.seed if draft.run.seed is not None or len(drafts) > 1 else seed
        title = draft.problem or (None if name is None else str(name))
        kind = "" if title is None else kind_of(title, 0, n_obj, problem.get("version"))
        maker = draft.algorithm or (None if algorithm is None else str(algorithm))
        run = replace(draft.run, seed=own, **known)
        out.append(replace(draft, run=run, problem=title, algorithm=maker, kind=(kind, "")))
    return out


def _number(path: Path, name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not np.isfinite(value):
        raise ValueError(f"{path}: {name}: expected a finite number, got {str(value)[:40]!r}.")
    return float(value)


def _whole(path: Path, name: str, value: object) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"{path}: {name}: expected an integer, got {str(value)[:40]!r}.")
    return value
