"""LearnedLocalSearch inside algorithms of pymoo."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from pymoo.algorithms.moo.cmopso import CMOPSO
from pymoo.algorithms.moo.dnsga2 import DNSGA2
from pymoo.algorithms.moo.kgb import KGB
from pymoo.algorithms.moo.moead import MOEAD
from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.algorithms.moo.nsga3 import NSGA3
from pymoo.algorithms.moo.rvea import RVEA
from pymoo.algorithms.soo.nonconvex.ga import GA
from pymoo.core.duplicate import DefaultDuplicateElimination
from pymoo.core.mating import Mating
from pymoo.core.problem import Problem
from pymoo.operators.crossover.ux import UX
from pymoo.operators.mutation.bitflip import BitflipMutation
from pymoo.operators.sampling.rnd import BinaryRandomSampling
from pymoo.operators.selection.rnd import RandomSelection
from pymoo.optimize import minimize
from pymoo.problems import get_problem
from pymoo.util.ref_dirs import get_reference_directions

import moela
from moela import LearnedLocalSearch, Models
from moela.quality.indicators import hypervolume
from moela.testing import ToyBinary
from problems import MNKLandscape, MultiObjectiveKnapsack, MultiObjectiveQAP

MNK = MNKLandscape.random(n=40, k=3, n_obj=2, seed=1)


def nsga2(problem, mating, pop=20):
    operators = problem.operators()
    return NSGA2(pop_size=pop, sampling=operators["sampling"], mating=mating)


def solve(algorithm, problem=MNK, n=200, seed=1, **settings):
    return minimize(problem, algorithm, ("n_eval", n), seed=seed, **settings)


def test_it_beats_the_algorithm_that_it_is_plugged_into():
    # A third of the evaluations, as in docs/benchmarks/plug_in.md; one seed, so far below them.
    problem = MultiObjectiveKnapsack.random(n_items=60, seed=3)
    operators = problem.operators()
    plain = solve(NSGA2(pop_size=20, **operators), problem, 900)
    learned = solve(nsga2(problem, LearnedLocalSearch()), problem, 300)
    assert hypervolume(learned.F, problem.ref_point) > hypervolume(plain.F, problem.ref_point)


@pytest.mark.parametrize(
    "problem",
    [MultiObjectiveQAP.random(n_facilities=8, seed=1), get_problem("zdt1", n_var=5)],
    ids=["permutations", "real"],
)
def test_it_fits_every_type_of_variables(problem):
    result = solve(
        nsga2(problem, LearnedLocalSearch())
        if hasattr(problem, "operators")
        else NSGA2(pop_size=20, mating=LearnedLocalSearch()),
        problem,
    )
    assert len(result.F) > 1


def test_an_algorithm_can_be_copied_and_used_again():
    algorithm = nsga2(MNK, LearnedLocalSearch())
    first = solve(algorithm, copy_algorithm=False)
    half = copy.deepcopy(first.algorithm)
    half.termination = first.algorithm.termination
    again = solve(nsga2(MNK, algorithm.mating))
    np.testing.assert_array_equal(first.pop.get("X"), again.pop.get("X"))


def test_a_mating_of_the_user_is_used():
    class Marked(Mating):
        n = 0

        def _do(self, *args, **kwargs):
            Marked.n += 1
            return super()._do(*args, **kwargs)

    mating = Marked(RandomSelection(), UX(), BitflipMutation())
    solve(nsga2(MNK, LearnedLocalSearch(mating)))
    assert Marked.n > 0


def test_it_runs_in_nsga3_and_without_models():
    directions = get_reference_directions("das-dennis", 2, n_partitions=19)
    sampling = MNK.operators()["sampling"]
    algorithm = NSGA3(directions, pop_size=20, sampling=sampling, mating=LearnedLocalSearch())
    assert len(solve(algorithm).F) > 1
    off = LearnedLocalSearch(models=Models(starts=None, moves=None, hamming=False))
    assert len(solve(nsga2(MNK, off)).F) > 1


@pytest.mark.parametrize("kind", ["moead", "nsga2"])
def test_as_a_callback_it_keeps_the_budget_and_improves_the_front(kind):
    operators = dict(MNK.operators())
    if kind == "moead":
        directions = get_reference_directions("das-dennis", 2, n_partitions=19)
        make = lambda **k: MOEAD(directions, n_neighbors=5, **operators, **k)  # noqa: E731
    else:
        make = lambda **k: NSGA2(pop_size=20, **operators, **k)  # noqa: E731
    n = 1000 if kind == "moead" else 400  # MOEA/D tells nothing of the designs that it drops
    point, gained = np.zeros(2), 0.0
    for seed in range(1, 11):
        with_it = solve(make(callback=LearnedLocalSearch()), n=n, seed=seed)
        assert with_it.algorithm.evaluator.n_eval <= n
        without = solve(make(), n=n, seed=seed)
        gained += hypervolume(with_it.F, point) - hypervolume(without.F, point)
    # Measured over 20 seeds: 5 % more with MOEA/D.
    assert gained > 0


@pytest.mark.parametrize("kind", [CMOPSO, DNSGA2, KGB])
def test_members_keep_what_the_algorithm_knows_of_them(kind):
    problem = get_problem("zdt1", n_var=6)
    result = solve(kind(pop_size=20, callback=LearnedLocalSearch()), problem)
    assert len(result.F) > 1
    assert result.algorithm.evaluator.n_eval == 200


@pytest.mark.parametrize("termination", [("n_eval", 100), ("n_eval", 250), ("n_gen", 6)])
def test_rvea_makes_as_many_evaluations_as_without_it(termination):
    directions = get_reference_directions("das-dennis", 2, n_partitions=19)
    problem = get_problem("zdt1", n_var=6)
    plain = minimize(problem, RVEA(directions), termination, seed=1)
    plug_in = LearnedLocalSearch()
    for _ in range(2):
        result = minimize(problem, RVEA(directions, callback=plug_in), termination, seed=1)
        assert result.algorithm.evaluator.n_eval == plain.algorithm.evaluator.n_eval
        # Its penalty grows with the generations, up to the last.
        assert result.algorithm.n_gen - 1 == result.algorithm.termination.n_max_gen


def test_failures_are_no_designs_to_begin_from():
    class Failing(MNKLandscape):
        def _evaluate(self, X, out, *args, **kwargs):
            super()._evaluate(X, out, *args, **kwargs)
            out["F"][np.asarray(X)[:, 0] == 1] = np.inf

    problem = Failing(links=MNK.links, tables=MNK.tables)
    evaluator = moela.Evaluator(on_error="infeasible", progress=False)
    result = solve(nsga2(problem, LearnedLocalSearch()), problem, evaluator=evaluator)
    assert not np.asarray(result.X)[:, 0].any()


def test_settings_are_checked():
    with pytest.raises(ValueError, match="models"):
        LearnedLocalSearch(models="all")
    with pytest.raises(ValueError, match="mating"):
        LearnedLocalSearch(mating=3)
    with pytest.raises(ValueError, match=r"Got the class .* callback=LearnedLocalSearch\(\)"):
        solve(NSGA2(pop_size=10, callback=LearnedLocalSearch), get_problem("zdt1", n_var=3))
    directions = get_reference_directions("das-dennis", 2, n_partitions=9)
    with pytest.raises(AttributeError, match=r"no crossover .* callback=LearnedLocalSearch\(\)"):
        solve(MOEAD(directions, mating=LearnedLocalSearch()), get_problem("zdt1", n_var=3))
    with pytest.raises(ValueError, match="at least 2 objectives"):
        solve(GA(pop_size=10, mating=LearnedLocalSearch()), get_problem("sphere", n_var=3))


def test_a_run_ends_when_the_mating_has_no_new_design():
    class FourDesigns(ToyBinary):
        def __init__(self):
            Problem.__init__(self, n_var=2, n_obj=2, xl=0, xu=1, vtype=bool)

    mating = Mating(
        RandomSelection(),
        UX(),
        BitflipMutation(),
        eliminate_duplicates=DefaultDuplicateElimination(),
    )
    algorithm = NSGA2(8, sampling=BinaryRandomSampling(), mating=LearnedLocalSearch(mating))
    result = minimize(FourDesigns(), algorithm, ("n_eval", 60), seed=1)
    assert result.algorithm.evaluator.n_eval == 4
