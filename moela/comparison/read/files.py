"""Readers of fronts in files: folders of `moela run`, CSV, tables with blank lines, arrays."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from moela._arrays import Bools, Floats
from moela.comparison.read.drafts import RunDraft, check_objectives, kind_of, nameless, one_batch
from moela.comparison.read.record import signs_of, with_record
from moela.files.arrays import read_array
from moela.files.guard import brief, check_count, invalid_file
from moela.files.tables import TextTable
from moela.files.text import number_of
from moela.functions.results.front import RUN_COLUMNS
from moela.quality.runs import ComparedRun, History

if TYPE_CHECKING:
    from pandas import DataFrame

# Tables of a front mark a variable that is called like an objective.
_VARIABLE = re.compile(r"x_?\d+$|.+ \(variable\)$", re.IGNORECASE)
# Columns that name the run that a row belongs to.
_LABELS = ("algorithm", "problem", "seed")
_INDEX = re.compile(r"(Unnamed: \d+)?$")
# Files with more are taken for damaged.
MOST_OBJECTIVES, MOST_RUNS = 255, 10_000  # moocore takes no more objectives
# Tables that `moela run` writes beside run.json.
OF_A_RUN = ("front.csv", "evaluations.csv")
_OBJECTIVE = re.compile(r"f_?\d+$", re.IGNORECASE)


def read_front_file(path: Path, senses: Mapping[str, float] | None = None) -> list[RunDraft]:
    """Read the sets of points in a text file, or in a numpy file of an array.

    Rows hold numbers, separated by commas, semicolons, tabs or blanks, the same in the whole file;
    with semicolons or tabs the decimal sign may be a comma. An empty cell is an unknown value, as
    NaN is. Lines that start with ``#`` are skipped. A blank line begins the set of another run.
    With a heading, columns named ``x0``, ``x1``, ... are variables; columns named ``algorithm``,
    ``problem`` and ``seed`` name the run of each row; a column without a name is an index; and the
    other columns are objectives, or only those named ``f0``, ``f1``, ..., if there are any.

    A ``run.json`` beside a ``front.csv`` or an ``evaluations.csv``, as `moela run` writes them, is
    read, too, and `senses` may only repeat the objectives in it. In any other table, `senses` names
    the objectives: 1 to minimize, -1 to maximize. A table of everything that `moela.minimize`
    evaluated is one with the columns ``feasible``, ``status`` and ``error``, side by side. An array
    in a ``.npy`` file is [n, M] or, for s runs, [s, n, M].
    Errors name the file, the line, and expected and actual content.
    """
    if path.suffix == ".npy":
        return one_batch(RunDraft(nameless(F, str(path))) for F in _array(path))
    heading, sets = _tables(path)
    beside = path.with_name("run.json")
    recorded = path.name in OF_A_RUN and beside.exists()
    signs = signs_of(beside) if recorded else {}
    if signs:
        if heading is None:
            expected = f"one with the objectives of run.json, {', '.join(signs)}"
            raise invalid_file(path, "none", expected, "heading")
        # The other columns are variables and outputs of any name, also of those of labels.
        columns = _columns(path, heading, len(heading), signs, ())
    else:
        columns = _columns(path, heading, len(sets[0].columns), None if recorded else senses)
    if recorded:  # version 0.1 recorded no senses, and minimized all objectives
        check_objectives(senses, signs or dict.fromkeys(columns.names or (), 1.0), str(beside))
    drafts = one_batch(draft for table in sets for draft in _drafts(path, heading, table, columns))
    return with_record(drafts, beside) if recorded else drafts


def read_frame(table: DataFrame, senses: Mapping[str, float] | None = None) -> list[RunDraft]:
    """Read the points in a pandas DataFrame, with the columns of `read_front_file`."""
    heading = [str(name) for name in table.columns]
    rows = table.itertuples(index=False)
    columns = [[_cell(value) for value in column] for column in zip(*rows, strict=True)]
    cells = _Cells(list(range(len(table))), columns or [[] for _ in heading])
    source = "a DataFrame"
    found = _columns(source, heading, len(cells.columns), senses)
    return one_batch(_drafts(source, heading, cells, found))


def _cell(value: object) -> str:
    """Return a cell of a frame as text, an empty one for None, NaN and missing values of pandas."""
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return ""
    return "" if isinstance(value, float | np.floating) and np.isnan(value) else str(value)


def _array(path: Path) -> list[Floats]:
    F = read_array(path)
    check_count(path, F.size, "cells")
    fits = F.dtype.kind in "fiu" and F.ndim in (2, 3) and 2 <= F.shape[-1] <= MOST_OBJECTIVES
    if not fits or (F.ndim == 3 and not 1 <= len(F) <= MOST_RUNS):
        expected = (
            f"an array of numbers, [n, M] or [s, n, M], M from 2 to {MOST_OBJECTIVES}, s from 1 to "
            f"{MOST_RUNS:,}"
        )
        raise invalid_file(path, f"{F.dtype} of shape {F.shape}", expected)
    _check_points(path, F.shape[-2], F.shape[-1])
    return list(F.astype(float)) if F.ndim == 3 else [F.astype(float)]


def _check_points(source: str | Path, n: int, n_obj: int) -> None:
    """Check the number of points of a run: above four objectives, their filter is quadratic."""
    if n_obj > 4:
        check_count(source, n, "points")


@dataclass(frozen=True)
class _Cells:
    """The cells of a set of rows by column, as texts, and the number of each row's line."""

    lines: list[int]
    columns: list[list[str]]


def _tables(path: Path) -> tuple[list[str] | None, list[_Cells]]:
    """Return the heading of a file, if it has one, and its sets of rows, one or more."""
    heading: list[str] | None = None
    sets: list[_Cells] = []
    width, begun = 0, False
    for number, cells in (table := TextTable(path)):
        if not cells:
            begun = False
            continue
        if width and len(cells) != width:
            raise table.error(number, f"{len(cells)}: {brief(cells)}", f"{width} values")
        if not width and any(cell and number_of(cell) is None for cell in cells):
            _check_heading(table, number, cells)
            heading, width = cells, len(cells)
            continue
        if not begun:
            begun, width = True, len(cells)
            sets.append(_Cells([], [[] for _ in cells]))
            if len(sets) > MOST_RUNS:
                raise table.error(number, "one more", f"the end of {MOST_RUNS:,} sets of rows")
            lines, appends = sets[-1].lines, [column.append for column in sets[-1].columns]
        lines.append(number)
        for append, cell in zip(appends, cells, strict=True):
            append(cell)
    if not width:
        raise invalid_file(path, "an empty file", "rows of numbers")
    return heading, sets or [_Cells([], [[] for _ in range(width)])]


def _check_heading(table: TextTable, line: int, cells: list[str]) -> None:
    """Refuse a first line with texts and numbers: a point would be lost, or a name be a number."""
    if not any(cell and number_of(cell) is not None for cell in cells):
        return
    raise table.error(
        line,
        brief(cells),
        "a heading of names, or a row of numbers, in which the cell of a failed evaluation is "
        "empty or nan",
    )


@dataclass(frozen=True)
class _Columns:
    """The positions of columns by their meaning."""

    labels: dict[str, int]
    objectives: list[int]
    variables: list[int]
    names: tuple[str, ...] | None = None  # of the objectives
    factors: tuple[float, ...] = (1.0,)  # -1 for a maximized objective
    declared: bool = False  # whether the directions are known
    feasible: int | None = None  # in a table of everything evaluated
    assumed: bool = False  # whether nobody has said which are the objectives


def _drafts(
    source: str | Path,
    heading: list[str] | None,
    table: _Cells,
    columns: _Columns,
) -> list[RunDraft]:
    """Return the sets of points in rows under a heading, one per run, objectives times signs."""
    labels, names = columns.labels, columns.names
    groups: dict[tuple[str, ...], list[int]] = {}
    keys = zip(*(table.columns[j] for j in labels.values()), strict=True)
    for i, key in enumerate(keys):
        groups.setdefault(key, []).append(i)
        if len(groups) > MOST_RUNS:
            place = f"line {table.lines[i]}"
            raise invalid_file(source, "one more", f"of the first {MOST_RUNS:,} runs", place)
    if table.lines and not labels:
        groups[()] = list(range(len(table.lines)))
    n_obj, factors = len(columns.objectives), np.array(columns.factors)
    out = []
    for key, rows in (groups or {("",) * len(labels): []}).items():
        _check_points(source, len(rows), n_obj)
        # An empty cell is no label.
        own = {name: cell for name, cell in zip(labels, key, strict=True) if cell}
        F = factors * _numbers(source, table, rows, columns.objectives, heading)
        infeasible = _infeasible(table, rows, columns)
        run = nameless(
            F,
            str(source),
            X=_designs(table, rows, columns.variables) if columns.variables else None,
            seed=_seed(source, table.lines[rows[0]], own["seed"]) if "seed" in own else None,
            names=names,
            signs=columns.factors if columns.declared else None,
            assumed=columns.assumed,
            CV=infeasible,
        )
        if infeasible is not None:
            run = _with_history(run, F, infeasible)
        problem = own.get("problem")
        kind = "" if problem is None else kind_of(problem, 0, n_obj, None)
        out.append(RunDraft(run, problem, own.get("algorithm"), (kind, "")))
    return out


def _infeasible(table: _Cells, rows: list[int], columns: _Columns) -> Bools | None:
    """Return which rows are infeasible, in a table of everything that a run evaluated."""
    if (j := columns.feasible) is None:
        return None
    return np.array([table.columns[j][row] != "True" for row in rows], dtype=bool)


def _with_history(run: ComparedRun, F: Floats, infeasible: Bools) -> ComparedRun:
    scored = np.where(infeasible[:, None], np.nan, F)
    history = History(len(F), lambda: scored)
    counts = {"failed" if why == "not finite" else why: n for why, n in run.left_out.items()}
    return replace(run, evaluated=True, n_eval=len(F), history=history, left_out=counts)


def _seed(source: str | Path, line: int, cell: str) -> int:
    seed = number_of(cell)
    if seed is None or not seed.is_integer() or abs(seed) > 2**53:
        raise invalid_file(source, brief(cell), "an integer", f'line {line}, column "seed"')
    return int(seed)


def _numbers(
    source: str | Path,
    table: _Cells,
    rows: list[int],
    columns: list[int],
    heading: list[str] | None,
) -> Floats:
    out = np.empty((len(rows), len(columns)))
    for k, j in enumerate(columns):
        column = table.columns[j]
        for i, row in enumerate(rows):
            number = number_of(column[row] or "nan")
            if number is None:
                name = j + 1 if heading is None else f'"{heading[j]}"'
                place = f"line {table.lines[row]}, column {name}"
                error = invalid_file(source, brief(column[row]), "a number", place)
                if heading is None or len(columns) < 3:
                    raise error
                raise ValueError(
                    f"{error} If the column is no objective, name the objectives by objectives= "
                    "(--objectives)."
                )
            out[i, k] = number
    return out


def _designs(table: _Cells, rows: list[int], columns: list[int]) -> NDArray[Any]:
    """Return variables as numbers, booleans, or texts."""
    cells = np.empty((len(rows), len(columns)), dtype=object)
    for k, j in enumerate(columns):
        cells[:, k] = [table.columns[j][row] for row in rows]
    if all(cell in ("True", "False") for cell in cells.flat):
        return np.asarray(cells == "True")
    if all(not cell or number_of(cell) is not None for cell in cells.flat):
        return np.where(cells == "", "nan", cells).astype(float)
    return cells


def _columns(
    source: str | Path,
    heading: list[str] | None,
    width: int,
    senses: Mapping[str, float] | None = None,
    known_labels: tuple[str, ...] = _LABELS,
) -> _Columns:
    """Return the meanings of the columns; `senses` names the objectives, 1 to minimize."""
    if heading is None:
        return _checked(source, heading, width, _Columns({}, list(range(width)), []))
    if twice := [name for name, n in Counter(heading).items() if name and n > 1]:
        raise invalid_file(source, "two", "one column of this name", f'heading, "{twice[0]}"')
    labels = {name.lower(): j for j, name in enumerate(heading) if name.lower() in known_labels}
    variables = [j for j, name in enumerate(heading) if _VARIABLE.match(name)]
    about = _about_the_run(heading)
    feasible = about[0] if about else None
    if senses:
        # A variable of the same name has the plain one in tables of results.
        outputs = [f"{name} (output)" for name in senses]
        wanted = [o if o in heading else n for n, o in zip(senses, outputs, strict=True)]
        if missing := [name for name in wanted if name not in heading]:
            raise invalid_file(source, brief(heading), f"with a column {missing[0]!r}", "heading")
        objectives = [heading.index(name) for name in wanted]
        variables = [j for j in variables if j not in objectives]
        factors = tuple(senses.values())
        names = tuple(senses)
        found = _Columns(labels, objectives, variables, names, factors, True, feasible)
    else:
        objectives = [j for j, name in enumerate(heading) if _OBJECTIVE.match(name)]
        others = {*variables, *labels.values(), *about}
        assumed = not objectives
        objectives = objectives or [
            j for j in range(width) if j not in others and not _INDEX.match(heading[j])
        ]
        names = tuple(heading[j] for j in objectives)
        assumed = assumed and len(objectives) > 2
        found = _Columns(labels, objectives, variables, names, (1.0,), False, feasible, assumed)
    return _checked(source, heading, width, found)


def _about_the_run(heading: list[str]) -> tuple[int, ...]:
    """Return the columns that only a table of everything evaluated has; none in other tables.

    Users put columns of their own behind them, such as the seed.
    """
    names, n = [name.removesuffix(" (run)") for name in heading], len(RUN_COLUMNS)
    for j in range(len(heading) - n, -1, -1):
        if names[j : j + n] == list(RUN_COLUMNS):
            return tuple(range(j, j + n))
    return ()


def _checked(
    source: str | Path, heading: list[str] | None, width: int, columns: _Columns
) -> _Columns:
    n_obj = len(columns.objectives)
    if not 2 <= n_obj <= MOST_OBJECTIVES:
        expected = (
            f"2 to {MOST_OBJECTIVES} columns of objectives (f0, f1, ..., or any names but x0, x1, "
            f"... and {', '.join(_LABELS)})"
        )
        got = f"{n_obj} of {width} columns"
        if heading is not None:
            got += f": {brief(heading)}"
        raise invalid_file(source, got, expected, "heading")
    return columns
