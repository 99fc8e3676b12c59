"""Individuals that have results, among those of a run or of ask and tell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from pymoo.core.individual import Individual
from pymoo.core.problem import Problem


def with_results(problem: Problem, individuals: Sequence[Individual]) -> list[Individual]:
    """Return the individuals that were evaluated, or have failed, in order.

    Raises
    ------
    ValueError
        There are none among several, or one does not have all objectives and constraints.
    """
    sizes = {"F": problem.n_obj, "G": problem.n_ieq_constr, "H": problem.n_eq_constr}
    found = []
    for i, ind in enumerate(individuals):
        if "status" not in ind.data:  # an Evaluator has checked the others
            if np.size(ind.F) == 0:
                continue
            _check(ind, i, sizes)
        found.append(ind)
    if len(individuals) and not found:
        raise ValueError(
            f"The designs of a MinimizeResult must have results. None of the {len(individuals)} "
            "has one; record() them first."
        )
    return found


def _check(individual: Individual, i: int, sizes: Mapping[str, int]) -> None:
    for name, size in sizes.items():
        value = getattr(individual, name)
        shape = (0,) if value is None else np.shape(value)
        if shape != (size,):
            raise ValueError(
                f"Each design of a MinimizeResult must have {name} of shape {(size,)}. Got shape "
                f"{shape} for design {i}; record() its result."
            )
