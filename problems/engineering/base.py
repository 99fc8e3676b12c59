"""Base class of the engineering problems: named variables, objectives, constraints."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike
from pymoo.core.problem import Problem
from pymoo.core.variable import Choice, Integer, Real, Variable

from problems._arrays import Floats
from problems.engineering.best_known import BEST_KNOWN

Values = Mapping[str, Floats]
Outputs = tuple[Sequence[Floats], Sequence[Floats]]
"""Objectives, and constraints that are satisfied if <= 0; each is [n]."""


class EngineeringProblem(Problem):
    """A design problem with named variables.

    If all variables are real, a design is a row of numbers [n_var]. Otherwise it is a dictionary,
    as in pymoo's mixed-variable problems; `vars` holds its variables.

    Attributes
    ----------
    variables : dict of pymoo Variable by name
        Real, Integer, or Choice among the sizes of a catalog.
    objective_names : tuple of str
        All minimized.
    constraint_names : tuple of str
        Each constraint is satisfied if its value is at most 0.
    ref_point : float array [n_obj]
        The nadir of a front of several algorithms, plus a tenth of its range. It stays when a
        better front is found.
    ref_point_source : str
        How it was computed.
    version : str
        Identifies the formulas.
    """

    variables: ClassVar[dict[str, Variable]]
    objective_names: ClassVar[tuple[str, ...]]
    constraint_names: ClassVar[tuple[str, ...]] = ()

    def __init__(self) -> None:
        variables = self.variables
        settings: dict[str, object] = {"vars": variables}
        if all(isinstance(variable, Real) for variable in variables.values()):
            low, high = np.array([variable.bounds for variable in variables.values()]).T
            settings = {"n_var": len(variables), "xl": low, "xu": high, "vtype": float}
        n_obj, n_constraints = len(self.objective_names), len(self.constraint_names)
        super().__init__(n_obj=n_obj, n_ieq_constr=n_constraints, **settings)
        kind = type(self).__name__
        self.version = f"{kind}-1"
        best = BEST_KNOWN.get(kind)
        self.ref_point: Floats | None = None if best is None else np.array(best[0])
        self.ref_point_source = (
            "nadir of the best-known front plus a tenth of its range; the front is the best of "
            "runs of several algorithms"
        )

    @property
    def best_hypervolume(self) -> float | None:
        """Hypervolume of the best-known front for `ref_point`; None if no front is known.

        It is no setting of the problem: a run goes on in its store after a better front is found.
        """
        best = BEST_KNOWN.get(type(self).__name__)
        return None if best is None else best[1]

    def __repr__(self) -> str:
        names = ", ".join(self.objective_names)
        limits = f", {self.n_constr} constraints" if self.n_constr else ""
        return f"{type(self).__name__}: {self.n_var} variables, minimize {names}{limits}"

    def values(self, X: ArrayLike) -> dict[str, Floats]:
        """Return designs, [n, n_var] or [n] dictionaries, as an array [n] for each variable.

        A ValueError tells which design has another shape, or a value that is no option.
        """
        designs = np.asarray(X)
        if designs.dtype == object:
            named = [self._named(x) for x in designs.ravel()]
            columns = {name: [x[name] for x in named] for name in self.variables}
        else:
            if designs.ndim not in (1, 2) or designs.shape[-1] != self.n_var:
                raise ValueError(
                    f"Designs of {type(self).__name__} must have shape [n, {self.n_var}], or be "
                    f"dictionaries. Got shape {designs.shape} instead."
                )
            columns = dict(zip(self.variables, np.atleast_2d(designs).T, strict=True))
        return self._checked(columns)

    def _named(self, x: object) -> Mapping[str, float]:
        if not isinstance(x, Mapping) or x.keys() != self.variables.keys():
            raise ValueError(
                f"A design of {type(self).__name__} must be a dictionary with "
                f"{', '.join(self.variables)}. Got {x!r} instead."
            )
        return x

    def _checked(self, columns: Mapping[str, Sequence[object] | Floats]) -> dict[str, Floats]:
        """Return the values of variables; a ValueError tells which is not among its options."""
        values = {name: self._numbers(name, columns[name]) for name in self.variables}
        for name, variable in self.variables.items():
            column, expected = values[name], "a whole number"
            if isinstance(variable, Integer):
                fits = column == np.floor(column)
            elif isinstance(variable, Choice):
                fits, expected = np.isin(column, variable.options), f"one of {variable.options}"
            else:
                continue
            if not fits.all():
                i = int(np.argmin(fits))
                raise ValueError(
                    f"The variable {name!r} of {type(self).__name__} must be {expected}. "
                    f"Got {column[i]:g} in design {i} instead."
                )
        return values

    def _numbers(self, name: str, column: Sequence[object] | Floats) -> Floats:
        """Return the values of one variable as numbers; a ValueError tells which is none."""
        if isinstance(column, np.ndarray) and column.dtype.kind in "biuf":
            return column.astype(np.float64)
        for i, value in enumerate(column):
            if not isinstance(value, int | float | np.integer | np.floating | np.bool_):
                raise ValueError(
                    f"The variable {name!r} of {type(self).__name__} must be a number. "
                    f"Got {value!r} in design {i} instead."
                )
        return np.array(column, dtype=np.float64)

    def _evaluate(self, X: ArrayLike, out: dict[str, Floats], *args: object, **kw: object) -> None:
        objectives, constraints = self._formulas(self.values(X))
        out["F"] = np.column_stack(objectives)
        if self.constraint_names:
            out["G"] = np.column_stack(constraints)

    @abstractmethod
    def _formulas(self, v: Values) -> Outputs:
        """Return objectives and constraints of designs, with the names of the variables."""
