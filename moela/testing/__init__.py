"""Conformance checks for algorithms and problems, to be used in anybody's own tests."""

from moela.testing.algorithms import ALGORITHM_CHECKS, check_algorithm, run_algorithm_check
from moela.testing.problems import PROBLEM_CHECKS, check_problem
from moela.testing.toys import (
    ToyBinary,
    ToyConstrained,
    ToyInfeasible,
    ToyInteger,
    ToyMixed,
    ToyPermutation,
    ToyReal,
    toy_problems,
)

__all__ = [
    "ALGORITHM_CHECKS",
    "PROBLEM_CHECKS",
    "ToyBinary",
    "ToyConstrained",
    "ToyInfeasible",
    "ToyInteger",
    "ToyMixed",
    "ToyPermutation",
    "ToyReal",
    "check_algorithm",
    "check_problem",
    "run_algorithm_check",
    "toy_problems",
]
