"""Tests of the errors for parameters that an algorithm does not have."""

from __future__ import annotations

import pytest
from pymoo.problems import get_problem

from moela import MOELA
from moela.core.algorithm import ArchiveAlgorithm
from moela.core.parameters import PYMOO, PymooParameters
from moela.rivals import MOMAD, MOOS, MOOSTAGE, VSRLS, BatchMOEAD, MemeticGBT


class Own(ArchiveAlgorithm):
    """An algorithm with a parameter of its own."""

    def __init__(self, *, width=1, n_init=5, **kwargs):
        super().__init__(n_init=n_init, **kwargs)
        self.width = width


@pytest.mark.parametrize(
    ("make", "parameter", "expected"),
    [
        (MOELA, "batchsize", "Did you mean 'batch_size'"),
        (MOELA.published, "n_child", "Did you mean 'n_children'"),
        (MOOS, "n_neighbours", "Did you mean 'n_neighbors'"),
        (MOOSTAGE, "n_model_neighbours", "Did you mean 'n_model_neighbors'"),
        (MOMAD, "n_kicks", "Use 'n_perturbation_moves'"),
        (MOMAD, "n_explore_neighbours", "Did you mean 'n_explore_neighbors'"),
        (BatchMOEAD, "prob_neighbour_mating", "Did you mean 'prob_neighbor_mating'"),
        (BatchMOEAD, "scalarisation", "Did you mean 'scalarization'"),
        (
            MOELA,
            "pop_size",
            "The number of initial designs is set by .* 'n_subproblems'",
        ),
        (MOOS, "pop_size", "The number of initial designs is set by .* 'n_init'"),
        (Own, "widht", "Did you mean 'width'"),
        (Own, "see", "Did you mean 'seed'"),
    ],
)
def test_the_nearest_parameter_is_named(make, parameter, expected):
    with pytest.raises(TypeError, match=f"has no parameter '{parameter}'. {expected}"):
        make(**{parameter: 1})


@pytest.mark.parametrize("name", ["n_init", "n_subproblems", "pop_size"])
@pytest.mark.parametrize(
    ("make", "own"),
    [
        (MOELA, "n_subproblems"),
        (MOELA.published, "n_subproblems"),
        (MOMAD, "n_subproblems"),
        (BatchMOEAD, "n_subproblems"),
        (MOOS, "n_init"),
        (MOOSTAGE, "n_init"),
        (VSRLS, "n_init"),
        (MemeticGBT, "pop_size"),
        (Own, "n_init"),
    ],
)
def test_the_number_of_initial_designs_has_the_name_that_the_class_gives_it(make, own, name):
    if name == own:
        assert make(**{name: 20}).n_init == 20
        return
    with pytest.raises(TypeError, match=f"has no parameter '{name}'. The number.* '{own}'. The"):
        make(**{name: 20})


def test_all_parameters_are_listed():
    own = "The parameters of Own are width, n_init, sampling, crossover, mutation, repair, archive"
    with pytest.raises(TypeError, match=own):
        Own(luck=1)
    with pytest.raises(TypeError, match=r"and those of pymoo's Algorithm: .*termination") as caught:
        MOELA(luck=1)
    assert "'luck'. The parameters of MOELA are n_subproblems, n_neighbors" in str(caught.value)
    assert "n_init" not in str(caught.value)


@pytest.mark.parametrize("size", [2, 0, 500.0, "all", True])
@pytest.mark.parametrize("make", [MOELA, MOMAD, MOOS])
def test_an_archive_of_a_wrong_size_names_the_algorithm(make, size):
    expected = rf"'archive_size' parameter of {make.__name__} must be .* at least .* = 4\. Got "
    with pytest.raises(ValueError, match=f"{expected}{size!r}"):
        make(archive_size=size).setup(get_problem("zdt1"), seed=1)


def test_type_checkers_know_the_parameters_of_pymoo():
    assert frozenset(PymooParameters.__annotations__) == PYMOO
