from __future__ import annotations

import numpy as np
import pytest
from pymoo.core.problem import Problem
from pymoo.operators.crossover.ox import OrderCrossover
from pymoo.operators.crossover.pntx import TwoPointCrossover
from pymoo.operators.crossover.ux import UX
from pymoo.operators.mutation.bitflip import BitflipMutation
from pymoo.operators.mutation.inversion import InversionMutation
from pymoo.operators.mutation.nom import NoMutation
from pymoo.operators.repair.rounding import RoundingRepair
from pymoo.operators.sampling.rnd import BinaryRandomSampling, PermutationRandomSampling

from moela.core.operators import kind_of, resolve
from moela.testing import ToyBinary, ToyInteger, ToyMixed, ToyPermutation, ToyReal


@pytest.mark.parametrize(
    ("problem", "kind"),
    [
        (ToyReal(), "real"),
        (ToyInteger(), "integer"),
        (ToyBinary(), "binary"),
        (ToyMixed(), "mixed"),
        (Problem(n_var=2, n_obj=2, xl=0.0, xu=1.0), "real"),
        (Problem(n_var=2, n_obj=2, xl=0, xu=1, vtype=np.bool_), "binary"),
        (Problem(n_var=2, n_obj=2, xl=0, xu=9, vtype=np.int64), "integer"),
        (Problem(n_var=2, n_obj=2, xl=0, xu=9, vtype=np.float32), "real"),
    ],
)
def test_kind_of(problem, kind):
    assert kind_of(problem) == kind


def test_an_unknown_type_says_what_to_do():
    with pytest.raises(ValueError, match=r"must be float, int, bool or None. Got <class 'str'>"):
        kind_of(Problem(n_var=2, n_obj=2, xl=0, xu=9, vtype=str))


def test_the_argument_comes_before_the_problem_and_the_problem_before_the_type():
    own = resolve(ToyPermutation())
    assert isinstance(own.crossover, OrderCrossover)
    assert isinstance(own.sampling, PermutationRandomSampling)
    crossover = TwoPointCrossover()
    given = resolve(ToyPermutation(), crossover=crossover)
    assert given.crossover is crossover
    assert isinstance(given.mutation, InversionMutation)
    typed = resolve(ToyBinary())
    assert isinstance(typed.sampling, BinaryRandomSampling)
    assert isinstance(typed.mutation, BitflipMutation)


def test_a_problem_without_any_type_needs_all_three():
    problem = Problem(n_var=5, n_obj=2, xl=0, xu=4, vtype=str)
    given = {
        "sampling": PermutationRandomSampling(),
        "crossover": OrderCrossover(),
        "mutation": InversionMutation(),
    }
    assert resolve(problem, **given).kind == "own"
    with pytest.raises(ValueError, match="vtype"):
        resolve(problem, sampling=given["sampling"])


@pytest.mark.parametrize("bounds", [{}, {"xl": 0.0}, {"xl": 0.0, "xu": np.inf}])
@pytest.mark.parametrize("vtype", [None, float, int])
def test_variables_without_bounds_are_refused_unless_operators_do_without(bounds, vtype):
    problem = Problem(n_var=3, n_obj=2, vtype=vtype, **bounds)
    with pytest.raises(ValueError, match=r"must have finite bounds.*operators\(\)"):
        resolve(problem, sampling=np.zeros((4, 3)))
    own = {"sampling": np.zeros((4, 3)), "crossover": UX(), "mutation": NoMutation()}
    assert resolve(problem, **own).kind == "own"


def test_unknown_names_from_the_problem_are_refused():
    problem = ToyReal()
    problem.operators = lambda: {"mating": None, "selection": None}
    with pytest.raises(ValueError, match="Got 'mating', 'selection' as well"):
        resolve(problem)


def test_children_belong_to_their_row():
    # Both parents are the same string of zeros or ones, so that only the mutation changes a child.
    problem, rng = ToyBinary(), np.random.default_rng(0)
    operators = resolve(problem)
    pop = operators.sampling(problem, 2, random_state=rng)
    pop[0].X, pop[1].X = np.zeros(14, dtype=bool), np.ones(14, dtype=bool)
    rows = np.array([[0, 0], [1, 1]] * 10)
    X = operators.children(problem, pop, rows, rng).get("X")
    assert (X[::2].sum(axis=1) <= 5).all()
    assert (X[1::2].sum(axis=1) >= 9).all()


def test_the_repair_is_applied_to_children():
    problem, rng = ToyReal(), np.random.default_rng(0)
    operators = resolve(problem, repair=RoundingRepair())
    pop = operators.sampling(problem, 6, random_state=rng)
    X = operators.children(problem, pop, rng.integers(0, 6, (8, 2)), rng).get("X")
    assert np.array_equal(X, np.round(X))
