"""Tests of the origins of individuals."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from pymoo.core.individual import Individual
from pymoo.core.population import Population

from moela.core.origin import (
    listed_origins,
    origin_of,
    origins,
    set_origin,
)


@pytest.fixture
def pop():
    return Population.new("X", np.zeros((3, 2)))


def test_copies_share_everything_but_the_base(pop):
    base = Individual(X=np.zeros(2))
    set_origin(pop, base=base, features=np.zeros((3, 2)))
    copied, copied_base = copy.deepcopy((pop, base))
    assert origin_of(copied[0]).base is copied_base is not base
    assert np.shares_memory(origin_of(copied[0]).features, origin_of(pop[0]).features)
    assert origin_of(pickle.loads(pickle.dumps(pop))[1]).features.tolist() == [0.0, 0.0]


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
