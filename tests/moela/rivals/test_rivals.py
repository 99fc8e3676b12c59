from __future__ import annotations

from functools import partial

import moocore
import numpy as np
import pytest
from pymoo.optimize import minimize
from pymoo.problems import get_problem

from moela.core.archive import Archive
from moela.rivals import MOMAD, MOOS, MOOSTAGE, BatchMOEAD
from moela.rivals.moos import Interval
from moela.testing import ToyBinary, ToyPermutation, ToyReal

# A small forest keeps the tests fast.
RIVALS = (MOOS, partial(MOOSTAGE, n_trees=8), MOMAD, BatchMOEAD)
NAMES = ("MOOS", "MOOSTAGE", "MOMAD", "BatchMOEAD")


def front_of_everything(problem):
    """Return the exact front of the 40,320 permutations of the toy assignment problem."""
    from itertools import permutations

    F = problem.evaluate(np.array(list(permutations(range(8)))))
    return F[moocore.is_nondominated(F)]


@pytest.fixture(scope="module")
def exact():
    return front_of_everything(ToyPermutation())


@pytest.mark.parametrize("rival", RIVALS, ids=NAMES)
def test_comes_close_to_the_exact_front_of_an_assignment_problem(rival, exact):
    # 2,000 random permutations, a twentieth of all, reach 0.58.
    ref = exact.max(axis=0) + 0.1 * np.ptp(exact, axis=0)
    best = moocore.hypervolume(exact, ref=ref)
    volumes = [
        moocore.hypervolume(
            minimize(ToyPermutation(), rival(), ("n_eval", 2000), seed=s).F, ref=ref
        )
        for s in (1, 2, 3)
    ]
    # Measured: 0.81 (MOMAD) to 0.86 (MOOSTAGE).
    assert np.median(volumes) > 0.75 * best


@pytest.mark.parametrize("rival", RIVALS, ids=NAMES)
def test_finds_most_of_the_front_of_leading_ones_trailing_zeros(rival):
    res = minimize(ToyBinary(), rival(), ("n_eval", 3000), seed=1)
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


@pytest.mark.parametrize("rival", RIVALS, ids=NAMES)
def test_beats_random_search_with_four_objectives(rival):
    problem = get_problem("dtlz2", n_var=8, n_obj=4)
    ref = np.full(4, 1.2)
    res = minimize(problem, rival(), ("n_eval", 1500), seed=1)
    F = problem.evaluate(np.random.default_rng(1).random((1500, 8)))
    F = F[moocore.is_nondominated(F)]
    random, best = moocore.hypervolume(F, ref=ref), 1.2**4 - np.pi**2 / 32.0
    # Measured: 0.17 (MOOSTAGE) to 0.65 (BatchMOEAD).
    assert moocore.hypervolume(res.F, ref=ref) > random + 0.15 * (best - random)


@pytest.mark.parametrize("rival", RIVALS, ids=NAMES)
def test_a_reference_point_draws_the_search_into_its_box(rival):
    problem = ToyReal()
    problem.ref_point = np.array([1.0, 3.0])
    with_box = minimize(problem, rival(), ("n_eval", 1500), seed=1).F
    without = minimize(ToyReal(), rival(), ("n_eval", 1500), seed=1).F
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


def test_rivals_keep_everything_non_dominated_within_their_bound():
    res = minimize(get_problem("dtlz2"), MOOS(archive_size=30), ("n_eval", 1500), seed=1)
    assert isinstance(res.algorithm.front, Archive)
    assert len(res.F) <= 36
