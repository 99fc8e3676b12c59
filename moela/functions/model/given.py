"""Given designs of a function: dictionaries and tables of its variables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, cast

import numpy as np

from moela._arrays import Designs
from moela.functions.model.variables import Choice, Permutation, Variable, equal, plain
from moela.quality.words import listed

if TYPE_CHECKING:
    from moela.functions.model.problem import FunctionProblem

# Columns named in an error; tables may have hundreds.
_SHOWN = 12


def encoded(
    problem: FunctionProblem, design: Mapping[str, object], number: int, parameter: str
) -> Designs:
    """Return the vector [n_var] of a dictionary, the design `number` given as a parameter."""
    try:
        return problem.encode(_restored(design, problem.variables))
    except ValueError as error:
        raise ValueError(f"Design {number} of '{parameter}': {error}") from None


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


def has_codes(problem: FunctionProblem, table: object) -> bool:
    """Return whether a data frame or a row holds vectors: x0, x1, ..., or no names at all."""
    columns = list(getattr(table, "columns", getattr(table, "index", ())))
    if any(name in columns for name in problem.variables):
        return False
    coded = all(f"x{j}" in columns for j in range(problem.n_var))
    return coded or not any(isinstance(name, str) for name in columns)


def _restored(design: Mapping[str, object], variables: Mapping[str, Variable]) -> dict[str, object]:
    """Return a design of a table or store as the function gets it, without absent variables.

    Tables of numbers turn None into NaN, and stores keep objects as their texts.
    """
    values: dict[str, object] = {}
    for name, given in design.items():
        value, variable = plain(given), variables.get(name)
        if isinstance(value, float) and np.isnan(value):
            if isinstance(variable, Choice) and variable.position(None) is not None:
                values[name] = None
        elif isinstance(variable, Choice):
            values[name] = _option(value, variable.options)
        elif isinstance(variable, Permutation) and isinstance(value, list):
            values[name] = [_option(item, variable.items) for item in value]
        else:
            values[name] = value
    return values


def _option(value: object, options: Sequence[object]) -> object:
    """Return the option that a text stands for; any other value as it is."""
    if not isinstance(value, str) or any(equal(option, value) for option in options):
        return value
    return next((option for option in options if str(option) == value), value)
