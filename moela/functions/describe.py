"""How a call was understood, in words."""

from __future__ import annotations

from pymoo.core.problem import Problem

from moela.functions.model.variables import Condition
from moela.functions.model.view import ProblemView
from moela.functions.model.words import shown


def understanding(problem: Problem) -> str:
    """Return what a problem's variables, objectives and constraints mean, a line for each."""
    view = ProblemView(problem)
    if view.own is None:
        counts = (
            f"{problem.n_var} variables, {problem.n_obj} objectives, {problem.n_constr} constraints"
        )
        return f"{view.title}: {counts}"
    variables = view.own.variables
    width = max(map(len, variables))
    lines = [f"{view.title}:"]
    for name, variable in variables.items():
        lines.append(f"  {name:<{width}}  {variable.describe()}{_condition(variable.when)}")
    for sense, verb in (("min", "minimize"), ("max", "maximize")):
        names = [n for n, s in zip(view.names, view.senses(), strict=True) if s == sense]
        if names:
            lines.append(f"  {verb} {', '.join(names)}")
    if view.constraints:
        lines.append(f"  with {'; '.join(c.describe() for c in view.constraints)}")
    return "\n".join(lines)


def _condition(when: Condition) -> str:
    texts = [f"{name} is {' or '.join(map(shown, values))}" for name, values in when]
    return f", only if {' and '.join(texts)}" if texts else ""
