"""Designs to start from: the rows of a CSV file, such as the front.csv of an earlier run."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from pathlib import Path

from pymoo.core.problem import Problem

from moela._spelling import printed
from moela.evaluation.storage.folders import is_store
from moela.files.tables import TextTable
from moela.functions.model.function_problem import FunctionProblem
from moela.functions.model.given import position_of
from moela.functions.model.kinds import Choice
from moela.quality.table import Row
from moela.quality.words import listed, nearest

# Numbers that are no literals of Python.
_NOT_FINITE = ("nan", "inf", "-inf")
# Columns named in an error; tables may have hundreds.
_SHOWN = 12


def read_designs(path: str | Path, problem: Problem) -> list[Row] | list[list[object]]:
    """Return the designs of a table with a column for each variable of a problem.

    Parameters
    ----------
    path : str or Path
        CSV with a heading. An empty cell is the option that is None or an empty text; without such
        an option, the variable does not exist in that design. A variable that exists in some
        designs only needs no column. Columns that are no variables are left out.
    problem : Problem

    Returns
    -------
    list of dict, or for a pymoo Problem whose variables have no names, list of list

    Raises
    ------
    ValueError
        A variable that every design has lacks a column, a cell is no value, or it may stand for
        several options; the message names file and line. Or the file is a store.
    """
    if is_store(Path(path)):
        raise ValueError(
            f"{path} must be a table of designs to start from, such as front.csv. Got a store of "
            "runs instead; pass it as known results (known=, --known), which cost no evaluation."
        )
    table = TextTable(path)
    lines = ((number, cells) for number, cells in table if cells)
    _, heading = next(lines, (0, []))
    named = isinstance(problem, FunctionProblem)
    variables = dict(problem.variables if named else getattr(problem, "vars", None) or {})
    names = list(variables) or [f"x{j}" for j in range(problem.n_var)]
    places = {}
    for name in names:
        column = next((c for c in (f"{name} (variable)", name) if c in heading), None)
        if column is None:
            if getattr(variables.get(name), "when", ()):
                continue  # a table of designs of which none has it
            raise ValueError(
                f"{path} must have a column for each variable. It has no column {name!r}, but "
                f"{listed(heading[:_SHOWN])}{' and more' * (len(heading) > _SHOWN)}."
                f"{nearest(name, heading)}"
            )
        places[name] = heading.index(column)
    designs: list[Row] = []
    for number, cells in lines:
        if len(cells) != len(heading):
            raise table.error(number, f"{len(cells)} cells", f"{len(heading)} cells")
        design: Row = {}
        for name, j in places.items():
            variable = variables.get(name)
            options = getattr(variable, "options", ())
            at = position_of(cells[j], options)
            if at is None and isinstance(variable, Choice):  # a table of a result from a store
                at = variable.stored_position(cells[j])
            if alike := _alike(cells[j], options):
                expected = (
                    f"a text of one option only, but {listed(alike)} look the same in a table; "
                    "pass a result, a store or dictionaries"
                )
                raise table.error(number, cells[j], expected, repr(name))
            if at is not None:
                design[name] = options[at]
            elif cells[j]:
                design[name] = _value(cells[j])
        designs.append(design)
    return designs if variables else [list(design.values()) for design in designs]


def _alike(cell: str, options: Sequence[object]) -> list[object]:
    """Return the options that a cell may stand for if there are several, as for 1 and "1"."""
    alike = [option for option in options if printed(option).strip() == cell]
    return alike if cell and len(alike) > 1 else []


def _value(cell: str) -> object:
    """Return the value that a cell writes; what is no Python literal is a text."""
    try:
        return ast.literal_eval(cell)
    except (ValueError, SyntaxError):
        return cell


def values_of(cells: Sequence[str]) -> list[object]:
    """Return the values of a column of other outputs, as a table of results writes them.

    They are numbers, booleans and lists if each cell is written as Python writes its value, and
    else texts, so that "007" and "12e4567" stay what they are.

    >>> values_of(["3", "2.5", ""]), values_of(["007", "12"]), values_of(["[1, 2]"])
    ([3, 2.5, ''], ['007', '12'], [[1, 2]])
    """
    values = [_value(cell) if cell not in _NOT_FINITE else float(cell) for cell in cells]
    read = [cell for cell, value in zip(cells, values, strict=True) if _writes(cell, value)]
    return values if len(read) == len(cells) else list(cells)


def _writes(cell: str, value: object) -> bool:
    """Return whether a table of results has this cell for a value that is no text."""
    is_plain = isinstance(value, bool | int | float | list)
    return not cell or (is_plain and printed(value).lower() == cell.lower())
