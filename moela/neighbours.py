"""Small moves from a design, by the type of its variables: what a local search chooses among."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pymoo.core.population import Population
from pymoo.core.problem import Problem
from pymoo.core.variable import Binary, Choice, Integer, Real

if TYPE_CHECKING:
    from moela.operators import Operators

Step = NDArray[np.float64] | float


def neighbours_of(
    problem: Problem,
    operators: Operators,
    X: NDArray[Any],
    k: int,
    random_state: np.random.Generator,
    step: Step = 0.1,
) -> NDArray[Any]:
    """Propose k neighbours of each of n designs.

    The problem's own `neighbours_many(X, k, random_state)` is used where there is one, else its
    `neighbours(x, k, random_state)`, else a move by variable type, else k mutations.

    Parameters
    ----------
    X : array, [n, n_var], or [n] dictionaries for mixed variables
    k : int
    step : float, or float array [n]
        Standard deviation of a move of a real variable, as a share of its range. The other types
        have moves of one size.

    Returns
    -------
    array, [n, k, n_var], or [n, k] dictionaries
    """
    if hasattr(problem, "neighbours_many"):
        return np.asarray(problem.neighbours_many(X, k, random_state))
    if hasattr(problem, "neighbours"):
        return np.stack([np.asarray(problem.neighbours(x, k, random_state)) for x in X])
    n = len(X)
    repeated = np.repeat(X, k, axis=0)
    steps = np.broadcast_to(np.asarray(step, dtype=float), (n,)).repeat(k)
    match operators.kind:
        case "real":
            moved = _move_real(repeated, problem.xl, problem.xu, steps, random_state)
        case "integer":
            moved = _move_integer(repeated, problem.xl, problem.xu, steps, random_state)
        case "binary":
            moved = _flip(repeated, random_state)
        case "mixed":
            moved = _move_mixed(repeated, problem.vars, steps, random_state)
        case _:
            assert operators.mutation is not None
            pop = Population.new("X", repeated.copy())
            moved = operators.mutation(problem, pop, random_state=random_state).get("X")
    pop = Population.new("X", moved)
    moved = operators.repair(problem, pop, random_state=random_state).get("X")
    return moved.reshape(n, k, *moved.shape[1:])


def _chosen(n: int, n_var: int, random_state: np.random.Generator) -> NDArray[np.bool_]:
    """Mark at least one variable a row, each with probability 1 / n_var beyond that."""
    chosen = random_state.random((n, n_var)) < 1.0 / n_var
    chosen[np.arange(n), random_state.integers(0, n_var, n)] = True
    return chosen


def _move_real(
    X: NDArray[Any], xl: Any, xu: Any, steps: NDArray[Any], random_state: np.random.Generator
) -> NDArray[np.float64]:
    noise = random_state.normal(size=X.shape) * steps[:, None] * (xu - xl)
    moved = np.where(_chosen(X.shape[0], X.shape[1], random_state), X + noise, X)
    # Reflect once at a bound, so that a design on it is not proposed to itself half of the time.
    moved = np.where(moved < xl, 2 * xl - moved, moved)
    moved = np.where(moved > xu, 2 * xu - moved, moved)
    return np.clip(moved, xl, xu)


def _move_integer(
    X: NDArray[Any], xl: Any, xu: Any, steps: NDArray[Any], random_state: np.random.Generator
) -> NDArray[Any]:
    size = 1 + np.floor(random_state.exponential(size=X.shape) * steps[:, None] * (xu - xl))
    sign = np.where(random_state.random(X.shape) < 0.5, -1, 1)
    sign = np.where(xl >= X, 1, np.where(xu <= X, -1, sign))
    moved = np.where(_chosen(X.shape[0], X.shape[1], random_state), X + sign * size, X)
    return np.clip(moved, xl, xu).astype(X.dtype)


def _flip(X: NDArray[Any], random_state: np.random.Generator) -> NDArray[Any]:
    return np.where(_chosen(X.shape[0], X.shape[1], random_state), ~X.astype(bool), X.astype(bool))


def _move_mixed(
    X: NDArray[Any],
    variables: dict[str, Any],
    steps: NDArray[Any],
    random_state: np.random.Generator,
) -> NDArray[Any]:
    names = list(variables)
    chosen = _chosen(len(X), len(names), random_state)
    moved = np.empty(len(X), dtype=object)
    for i, x in enumerate(X):
        changed = dict(x)
        for j in np.flatnonzero(chosen[i]):
            changed[names[j]] = _move_one(
                x[names[j]], variables[names[j]], float(steps[i]), random_state
            )
        moved[i] = changed
    return moved


def _move_one(value: Any, variable: Any, step: float, random_state: np.random.Generator) -> Any:
    match variable:
        case Binary():
            return not value
        case Choice():
            others = [option for option in variable.options if option != value]
            return others[random_state.integers(len(others))] if others else value
        case Integer():
            low, high = variable.bounds
            return int(
                _move_integer(np.array([[value]]), low, high, np.array([step]), random_state)[0, 0]
            )
        case Real():
            low, high = variable.bounds
            return float(
                _move_real(np.array([[value]]), low, high, np.array([step]), random_state)[0, 0]
            )
    raise ValueError(
        f"A variable must be pymoo's Real, Integer, Binary or Choice. Got "
        f"{type(variable).__name__} instead; give the problem a neighbours() method."
    )
