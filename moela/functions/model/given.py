"""Given designs of a function: dictionaries and tables of its variables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

import numpy as np

from moela._arrays import Designs
from moela.functions.model.variables import plain
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
        return problem.encode(_without_absent(design))
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


def _without_absent(design: Mapping[str, object]) -> dict[str, object]:
    """Return a design without the variables that a table could only leave empty."""
    values = {name: plain(value) for name, value in design.items()}
    return {
        name: value
        for name, value in values.items()
        if not (isinstance(value, float) and np.isnan(value))
    }
