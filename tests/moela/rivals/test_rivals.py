from __future__ import annotations

from functools import partial

import moocore
import numpy as np
import pytest
from pymoo.optimize import minimize
from pymoo.problems import get_problem

from moela.rivals import MOMAD, MOOS, MOOSTAGE, VSRLS, BatchMOEAD, MemeticGBT
from moela.rivals.memetic_gbt import order
from moela.rivals.moos import Interval
from moela.testing import ToyBinary, ToyPermutation, ToyReal

# A small forest keeps the tests fast.
RIVALS = (
    MOOS,
    partial(MOOSTAGE, n_trees=8),
    MOMAD,
    BatchMOEAD,
    VSRLS,
    partial(MemeticGBT, n_trees=8, n_steps=2, max_rows=300, batch_size=50),
)
NAMES = ("MOOS", "MOOSTAGE", "MOMAD", "BatchMOEAD", "VSRLS", "MemeticGBT")


def with_budget(n_eval, **fewer):
    """Give a test each rival with a number of evaluations; those that fit trees take fewer."""
    pairs = [(rival, fewer.get(name, n_eval)) for name, rival in zip(NAMES, RIVALS, strict=True)]
    return pytest.mark.parametrize(("rival", "n_eval"), pairs, ids=NAMES)


def front_of_everything(problem):
    """Return the exact front of the 40,320 permutations of the toy assignment problem."""
    from itertools import permutations

    F = problem.evaluate(np.array(list(permutations(range(8)))))
    return F[moocore.is_nondominated(F)]


@pytest.fixture(scope="module")
def exact():
    return front_of_everything(ToyPermutation())


@with_budget(2000, MOOSTAGE=1000, MemeticGBT=700)
def test_comes_close_to_the_exact_front_of_an_assignment_problem(rival, n_eval, exact):
    # 2,000 random permutations, a twentieth of all, reach 0.58.
    ref = exact.max(axis=0) + 0.1 * np.ptp(exact, axis=0)
    best = moocore.hypervolume(exact, ref=ref)
    volumes = [
        moocore.hypervolume(
            minimize(ToyPermutation(), rival(), ("n_eval", n_eval), seed=s).F, ref=ref
        )
        for s in (1, 2, 3)
    ]
    # Measured: 0.81 (MOMAD) to 0.87 (MemeticGBT).
    assert np.median(volumes) > 0.75 * best


@with_budget(3000, MOOSTAGE=1000, MemeticGBT=1000)
def test_finds_most_of_the_front_of_leading_ones_trailing_zeros(rival, n_eval):
    res = minimize(ToyBinary(), rival(), ("n_eval", n_eval), seed=1)
    exact = {(-float(k), -float(14 - k)) for k in range(15)}
    # Measured: 11 (MOOS) to 15 of the 15.
    assert len({tuple(f) for f in res.F} & exact) >= 11


@pytest.mark.parametrize("rival", RIVALS, ids=NAMES)
def test_goes_on_when_every_design_is_known(rival):
    problem = ToyBinary()
    problem.n_var, problem.xl, problem.xu = 5, problem.xl[:5], problem.xu[:5]
    res = minimize(problem, rival(), ("n_eval", 300), seed=1)
    assert res.algorithm.evaluator.n_eval == 300
    assert len(res.F) == 6


# VS-RLS is for discrete designs: on real variables, it is not better than random search here.
OF_REALS = [(name, rival) for name, rival in zip(NAMES, RIVALS, strict=True) if name != "VSRLS"]


@pytest.mark.parametrize(("name", "rival"), OF_REALS)
def test_beats_random_search_with_four_objectives(name, rival):
    problem = get_problem("dtlz2", n_var=8, n_obj=4)
    ref = np.full(4, 1.2)
    res = minimize(problem, rival(), ("n_eval", 1500), seed=1)
    F = problem.evaluate(np.random.default_rng(1).random((1500, 8)))
    F = F[moocore.is_nondominated(F)]
    random, best = moocore.hypervolume(F, ref=ref), 1.2**4 - np.pi**2 / 32.0
    # Measured: 0.17 (MOOSTAGE) to 0.65 (BatchMOEAD).
    assert moocore.hypervolume(res.F, ref=ref) > random + 0.15 * (best - random)


@with_budget(1500, MOOSTAGE=700, MemeticGBT=700)
def test_a_reference_point_draws_the_search_into_its_box(rival, n_eval):
    problem = ToyReal()
    problem.ref_point = np.array([1.0, 3.0])
    with_box = minimize(problem, rival(), ("n_eval", n_eval), seed=1).F
    without = minimize(ToyReal(), rival(), ("n_eval", n_eval), seed=1).F
    volume = [moocore.hypervolume(F, ref=problem.ref_point) for F in (with_box, without)]
    # Measured: 1.0 (BatchMOEAD) to 1.15 (MOMAD).
    assert volume[0] > 0.9 * volume[1]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MOOS(n_neighbors=0), "'n_neighbors' parameter of MOOS .* at least 1. Got 0"),
        (lambda: MOOS(max_steps=2.5), "'max_steps' parameter of MOOS must be an integer"),
        (lambda: MOOSTAGE(n_trees=0), "'n_trees' parameter of MOOSTAGE"),
        (lambda: MOMAD(restart="jump"), "'restart' parameter of MOMAD .* one of crossover"),
        (lambda: MOMAD(n_explore=-1), "'n_explore' parameter of MOMAD .* at least 0. Got -1"),
        (lambda: MOMAD(scalarization="pbi"), "'scalarization' parameter of MOMAD"),
        (lambda: BatchMOEAD(n_subproblems=1), "'n_subproblems' .* at least 2. Got 1"),
        (lambda: BatchMOEAD(batch_size=True), "'batch_size' parameter of BatchMOEAD"),
        (lambda: BatchMOEAD(prob_neighbor_mating=1.5), "between 0 and 1. Got 1.5"),
        (lambda: VSRLS(exploration=1.5), "'exploration' .* between 0 and 1. Got 1.5"),
        (lambda: VSRLS(horizon=0), "'horizon' parameter of VSRLS .* at least 1. Got 0"),
        (lambda: VSRLS(batch_size=0), "'batch_size' parameter of VSRLS"),
        (lambda: MemeticGBT(pop_size=1), "'pop_size' parameter of MemeticGBT .* at least 2"),
        (lambda: MemeticGBT(n_trees=2.0), "'n_trees' parameter of MemeticGBT must be an integer"),
    ],
)
def test_wrong_settings_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_intervals_split_in_three_along_their_longest_side():
    root = Interval(np.zeros(2), np.ones(2), 0, 1.0)
    np.testing.assert_allclose(root.weights(), [0.5, 0.5])
    thirds = root.thirds()
    np.testing.assert_allclose([t.low[0] for t in thirds], [0.0, 1 / 3, 2 / 3])
    np.testing.assert_allclose([t.high[0] for t in thirds], [1 / 3, 2 / 3, 1.0])
    assert all(t.low[1] == 0.0 and t.high[1] == 1.0 and t.depth == 1 for t in thirds)
    ninths = thirds[2].thirds()
    np.testing.assert_allclose([n.high[1] for n in ninths], [1 / 3, 2 / 3, 1.0])
    assert root.high.tolist() == [1.0, 1.0], "the parent was changed"
    np.testing.assert_allclose(ninths[0].weights(), [5 / 6, 1 / 6])


def test_moos_splits_the_best_leaf_of_a_depth_unless_one_above_is_worth_more():
    algorithm = MOOS()
    algorithm.setup(ToyReal(), seed=1)
    algorithm.n_splits = 100

    def leaf(depth, value):
        return Interval(np.zeros(2), np.ones(2), depth, value)

    a, b, c, d = leaf(1, 3.0), leaf(1, 5.0), leaf(2, 4.0), leaf(3, 6.0)
    algorithm.leaves = [a, b, c, d]
    assert algorithm.choose_leaf() is b
    assert algorithm.choose_leaf() is d, "4 at depth 2 is worth less than 5 above it"
    assert algorithm.choose_leaf() is a, "a new sweep begins at the top"
    assert algorithm.choose_leaf() is c
    assert algorithm.leaves == []


def test_moo_stage_learns_and_starts_where_its_model_climbed():
    parts = []

    def note(algorithm):
        parts.extend(ind.get("origin").part for ind in algorithm.off)

    res = minimize(ToyReal(), MOOSTAGE(n_init=20), ("n_eval", 2500), seed=1, callback=note)
    # Measured: 6.
    assert parts.count("model") >= 5
    algorithm = res.algorithm
    assert algorithm.model is not None
    n_kept = sum(len(path) for path in algorithm.window.inputs)
    assert n_kept <= algorithm.max_rows + algorithm.max_steps + 1
    assert n_kept <= algorithm.window.n_rows


def test_momad_goes_through_its_phases():
    phases = []

    def note(algorithm):
        phases.append(algorithm.off[0].get("origin").part)

    minimize(
        ToyReal(), MOMAD(n_subproblems=10, patience=3), ("n_eval", 2000), seed=1, callback=note
    )
    order = [p for i, p in enumerate(phases) if i == 0 or p != phases[i - 1]]
    assert order[:6] == ["initial", "search", "explore", "restart", "search", "explore"]


def test_batches_have_the_size_asked_for():
    sizes = []

    def note(algorithm):
        sizes.append(len(algorithm.off))

    algorithm = BatchMOEAD(n_subproblems=20, batch_size=7)
    minimize(ToyReal(), algorithm, ("n_eval", 160), seed=1, callback=note)
    assert sizes[0] == 20
    assert sizes[1:] == [7] * 20


def steps_of(algorithm, problem, n_eval):
    """Return the threshold of the step size after each batch, by share of the run."""
    seen = {}

    def note(algorithm):
        seen[algorithm.n_answered / n_eval] = algorithm.threshold

    minimize(problem, algorithm, ("n_eval", n_eval), seed=1, callback=note)
    return seen


def test_steps_of_vs_rls_become_smaller_during_the_run():
    seen = steps_of(VSRLS(n_init=10), ToyBinary(), 1000)
    n_var = ToyBinary().n_var
    assert {steps for share, steps in seen.items() if share < 0.1} == {n_var}
    falling = [steps for share, steps in seen.items() if 0.1 <= share <= 0.3]
    assert falling == sorted(falling, reverse=True)
    assert 1 < falling[len(falling) // 2] < n_var
    assert {steps for share, steps in seen.items() if share > 0.3} == {1}


def test_the_horizon_of_vs_rls_comes_before_the_termination():
    seen = steps_of(VSRLS(n_init=10, horizon=10_000), ToyBinary(), 500)
    assert set(seen.values()) == {ToyBinary().n_var}
    seen = steps_of(VSRLS(n_init=10, exploration=0.0, decline=0.0), ToyBinary(), 500)
    assert set(list(seen.values())[1:]) == {1}


def test_vs_rls_follows_the_time_of_a_termination_and_goes_on_without_one():
    timed = minimize(ToyBinary(), VSRLS(n_init=10), ("time", "00:00:01"), seed=1).algorithm
    assert timed.threshold == 1
    free = VSRLS(n_init=10)
    free.setup(ToyBinary(), seed=1)
    pop = free.ask()
    free.evaluator.eval(free.problem, pop)
    free.tell(infills=pop)
    assert free.threshold == ToyBinary().n_var


def test_designs_of_vs_rls_differ_from_archived_ones_by_the_drawn_moves():
    problem = ToyBinary()
    algorithm = VSRLS(n_init=10, exploration=0.0, decline=0.0, horizon=1, batch_size=5)
    algorithm.setup(problem, seed=1)
    for _ in range(10):
        known = algorithm.front.pop.get("X") if algorithm.is_initialized else None
        pop = algorithm.ask()
        if known is not None and len(known):
            differing = (pop.get("X")[:, None] != known[None]).sum(axis=2).min(axis=1)
            assert np.median(differing) <= 3
            assert len(pop) <= 5
        algorithm.evaluator.eval(problem, pop)
        algorithm.tell(infills=pop)


def test_order_prefers_feasible_then_non_dominated_then_lonely_designs():
    F = np.array([[0.0, 1.0], [0.45, 0.5], [0.5, 0.48], [1.0, 0.0], [1.0, 1.0], [0.0, 0.0]])
    CV = np.array([0.0, 0.0, 0.0, 0.0, 0.0, 2.0])
    sorted_ = order(F, CV).tolist()
    assert set(sorted_[:2]) == {0, 3}, "the ends of the front"
    assert set(sorted_[2:4]) == {1, 2}
    assert sorted_[4:] == [4, 5]


def test_memetic_gbt_evaluates_what_its_trees_promise():
    problem = ToyPermutation()
    algorithm = MemeticGBT(n_trees=30, batch_size=50)
    algorithm = minimize(problem, algorithm, ("n_eval", 150), seed=3).algorithm
    X = np.random.default_rng(1).permuted([np.arange(8)] * 200, axis=1)
    predicted, true = algorithm._predict(X)[0], problem.evaluate(X)
    skill = [np.corrcoef(a, b)[0, 1] for a, b in zip(predicted.T, true.T, strict=True)]
    # Measured: 0.6.
    assert min(skill) > 0.4
    W = np.full((200, 2), 0.5)
    before, after = algorithm._values(X, W)[0], algorithm._values(algorithm._searched(X), W)[0]
    assert np.median(after) < np.median(before)


def test_memetic_gbt_sees_permutations_as_numbers_and_keeps_its_newest_rows():
    algorithm = MemeticGBT(n_trees=5, n_steps=1, n_children=20, max_rows=60)
    algorithm = minimize(ToyPermutation(), algorithm, ("n_eval", 200), seed=1).algorithm
    assert algorithm.permutations
    assert algorithm.models[0].n_features_in_ == ToyPermutation().n_var
    assert len(algorithm.window.arrays()[0]) <= 60 + algorithm.batch_size
    assert len(algorithm.members) == algorithm.pop_size
    binary = minimize(ToyBinary(), MemeticGBT(n_trees=5, n_steps=1), ("n_eval", 80), seed=1)
    assert not binary.algorithm.permutations
