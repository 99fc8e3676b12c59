"""How many designs MOELA asks for at a time, and from which parts."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from pymoo.core.population import Population
from pymoo.core.problem import Problem
from pymoo.operators.crossover.ox import OrderCrossover
from pymoo.operators.mutation.inversion import InversionMutation
from pymoo.operators.sampling.rnd import PermutationRandomSampling
from pymoo.problems import get_problem

from moela import MOELA
from moela._codes import permutation_moves
from moela.core.origin import origin_of
from moela.core.scaling import Normalization
from moela.search.local_search import LocalSearches
from problems import MNKLandscape

MNK = MNKLandscape.random(n=30, k=3, n_obj=2, seed=1)


def batches(problem, n_eval=600, **settings):
    """Return the parts that each batch after the first was asked for by, counted."""
    algorithm = MOELA(**settings)
    algorithm.setup(problem, seed=1, termination=("n_eval", n_eval))
    found = []
    while algorithm.has_next():
        pop = algorithm.ask()
        found.append(Counter(origin_of(ind).part for ind in pop))
        algorithm.evaluator.eval(problem, pop)
        algorithm.tell(infills=pop)
    return found[1:-1]


def test_parts_are_asked_together():
    found = batches(MNK, 3000)
    # Few at a time at first, when most neighbors are better.
    assert np.mean([sum(batch.values()) for batch in found[len(found) // 2 :]]) > 8
    assert any(len(batch) > 1 for batch in found)


class Chain(Problem):
    """Two objectives with few best orders: the way along a line, and the place of an item."""

    def __init__(self):
        super().__init__(n_var=12, n_obj=2, xl=0, xu=11, vtype=int)

    def _evaluate(self, x, out, *args, **kwargs):
        out["F"] = np.stack([np.abs(np.diff(x, axis=1)).sum(axis=1), x[:, 0] // 6], axis=1) * 1.0

    def operators(self):
        return {
            "sampling": PermutationRandomSampling(),
            "crossover": OrderCrossover(),
            "mutation": InversionMutation(),
        }

    def neighbors(self, x, k, random_state):
        return permutation_moves(x[None], k, random_state)[0]


@pytest.mark.parametrize("size", [3, 8, 32])
@pytest.mark.parametrize("problem", [MNK, get_problem("zdt1"), Chain()])
def test_batches_of_a_given_size_are_filled(problem, size):
    found = batches(problem, {3: 300, 8: 600, 32: 1200}[size], batch_size=size)
    # Restarts begin with designs of their own.
    sizes = np.array([sum(batch.values()) for batch in found if "initial" not in batch])
    assert np.mean(sizes == size) >= 0.95
    workers = np.ceil(sizes / size).sum() * size
    assert sizes.sum() / workers >= 0.95


def test_a_batch_is_of_one_part_where_this_has_enough_designs():
    found = batches(MNK, batch_size=10)
    assert np.mean([len(batch) == 1 for batch in found]) >= 0.8


def test_generations_grow_if_evolution_makes_the_designs():
    sizes = [batch["evolution"] for batch in batches(get_problem("zdt1"), 3000)]
    assert max(sizes[:10]) == 20
    assert max(sizes) == 50


def searches(F):
    """Return two searches that minimize the first objective, from designs with F [2, 2]."""
    found = LocalSearches(2, "weighted_sum", 1000, expected_improvements=0.25, most_at_a_time=3)
    pop = Population.new("X", np.zeros((2, 3)))
    W = np.tile([1.0, 0.0], (2, 1))
    found.begin(pop, F, np.zeros(2), W, np.empty((2, 0)))
    return found


@pytest.mark.parametrize(("value", "wider"), [(2.0, True), (-1.0, False)])
def test_searches_try_more_at_a_time_if_few_succeed(value, wider):
    normalization = Normalization(2)
    normalization.ideal, normalization.nadir = np.zeros(2), np.ones(2)
    found = searches(np.ones((2, 2)))
    least = found.width
    for step in range(200):
        F = np.full((2, 2), value * (1 + step if value < 0 else 1))
        pop = Population.new("X", np.zeros((2, 3)))
        found.receive(found.ids, pop, F, np.zeros(2), normalization)
    assert (found.width > least) is wider
    assert (found.success < 0.1) is wider


@pytest.mark.parametrize(("size", "n_searches"), [(None, 5), (3, 3), (8, 8), (80, 50)])
def test_there_are_as_many_searches_as_designs_in_a_batch(size, n_searches):
    algorithm = MOELA(batch_size=size)
    algorithm.setup(MNK, seed=1, termination=("n_eval", 5000))
    algorithm.ask()
    assert algorithm.guided.n_searches == n_searches
