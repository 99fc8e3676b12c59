"""LearnedLocalSearch takes operators, repair and tournaments from the algorithm around it."""

from __future__ import annotations

import numpy as np
import pytest
from pymoo.algorithms.moo.moead import MOEAD
from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.algorithms.moo.nsga3 import NSGA3
from pymoo.algorithms.moo.spea2 import SPEA2
from pymoo.core.mating import Mating
from pymoo.core.population import Population
from pymoo.core.problem import Problem
from pymoo.core.repair import Repair
from pymoo.operators.crossover.erx import EdgeRecombinationCrossover
from pymoo.operators.crossover.ox import OrderCrossover
from pymoo.operators.mutation.inversion import InversionMutation
from pymoo.operators.sampling.rnd import IntegerRandomSampling, PermutationRandomSampling
from pymoo.operators.selection.rnd import RandomSelection
from pymoo.optimize import minimize
from pymoo.problems import get_problem
from pymoo.util.ref_dirs import get_reference_directions

from moela import MOELA, LearnedLocalSearch
from moela.core.warm_start import permuted
from moela.plugins.matings import tournament_of
from moela.rivals import MOOS

DIRECTIONS = get_reference_directions("das-dennis", 2, n_partitions=19)
ORDERS = {
    "sampling": PermutationRandomSampling(),
    "crossover": OrderCrossover(),
    "mutation": InversionMutation(),
}


class Tours(Problem):
    """Two lengths of a tour, in pymoo's way: integers from 0, as many as there are cities."""

    def __init__(self, n=9, most=8):
        super().__init__(n_var=n, n_obj=2, xl=0, xu=most, vtype=int)
        places = np.random.default_rng(1).random((2, n, 2))
        self.lengths = np.linalg.norm(places[:, :, None] - places[:, None], axis=-1)
        self._evaluated = []

    def _evaluate(self, X, out, *args, **kwargs):
        self._evaluated.extend(X)
        at = np.asarray(X, int)
        after = np.roll(at, -1, axis=1)
        n = self.n_var
        out["F"] = np.stack([d[at % n, after % n].sum(axis=1) for d in self.lengths], axis=1)

    @property
    def n_wrong(self):
        return int((np.sort(self._evaluated, axis=1) != np.arange(self.n_var)).any(axis=1).sum())


def wrong_designs(algorithm, problem=None, n=200):
    problem = problem or Tours()
    minimize(problem, algorithm, ("n_eval", n), seed=1)
    assert len(problem._evaluated) >= n * 0.9
    return problem.n_wrong


@pytest.mark.parametrize("kind", [NSGA2, NSGA3, SPEA2])
@pytest.mark.parametrize("how", ["mating", "callback"])
def test_permutations_of_pymoo_stay_permutations(kind, how):
    settings = {"ref_dirs": DIRECTIONS} if kind is NSGA3 else {}
    assert (
        wrong_designs(kind(pop_size=20, **ORDERS, **settings, **{how: LearnedLocalSearch()})) == 0
    )


@pytest.mark.parametrize("crossover", [OrderCrossover(), EdgeRecombinationCrossover()])
def test_a_mating_of_permutations_is_enough(crossover):
    mating = Mating(RandomSelection(), crossover, InversionMutation())
    X = np.array([np.random.default_rng(i).permutation(9) for i in range(20)])
    algorithm = NSGA2(pop_size=20, sampling=X, mating=LearnedLocalSearch(mating))
    assert wrong_designs(algorithm, Tours(most=100)) == 0


@pytest.mark.parametrize("most", [8, 9])  # as in pymoo's TravelingSalesman
def test_a_population_of_permutations_is_enough(most):
    X = np.array([np.random.default_rng(i).permutation(9) for i in range(20)])
    algorithm = NSGA2(pop_size=20, sampling=X, mating=LearnedLocalSearch())
    assert wrong_designs(algorithm, Tours(most=most)) == 0
    assert wrong_designs(MOEAD(DIRECTIONS, **ORDERS, callback=LearnedLocalSearch())) == 0


@pytest.mark.parametrize("sampling", ["operator", "designs"])
@pytest.mark.parametrize("kind", [MOELA, MOOS])
def test_our_algorithms_know_permutations_by_their_sampling(kind, sampling):
    X = np.array([np.random.default_rng(i).permutation(9) for i in range(4)])
    given = PermutationRandomSampling() if sampling == "operator" else X
    assert wrong_designs(kind(sampling=given)) == 0


def test_integers_stay_integers():
    algorithm = NSGA2(20, sampling=IntegerRandomSampling(), mating=LearnedLocalSearch())
    assert wrong_designs(algorithm) > 150
    assert wrong_designs(MOELA(sampling=[[0, 1, 2], [2, 1, 0]]), Tours(3, 2), 20) > 0


def test_permutations_are_known_from_chance():
    rng = np.random.default_rng(1)
    X = np.array([rng.permutation(9) for _ in range(3)])
    assert permuted(Tours(), X)
    assert not permuted(Tours(), X[:1])
    assert not permuted(Tours(), np.zeros((3, 9), int))
    assert not permuted(Tours(most=20), X)
    assert not permuted(get_problem("zdt1", n_var=9), X)


class Even(Repair):
    def _do(self, problem, X, **kwargs):
        return X - X % 2


@pytest.mark.parametrize("how", ["mating", "callback", "own mating"])
def test_the_repair_of_an_algorithm_is_kept(how):
    problem, plug_in = Tours(4, 30), LearnedLocalSearch()
    settings = {how: plug_in, "repair": Even()}
    if how == "own mating":
        mating = NSGA2(repair=Even()).mating
        settings = {"mating": LearnedLocalSearch(mating), "repair": Even()}
    minimize(
        problem, NSGA2(20, sampling=IntegerRandomSampling(), **settings), ("n_eval", 100), seed=1
    )
    assert not (np.array(problem._evaluated, int) % 2).any()


def test_members_without_a_rank_are_chosen_by_the_algorithms_own_tournaments():
    pop = Population.new("X", np.zeros((4, 1)))
    assert tournament_of(NSGA2(), pop.set("rank", 1)) is None
    algorithm = SPEA2(mating=LearnedLocalSearch())
    pop = Population.new("X", np.zeros((4, 1)), "SPEA_F", np.array([0.0, 1.0, 1.5, 2.0]))
    pop.set("CV", np.zeros((4, 1)))
    selection = tournament_of(algorithm, pop)
    rng = np.random.default_rng(1)
    chosen = selection(None, pop, 500, 2, to_pop=False, random_state=rng, algorithm=algorithm)
    wins = np.bincount(chosen.ravel(), minlength=4)
    assert (np.diff(wins) < 0).all()
    assert tournament_of(SPEA2(selection=selection), pop) is selection
    assert tournament_of(MOEAD(DIRECTIONS), pop) is None
