"""The conformance suite of problems: checks that each raise an AssertionError."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pymoo.core.problem import Problem

from moela.testing.drive import run_check, unskipped
from moela.testing.evaluation import (
    check_evaluation,
    check_evaluation_changes_nothing,
    check_problem_copies,
    check_ref_point,
    check_rows_are_independent,
    check_version,
)
from moela.testing.features import (
    check_canonical,
    check_decode,
    check_describe_differences,
    check_features,
    check_neighbor_features,
)
from moela.testing.operators import (
    check_neighbors,
    check_neighbors_many,
    check_nsga2,
    check_operators_are_legal,
    check_operators_leave_parents,
    check_operators_randomness,
)

ProblemCheck = Callable[[Problem], None]

PROBLEM_CHECKS: tuple[ProblemCheck, ...] = (
    check_evaluation,
    check_rows_are_independent,
    check_evaluation_changes_nothing,
    check_operators_are_legal,
    check_operators_leave_parents,
    check_operators_randomness,
    check_neighbors,
    check_neighbors_many,
    check_canonical,
    check_ref_point,
    check_features,
    check_neighbor_features,
    check_decode,
    check_describe_differences,
    check_version,
    check_problem_copies,
    check_nsga2,
)


def check_problem(problem: Problem, *, skip: Sequence[str] = ()) -> None:
    """Run every check of ``PROBLEM_CHECKS`` on a problem.

    Parameters
    ----------
    problem : Problem
        A pymoo problem. Its extensions of pymoo's interface are checked if they exist:
        `operators`, `neighbors`, `neighbors_many`, `canonical`, `check`, `ref_point`,
        `features`, `neighbor_features`, `decode` and `encode`, `describe_differences`, `version`.
    skip : sequence of str
        Names of checks to leave out.

    Raises
    ------
    AssertionError
        A check failed. The message says what was expected and found; its notes name the check and
        the problem.
    RuntimeError
        Python runs without assert statements (``-O``).
    ValueError
        `skip` names no check.

    Examples
    --------
    >>> from moela.testing import ToyPermutation, check_problem
    >>> check_problem(ToyPermutation())
    """
    is_class = isinstance(problem, type)
    assert isinstance(problem, Problem), (
        "The 'problem' parameter of check_problem must be an instance of pymoo's Problem. Got "
        + (f"the class {problem.__name__} instead; call it." if is_class else f"{problem!r}.")
    )
    for check in unskipped(PROBLEM_CHECKS, skip, "check_problem"):
        run_check(check, problem)
