"""Tests of the origins of individuals."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from pymoo.core.individual import Individual
from pymoo.core.population import Population

from moela.core.origin import (
    Origin,
    asked_by,
    forget_details,
    listed_origins,
    origin_of,
    origins,
    set_origin,
)


@pytest.fixture
def pop():
    return Population.new("X", np.zeros((3, 2)))


def test_fields_are_set_for_all_or_for_each(pop):
    features = np.arange(6.0).reshape(3, 2)
    set_origin(pop, part="search", search=np.array([4, 5, 6]), features=features)
    set_origin(pop, move=[np.zeros(1), np.ones(1), np.ones(1)])
    assert origins(pop, "search", np.int64).tolist() == [4, 5, 6]
    assert asked_by(pop, "search").all()
    np.testing.assert_array_equal(origins(pop, "features"), features)
    assert origins(pop, "move").shape == (3, 1)
    assert pop[0].get("origin").subproblem == -1


def test_individuals_of_somebody_else_have_the_default_origin(pop):
    # Their text, since a prediction that is not a number differs from itself.
    assert repr(origin_of(pop[0])) == repr(Origin())
    assert not asked_by(pop, "evolution").any()
    assert origins(pop, "subproblem", np.int64).tolist() == [-1, -1, -1]
    forget_details(pop)
    assert "origin" not in pop[0].data
    set_origin(Population.empty(), part="search")


def test_details_are_forgotten_and_the_rest_stays(pop):
    set_origin(pop, part="pareto", base=Individual(), features=np.zeros((3, 2)))
    forget_details(pop)
    origin = origin_of(pop[2])
    assert (origin.part, origin.base, origin.features) == ("pareto", None, None)


def test_copies_share_everything_but_the_base(pop):
    base = Individual(X=np.zeros(2))
    set_origin(pop, base=base, features=np.zeros((3, 2)))
    copied, copied_base = copy.deepcopy((pop, base))
    assert origin_of(copied[0]).base is copied_base is not base
    assert np.shares_memory(origin_of(copied[0]).features, origin_of(pop[0]).features)
    assert origin_of(pickle.loads(pickle.dumps(pop))[1]).features.tolist() == [0.0, 0.0]


def test_a_part_of_a_batch_has_fields_of_its_own(pop):
    set_origin(pop, search=np.array([4, 5, 6]), features=np.arange(6.0).reshape(3, 2))
    set_origin(pop[[2, 0]], search=np.array([8, 7]), part="search")
    assert origins(pop, "search", np.int64).tolist() == [7, 5, 8]
    assert listed_origins(pop, "part") == ["search", None, "search"]
    forget_details(pop[:2])
    assert [origin_of(ind).features is None for ind in pop] == [True, True, False]
    assert origin_of(pop[2]).features.tolist() == [4.0, 5.0]


def test_batches_of_several_parts_keep_the_order_and_the_fields_of_each(pop):
    other = Population.new("X", np.zeros((2, 2)))
    set_origin(pop, part="search", search=np.array([4, 5, 6]), move=np.ones((3, 1)))
    set_origin(other, part="evolution", subproblem=np.array([1, 2]))
    merged = Population.merge(pop, other)
    set_origin(merged, phase=3)
    assert origins(merged, "search", np.int64).tolist() == [4, 5, 6, -1, -1]
    assert origins(merged[[4, 0]], "subproblem", np.int64).tolist() == [2, -1]
    assert [move is None for move in listed_origins(merged, "move")] == [False] * 3 + [True] * 2
    assert origins(merged[:3], "move").shape == (3, 1)
    assert origin_of(other[1]).phase == 3
