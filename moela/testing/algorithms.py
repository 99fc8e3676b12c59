"""The conformance suite of algorithms: checks that each raise an AssertionError."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence

from pymoo.core.problem import Problem

from moela.testing.copies import check_arguments_untouched, check_copies, check_copy_is_apart
from moela.testing.drive import MakeAlgorithm, run_check, unskipped
from moela.testing.results import (
    check_callback,
    check_display,
    check_front,
    check_infeasible,
    check_nothing_is_lost,
    check_save_history,
    check_scale,
)
from moela.testing.runs import (
    check_answers_in_any_order,
    check_ask_and_tell,
    check_ask_tell_budget,
    check_budget,
    check_designs_differ,
    check_global_random_state,
    check_other_seed,
    check_same_seed,
    check_set_up_twice,
    check_terminations,
)
from moela.testing.toys import toy_problems

AlgorithmCheck = Callable[[MakeAlgorithm, Problem], None]

ON_EACH_PROBLEM: tuple[AlgorithmCheck, ...] = (
    check_budget,
    check_designs_differ,
    check_same_seed,
    check_ask_and_tell,
    check_copies,
    check_front,
    check_nothing_is_lost,
    check_answers_in_any_order,
    check_arguments_untouched,
    check_terminations,
    check_display,
)
ON_FIRST_PROBLEM: tuple[AlgorithmCheck, ...] = (
    check_ask_tell_budget,
    check_other_seed,
    check_global_random_state,
    check_copy_is_apart,
    check_callback,
    check_save_history,
    check_set_up_twice,
    check_infeasible,
    check_scale,
)
ALGORITHM_CHECKS = ON_EACH_PROBLEM + ON_FIRST_PROBLEM


def check_algorithm(
    make_algorithm: MakeAlgorithm,
    problems: Sequence[Problem] | None = None,
    *,
    skip: Sequence[str] = (),
) -> None:
    """Run every check of ``ALGORITHM_CHECKS`` on a pymoo algorithm.

    Parameters
    ----------
    make_algorithm : callable
        Returns a new algorithm: a class, or a function that passes its keyword arguments on to
        one, such as ``lambda **kwargs: MOELA(n_subproblems=20, **kwargs)``. It is called without
        arguments, and with ``sampling=``. Small settings make the checks fast and let them reach
        every phase of the algorithm within about 100 evaluations.
    problems : sequence of Problem, optional
        Those to check on. The first one takes the checks that do not depend on the variables.
        Default: `toy_problems()`.
    skip : sequence of str
        Names of checks to leave out.

    Raises
    ------
    AssertionError
        A check failed. The message says what was expected and what came; its notes name the check
        and the problem.
    RuntimeError
        Python runs without assert statements (``-O``).
    ValueError
        `skip` names no check.

    Examples
    --------
    >>> from moela.rivals import BatchMOEAD
    >>> from moela.testing import ToyReal, check_algorithm
    >>> check_algorithm(lambda **kwargs: BatchMOEAD(n_subproblems=10, **kwargs), [ToyReal()])
    """
    assert callable(make_algorithm), (
        "The 'make_algorithm' parameter of check_algorithm must be a class or a function that "
        f"makes an algorithm. Got an object of {type(make_algorithm).__name__} instead, which "
        "cannot be called."
    )
    for check in unskipped(ALGORITHM_CHECKS, skip, "check_algorithm"):
        run_algorithm_check(check, make_algorithm, problems)


def run_algorithm_check(
    check: AlgorithmCheck, make_algorithm: MakeAlgorithm, problems: Sequence[Problem] | None = None
) -> None:
    """Run one check on a copy of each problem, or of the first where variables do not matter.

    Parameters
    ----------
    check : callable
        One of ``ALGORITHM_CHECKS``.
    make_algorithm : callable
        As for `check_algorithm`.
    problems : sequence of Problem, optional
        By default `toy_problems`.

    Raises
    ------
    AssertionError
        What the algorithm does against the check, and on which problem.
    RuntimeError
        Python runs without assert statements (``-O``).

    Examples
    --------
    >>> from moela import MOELA
    >>> from moela.testing import ALGORITHM_CHECKS, ToyReal, run_algorithm_check
    >>> for check in ALGORITHM_CHECKS[:1]:
    ...     run_algorithm_check(check, MOELA, [ToyReal()])
    """
    problems = toy_problems() if problems is None else list(problems)
    for problem in problems if check in ON_EACH_PROBLEM else problems[:1]:
        # No check finds what an earlier one has left in the problem.
        run_check(check, make_algorithm, copy.deepcopy(problem))
