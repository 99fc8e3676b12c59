"""Checks of problems: an evaluation depends on the design alone, and copies evaluate alike."""

from __future__ import annotations

import copy

import numpy as np
from pymoo.core.problem import Problem

from moela.testing.drive import (
    copied,
    designs_unchanged,
)
from moela.testing.sampled import N_DESIGNS, designs_of, evaluated, first_difference

_NOISY = (
    "The same X must give the same {name}. It changes from one evaluation to the next; noise must "
    "come from a generator that the design alone seeds."
)


def check_evaluation(problem: Problem) -> None:
    """Check that `evaluate` takes many rows and returns finite arrays of the right shapes."""
    low, high = problem.bounds()
    if not (getattr(problem, "vars", None) or low is None or high is None):
        crossed = np.flatnonzero(~(np.asarray(low) <= np.asarray(high)))
        assert not len(crossed), f"xl must be at most xu. It is not for variable {crossed[0]}."
    out = evaluated(problem, designs_of(problem))
    shapes = {"F": problem.n_obj, "G": problem.n_ieq_constr, "H": problem.n_eq_constr}
    for name, n in shapes.items():
        assert out[name].shape == (N_DESIGNS, n), (
            f"evaluate() must return {name} of shape {(N_DESIGNS, n)}. Got {out[name].shape} "
            "instead."
        )
        assert np.isfinite(out[name]).all(), f"evaluate() must return a finite {name}."


def check_rows_are_independent(problem: Problem) -> None:
    """Check that the values of a design are the same, to the last bit, alone and in any batch."""
    X = designs_of(problem)
    whole, again = evaluated(problem, X), evaluated(problem, X)
    for name in ("F", "G", "H"):
        assert np.array_equal(again[name], whole[name]), _NOISY.format(name=name)
    alone = [evaluated(problem, X[i : i + 1]) for i in range(N_DESIGNS)]
    chunks = [evaluated(problem, X[i : i + 5]) for i in range(0, N_DESIGNS, 5)]
    backwards = evaluated(problem, X[::-1])
    for name in ("F", "G", "H"):
        batches = {
            "one by one": np.concatenate([part[name] for part in alone]),
            "by five": np.concatenate([part[name] for part in chunks]),
            "in reverse": backwards[name][::-1],
        }
        for how, values in batches.items():
            assert np.array_equal(values, whole[name]), (
                f"{name} must not depend on the batch. Rows evaluated {how} differ from those "
                f"evaluated together, at row {first_difference(values, whole[name])}."
            )


def check_evaluation_changes_nothing(problem: Problem) -> None:
    """Check that an evaluation changes neither X nor the values of a later evaluation."""
    X = designs_of(problem)
    # Of designs that are dictionaries or objects, only a deep copy has parts of its own.
    frozen = copy.deepcopy(X)
    frozen.flags.writeable = False
    with designs_unchanged(frozen, "evaluate()"):
        try:
            first = evaluated(problem, frozen)
        except ValueError as error:
            if "read-only" not in str(error):
                raise
            raise AssertionError(
                f"evaluate() must not change X. It writes into it: {error}; work on a copy."
            ) from error
    with designs_unchanged(X, "evaluate()"):
        second = evaluated(problem, X)
    for name in ("F", "G", "H"):
        assert np.array_equal(first[name], second[name]), _NOISY.format(name=name)


def check_ref_point(problem: Problem) -> None:
    """Check that `ref_point` has one finite value per objective."""
    point = getattr(problem, "ref_point", None)
    if point is None:
        return
    point = np.asarray(point, dtype=float)
    assert point.shape == (problem.n_obj,), (
        f"ref_point must have shape {(problem.n_obj,)}. Got {point.shape} instead."
    )
    assert np.isfinite(point).all(), f"ref_point must be finite. Got {point} instead."


def check_version(problem: Problem) -> None:
    """Check that `version`, if it exists and is not None, is a text or a number."""
    version = getattr(problem, "version", None)
    known = version is None or isinstance(version, str | int | float | np.number)
    assert known, f"version must be a text or a number. Got {version!r} instead."
    assert version != "", "version must not be empty."


def check_problem_copies(problem: Problem) -> None:
    """Check that pickles and deep copies evaluate alike."""
    X = designs_of(problem)
    F = evaluated(problem, X)["F"]
    for how, clone in (
        ("pickle", copied(problem)),
        ("deep copy", copy.deepcopy(problem)),
    ):
        got = evaluated(clone, X)["F"]
        assert np.array_equal(got, F), f"A {how} of the problem must evaluate as the problem does."
