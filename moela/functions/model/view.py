"""A problem as its user sees it: designs as dictionaries, outputs by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from pymoo.core.individual import Individual
from pymoo.core.problem import Problem

from moela._arrays import Design, Floats
from moela.functions.model.function_problem import FunctionProblem
from moela.functions.model.goals import Constraint
from moela.functions.model.kinds import Choice, plain
from moela.functions.model.outputs import PREFIX
from moela.quality.table import Row


class ProblemView:
    """Names and signs of a problem's objectives, and its designs and outputs by name.

    Parameters
    ----------
    problem : Problem
        That of a function, or any other of pymoo, whose objectives are minimized.
    """

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.own = problem if isinstance(problem, FunctionProblem) else None
        names = getattr(problem, "objective_names", None)
        known = names is not None and len(names) == problem.n_obj
        self.names = tuple(
            map(str, names) if known else (f"f{j + 1}" for j in range(problem.n_obj))  # type: ignore[arg-type]
        )
        self.signs: Floats = np.ones(problem.n_obj) if self.own is None else self.own.signs
        self.constraints: tuple[Constraint, ...] = ()
        if self.own is not None:
            self.constraints = self.own.outputs.constraints

    @property
    def title(self) -> str:
        """Name of the function or problem."""
        return self.problem.name() if self.own is None else self.own.name()

    @property
    def variables(self) -> list[str]:
        """Names of the variables of a function, which exist in some designs only; else none."""
        return [] if self.own is None else list(self.own.variables)

    def senses(self) -> list[str]:
        """Return "min" or "max" for each objective."""
        return ["min" if sign > 0 else "max" for sign in self.signs]

    def design(self, x: Design) -> Row:
        """Return a design as a dictionary of its variables."""
        if self.own is not None:
            return self.own.decode(x)
        if isinstance(x, Mapping):
            return {name: plain(value) for name, value in x.items()}
        return {f"x{j}": value for j, value in enumerate(np.asarray(x).tolist())}

    def logarithmic(self) -> list[str]:
        """Return the names of the variables that are searched in the logarithm."""
        known = {} if self.own is None else self.own.variables
        return [name for name, variable in known.items() if getattr(variable, "log", False)]

    def options(self) -> dict[str, Sequence[object]]:
        """Return the options of each choice, in their order."""
        known = {} if self.own is None else self.own.variables
        return {name: v.options for name, v in known.items() if isinstance(v, Choice)}

    def objectives(self, individual: Individual) -> dict[str, float]:
        """Return the objectives of an evaluated individual with their own sign."""
        values = (self.signs * np.asarray(individual.F, dtype=float)).tolist()
        return dict(zip(self.names, values, strict=True))

    def others(self, individual: Individual) -> Row:
        """Return the constraints and all other outputs of an evaluated individual."""
        if self.own is None:
            G = np.asarray(individual.G).tolist() if self.problem.n_ieq_constr else []
            return {f"g{j + 1}": value for j, value in enumerate(G)}
        kept = {
            name.removeprefix(PREFIX): _scalar(value)
            for name, value in individual.data.items()
            if name.startswith(PREFIX)
        }
        first = {
            constraint.name: kept.pop(constraint.name, None) for constraint in self.constraints
        }
        return first | dict(sorted(kept.items()))


def _scalar(value: object) -> object:
    """Return an array without dimensions as the Python value in it."""
    if isinstance(value, np.generic) or (isinstance(value, np.ndarray) and value.ndim == 0):
        return value.item()
    return value
