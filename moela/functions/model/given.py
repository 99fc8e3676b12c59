"""Given designs of a function: dictionaries, fronts and tables of its variables."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, cast

import numpy as np

from moela._arrays import Designs, equal
from moela._spelling import printed
from moela.files.text import number_of
from moela.functions.model.kinds import Choice, Listed, Permutation, Variable, plain
from moela.quality.words import encodable, listed

if TYPE_CHECKING:
    from moela.functions.model.function_problem import FunctionProblem

# Columns named in an error; tables may have hundreds.
_SHOWN = 12


def encoded(
    problem: FunctionProblem, design: Mapping[str, object], number: int, parameter: str
) -> Designs:
    """Return the vector [n_var] of a dictionary, the design `number` given as a parameter."""
    restored = _restored(design, problem.variables)
    try:
        return problem.encode(restored)
    except ValueError as error:
        hint = _lost_texts(restored, problem.variables)
        raise ValueError(f"Design {number} of '{parameter}': {error}{hint}") from None


def records(problem: FunctionProblem, table: object, parameter: str) -> list[Mapping[str, object]]:
    """Return the rows of a data frame, or a single row, as dictionaries of the variables.

    Columns are matched by name. Others than those of the variables are left out.
    """
    single = not hasattr(table, "columns")
    columns = list(getattr(table, "index" if single else "columns"))
    known = [name for name in problem.variables if name in columns]
    if not known:
        shown = listed(columns[:_SHOWN]) + (" and more" if len(columns) > _SHOWN else "")
        trials = any(str(name).startswith("params_") for name in columns)
        raise ValueError(
            f"A table given as '{parameter}' must have columns called {listed(problem.variables)}, "
            f"as the variables are. Got the columns {shown}; "
            + (
                "for trials of Optuna, pass moela.plugins.designs_of_study(study)."
                if trials
                else "rename them."
            )
        )
    chosen = table[known]  # type: ignore[index]
    return (
        [chosen.to_dict()]
        if single
        else cast("list[Mapping[str, object]]", chosen.to_dict("records"))
    )


def is_table(given: object) -> bool:
    """Return whether an object is a data frame or a row of one."""
    return hasattr(given, "to_dict") and (hasattr(given, "columns") or hasattr(given, "index"))


def is_study(given: object) -> bool:
    """Return whether an object is a study of Optuna."""
    return type(given).__module__.startswith("optuna.") and hasattr(given, "trials")


def in_list(given: object) -> object:
    """Return a design, a front or an iterable as a list; anything else, an array too, as it is.

    Candidates of a front become dictionaries of the variables.
    """
    front = getattr(given, "designs", None)
    if isinstance(front, list):
        return front
    if isinstance(given, Mapping) or _of_candidate(given) is not given:
        given = [given]
    if not isinstance(given, Iterable) or isinstance(given, str | bytes | np.ndarray):
        return given
    return [_of_candidate(item) for item in given]


def has_codes(problem: FunctionProblem, table: object) -> bool:
    """Return whether a data frame or a row holds vectors: x0, x1, ..., or no names at all."""
    columns = list(getattr(table, "columns", getattr(table, "index", ())))
    if any(name in columns for name in problem.variables):
        return False
    coded = all(f"x{j}" in columns for j in range(problem.n_var))
    return coded or not any(isinstance(name, str) for name in columns)


def _of_candidate(given: object) -> object:
    """Return the dictionary of the variables in a candidate of a front; anything else as it is."""
    design = getattr(given, "design", None)
    return design if isinstance(design, Mapping) else given


def position_of(cell: str, options: Sequence[object]) -> int | None:
    """Return the position of the option that a cell of a table stands for, None if there is none.

    In a table, None is an empty cell, spaces around a text are lost, and what UTF-8 cannot hold is
    written as escapes.
    """
    tests: tuple[Callable[[object], bool], ...] = (
        lambda option: equal(option, cell),
        lambda option: printed(option) == cell,
        lambda option: encodable(printed(option)) == cell,
        lambda option: ("" if option is None else printed(option).strip()) == cell,
    )
    return next((i for fits in tests for i, option in enumerate(options) if fits(option)), None)


def _restored(design: Mapping[str, object], variables: Mapping[str, Variable]) -> dict[str, object]:
    """Return a design of a table or store as the function gets it, without absent variables.

    Tables turn None, and what is absent, into NaN; stores keep objects as their texts.
    """
    values: dict[str, object] = {}
    for name, given in design.items():
        value, variable = plain(given), variables.get(name)
        if isinstance(value, float) and np.isnan(value):
            options = variable.options if isinstance(variable, Choice) else ()
            at = position_of("", options)
            if at is not None:
                values[name] = options[at]
        elif isinstance(variable, Choice):
            values[name] = _option(value, variable)
        elif isinstance(variable, Permutation) and isinstance(value, list):
            values[name] = [_option(item, variable) for item in value]
        else:
            values[name] = value
    return values


def _lost_texts(design: Mapping[str, object], variables: Mapping[str, Variable]) -> str:
    """Return what to do if texts of options have become numbers, as pandas reads a file."""
    lost = [
        name
        for name, value in design.items()
        if isinstance(variable := variables.get(name), Choice)
        and isinstance(value, bool | int | float)
        and not any(equal(option, value) for option in variable.options)
        and any(
            isinstance(option, str) and (option == str(value) or number_of(option) == value)
            for option in variable.options
        )
    ]
    if not lost:
        return ""
    types = ", ".join(f"{name!r}: str" for name in lost)
    return (
        f" If pandas has read a file, it made numbers of the texts in {listed(lost)}: pass the "
        f"path of the file instead, or read it with dtype={{{types}}}."
    )


def _option(value: object, variable: Listed) -> object:
    """Return the option or item that a text or list stands for; any other value as it is."""
    if not isinstance(value, str | list):
        return value
    at = position_of(value, variable.listed) if isinstance(value, str) else None
    at = variable.stored_position(value) if at is None else at
    return value if at is None else variable.listed[at]
