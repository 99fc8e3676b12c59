"""Moves of a local search by type of variable: real, integer, binary and mixed."""

from __future__ import annotations

import numpy as np
from pymoo.core.variable import Binary, Choice, Integer, Real, Variable

from moela._arrays import Bools, Designs, Floats
from moela._codes import NO_CODES, Bound, Codes

# Share of the moves of bits that exchange a 1 and a 0, if there are constraints.
_PROB_EXCHANGE = 0.5


def _chosen(n: int, n_var: int, random_state: np.random.Generator) -> Bools:
    """Mark one random variable in each row, and every other one with probability 1 / n_var."""
    chosen = random_state.random((n, n_var)) < 1.0 / n_var
    chosen[np.arange(n), random_state.integers(0, n_var, n)] = True
    return chosen


def move_real(
    X: Designs,
    xl: Bound,
    xu: Bound,
    steps: Floats,
    random_state: np.random.Generator,
    codes: Codes = NO_CODES,
) -> Floats:
    """Move real designs X [b, n_var] by normal steps; `steps` [b] are fractions of the ranges."""
    noise = random_state.normal(size=X.shape) * steps[:, None] * (xu - xl)
    chosen = _chosen(X.shape[0], X.shape[1], random_state)
    moved = np.where(chosen, X + noise, X)
    codes.step(moved, X, xl, xu)
    # Reflect once at a bound, so that a design on it is not proposed to itself half of the time.
    moved = np.where(moved < xl, 2 * xl - moved, moved)
    moved = np.where(moved > xu, 2 * xu - moved, moved)
    moved = np.clip(moved, xl, xu)
    codes.relabel(moved, X, chosen, xl, xu, random_state)
    codes.rearrange(moved, X, chosen, random_state)
    return moved


def move_integer(
    X: Designs, xl: Bound, xu: Bound, steps: Floats, random_state: np.random.Generator
) -> Designs:
    """Move integer designs X [b, n_var] by at least 1; `steps` [b] are fractions of the ranges."""
    size = 1 + np.floor(random_state.exponential(size=X.shape) * steps[:, None] * (xu - xl))
    sign = np.where(random_state.random(X.shape) < 0.5, -1, 1)
    sign = np.where(xl >= X, 1, np.where(xu <= X, -1, sign))
    moved = np.where(_chosen(X.shape[0], X.shape[1], random_state), X + sign * size, X)
    return np.clip(moved, xl, xu).astype(X.dtype)


def flip_bits(X: Designs, random_state: np.random.Generator) -> Designs:
    """Return bits X [b, n_var] with one random bit of each row flipped, and sometimes others."""
    return np.where(_chosen(X.shape[0], X.shape[1], random_state), ~X.astype(bool), X.astype(bool))


def exchange_bits(moved: Designs, X: Designs, random_state: np.random.Generator) -> None:
    """Replace half of the moves of bits X [b, n_var], in place: a 1 and a 0 change places.

    Where constraints limit what is chosen, or demand enough of it, a single flip of a good design
    is mostly either illegal or worse.
    """
    bits = X.astype(bool)
    order = random_state.random(bits.shape)
    one = np.where(bits, order, -1.0).argmax(axis=1)
    zero = np.where(bits, -1.0, order).argmax(axis=1)
    mixed = bits.any(axis=1) & ~bits.all(axis=1)
    at = np.flatnonzero(mixed & (random_state.random(len(bits)) < _PROB_EXCHANGE))
    moved[at] = bits[at]
    moved[at, one[at]], moved[at, zero[at]] = False, True


def move_mixed(
    X: Designs, variables: dict[str, Variable], steps: Floats, random_state: np.random.Generator
) -> Designs:
    """Move designs X [b], dictionaries of `variables`, each variable by its type."""
    names = list(variables)
    chosen = _chosen(len(X), len(names), random_state)
    moved = np.empty(len(X), dtype=object)
    for i, x in enumerate(X):
        moved[i] = dict(x)
        for name in [names[j] for j in np.flatnonzero(chosen[i])]:
            moved[i][name] = _move_one(x[name], variables[name], steps[i : i + 1], random_state)
    return moved


def _move_one(
    value: object, variable: Variable, step: Floats, random_state: np.random.Generator
) -> object:
    match variable:
        case Binary():
            return not value
        case Choice():
            others = [option for option in variable.options if option != value]
            return others[random_state.integers(len(others))] if others else value
        case Integer():
            low, high = variable.bounds
            return int(move_integer(np.array([[value]]), low, high, step, random_state).item())
        case Real():
            low, high = variable.bounds
            return float(move_real(np.array([[value]]), low, high, step, random_state).item())
    raise ValueError(
        f"A variable must be pymoo's Real, Integer, Binary or Choice. Got "
        f"{type(variable).__name__} instead; give the problem a neighbors() method."
    )
