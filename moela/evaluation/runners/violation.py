"""Constraint violations as pymoo adds them up, but finite."""

from __future__ import annotations

import math

import numpy as np
from pymoo.core.individual import Individual, calc_cv
from pymoo.core.population import Population

from moela._arrays import Floats

# Violations beyond this grow with their logarithm only, so that sums and means of thousands of them
# stay finite while a larger one still counts as larger. An infinite one becomes 2^1011.
_LINEAR_UP_TO = 2.0**1000
_EXPONENT_OF_INFINITY = 2447.0
_NONE = np.empty(0)
# The terms of pymoo's sum that are added for all individuals at once.
_INEQUALITIES = {"scale": None, "eps": 0.0, "pow": None, "func": np.sum}
_EQUALITIES = {**_INEQUALITIES, "eps": 1e-4}


def violation(G: Floats | None, H: Floats | None) -> float:
    """Return the violation of constraints G [n_ieq_constr] and H [n_eq_constr]; NaN if one is NaN.

    It is pymoo's if that is at most 2^1000, and grows with the logarithm of pymoo's beyond.
    """
    with np.errstate(over="ignore"):
        total = float(calc_cv(G=G, H=H))
    if total > _LINEAR_UP_TO:
        return _bounded(total, _NONE if G is None else G, _NONE if H is None else H)
    return total


def violation_of(individual: Individual) -> float:
    """Return the violation of an individual; if pymoo's is huge, set it to the bounded one."""
    with np.errstate(over="ignore"):
        CV = float(individual.CV[0])
    if not CV > _LINEAR_UP_TO:
        return CV
    bounded = violation(individual.G, individual.H)
    if bounded <= _LINEAR_UP_TO:
        # Somebody else has set it, without regard to G and H.
        bounded = _bounded(CV, _NONE, _NONE)
    individual.CV = np.array([bounded])
    return bounded


def violations_of(pop: Population) -> Floats:
    """Return the violations of individuals, as `violation_of` does for one of them, [n]."""
    individuals = pop.tolist()
    if _have_usual_sums(individuals):
        G, H = (constraint_rows(individuals, name) for name in ("G", "H"))
        if G is not None and H is not None:
            with np.errstate(over="ignore"):
                total = np.maximum(0.0, G).sum(axis=1)
                total += np.maximum(0.0, np.abs(H) - _EQUALITIES["eps"]).sum(axis=1)
            if not (total > _LINEAR_UP_TO).any():
                return np.asarray(total)
    return np.array([violation_of(ind) for ind in individuals], dtype=float)


def _have_usual_sums(individuals: list[Individual]) -> bool:
    """Return whether the violation of each individual is pymoo's sum, and none is set yet."""
    if any(ind._CV is not None for ind in individuals):
        return False
    # Individuals share these parts of pymoo's default configuration.
    ieq, eq = ([ind.config[name] for ind in individuals] for name in ("cv_ieq", "cv_eq"))
    return all(
        part == usual
        for parts, usual in ((ieq, _INEQUALITIES), (eq, _EQUALITIES))
        for part in {id(part): part for part in parts}.values()
    )


def constraint_rows(individuals: list[Individual], name: str) -> Floats | None:
    """Return the constraints "G" or "H" of individuals as rows, [n, c]; a missing value has none.

    Returns None if there are no individuals, or if some have more constraints than others.
    """
    values = [getattr(ind, name) for ind in individuals]
    try:
        rows = np.array([_NONE if value is None else value for value in values], dtype=float)
    except ValueError:  # of different lengths
        return None
    return rows if rows.ndim == 2 else None


def bound_violation(individual: Individual) -> None:
    """Set the violation of an individual if pymoo's would be infinite or huge."""
    G, H = individual.G, individual.H
    if len(G) == 0 and len(H) == 0:
        return
    largest = max(np.max(G, initial=0.0), np.max(np.abs(H), initial=0.0))
    if largest > _LINEAR_UP_TO / 1e6:
        violation_of(individual)


def _bounded(total: float, G: Floats, H: Floats) -> float:
    exponent = math.log2(total) if math.isfinite(total) else _EXPONENT_OF_INFINITY
    if exponent == _EXPONENT_OF_INFINITY and len(G) + len(H):
        # The terms may be finite although their sum is not.
        scaled = float((np.concatenate([np.maximum(G, 0.0), np.abs(H)]) * 2.0**-64).sum())
        exponent = min(exponent, math.log2(scaled) + 64.0)
    return _LINEAR_UP_TO * (1.0 + exponent - math.log2(_LINEAR_UP_TO))
