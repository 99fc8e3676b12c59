"""Sampled designs and their values, for the checks of problems."""

from __future__ import annotations

import warnings

import numpy as np
from pymoo.core.population import Population
from pymoo.core.problem import Problem

from moela._arrays import Designs, Floats, rows
from moela.core.operators import resolve

N_DESIGNS = 17  # designs per check


def sample(problem: Problem, n: int, rng: np.random.Generator) -> Population:
    """Return n sampled and repaired designs."""
    operators = resolve(problem)
    pop = operators.sampling(problem, n, random_state=rng)
    return operators.repair(problem, pop, random_state=rng)


def designs_of(problem: Problem) -> Designs:
    """Return the designs of most checks, [N_DESIGNS, ...]."""
    return rows(list(sample(problem, N_DESIGNS, np.random.default_rng(0)).get("X")))


def evaluated(problem: Problem, X: Designs) -> dict[str, Floats]:
    """Return F, G and H of designs; an AssertionError if they are complex."""
    with warnings.catch_warnings():
        # Else pymoo casts complex numbers to real ones.
        warnings.simplefilter("error", np.exceptions.ComplexWarning)
        out = problem.evaluate(X, return_values_of=["F", "G", "H"], return_as_dictionary=True)
    for name, values in out.items():
        assert not np.iscomplexobj(values), (
            f"evaluate() must return real numbers. Got complex ones as {name}; return their real "
            "parts or absolute values if that is meant."
        )
    return {name: np.asarray(out[name], dtype=float) for name in ("F", "G", "H")}


def first_difference(A: Designs, B: Designs) -> int:
    """Return the first row in which A and B [n, m] differ."""
    return int(np.flatnonzero((A != B).any(axis=1))[0])
