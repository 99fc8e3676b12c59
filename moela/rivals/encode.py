"""Designs as rows of numbers, for learned models."""

from __future__ import annotations

from typing import Any

import numpy as np
from pymoo.core.problem import Problem
from pymoo.core.variable import Choice

from moela.archive import Floats
from moela.base import rows


def features_of(problem: Problem, X: Any) -> Floats:
    """Features [n, d] of designs: the problem's own `features(X)`, else the variables as numbers.

    A choice among k options becomes k columns of zeros and ones.
    """
    designs = rows(X)
    if hasattr(problem, "features"):
        return np.asarray(problem.features(designs), dtype=float)
    if not getattr(problem, "vars", None):
        return np.asarray(designs, dtype=float)
    columns: list[list[float]] = []
    for name, variable in problem.vars.items():
        values = [x[name] for x in designs]
        if isinstance(variable, Choice):
            columns += [[float(v == option) for v in values] for option in variable.options]
        else:
            columns.append([float(v) for v in values])
    return np.array(columns).T
