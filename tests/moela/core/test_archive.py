from __future__ import annotations

import numpy as np
import pytest
from pymoo.core.population import Population

from moela.core.archive import Archive, spread


def filled(F, CV=None, max_size=None, chunk=7):
    F = np.asarray(F, dtype=float)
    CV = np.zeros(len(F)) if CV is None else np.asarray(CV, dtype=float)
    archive = Archive(F.shape[1], max_size)
    accepted = []
    for i in range(0, len(F), chunk):
        part = slice(i, i + chunk)
        pop = Population.new("X", np.arange(len(F))[part, None])
        accepted.append(archive.add(pop, F[part], CV[part]))
    return archive, np.concatenate(accepted)


def non_dominated(F):
    rows = [tuple(f) for f in F]
    return {
        a
        for a in rows
        if not any(all(x <= y for x, y in zip(b, a, strict=True)) and b != a for b in rows)
    }


@pytest.mark.parametrize("n_obj", [2, 3, 5])
@pytest.mark.parametrize("chunk", [1, 7, 200])
def test_holds_the_non_dominated_of_everything_added(n_obj, chunk):
    # Few distinct values, so that ties and repeats are frequent.
    F = np.random.default_rng(n_obj).integers(0, 6, (200, n_obj)).astype(float)
    archive, _ = filled(F, chunk=chunk)
    assert {tuple(f) for f in archive.F} == non_dominated(F)
    assert len(archive.F) == len(non_dominated(F)), "a repeat was kept"
    assert np.array_equal(F[archive.pop.get("X")[:, 0]], archive.F), "individuals and F part"


def test_of_equal_objectives_the_first_stays():
    archive, accepted = filled([[1.0, 2.0], [1.0, 2.0], [1.0, 2.0]], chunk=2)
    assert accepted.tolist() == [True, False, False]
    assert archive.pop[0].X == [0]


def test_least_violation_until_something_is_feasible():
    F = [[1, 1], [5, 5], [9, 9], [8, 10], [0, 0]]
    archive, accepted = filled(F, [2.0, 1.0, 0.0, 0.0, 0.5], chunk=1)
    assert accepted.tolist() == [True, True, True, True, False]
    assert archive.feasible
    assert archive.F.tolist() == [[9, 9], [8, 10]]


def test_infeasible_designs_compete_on_objectives_at_equal_violation():
    archive, _ = filled([[1, 4], [2, 2], [3, 3]], [1.0, 1.0, 1.0])
    assert not archive.feasible
    assert archive.F.tolist() == [[1, 4], [2, 2]]


def test_bound_keeps_the_extremes_and_overshoots_by_a_fifth_at_most():
    x = np.random.default_rng(0).random(500)
    F = np.column_stack([x, 1.0 - x])
    archive, _ = filled(F, max_size=20)
    assert 20 <= len(archive) <= 24
    assert archive.F[:, 0].min() == x.min()
    assert archive.F[:, 0].max() == x.max()
    gaps = np.diff(np.sort(archive.F[:, 0]))
    # Measured: 0.085, less than two even gaps of 1 / 19; a hole would be several.
    assert gaps.max() < 6.0 / 20.0, "a hole was left"


def test_spread_drops_from_the_crowd():
    F = np.array([[0, 1], [0.5, 0.5], [0.501, 0.499], [1, 0]])
    keep = spread(F, 3)
    assert keep.sum() == 3
    assert keep[0]
    assert keep[3]


def test_spread_takes_the_whole_range_of_floats():
    F = np.array([[-1.7e308, 2e-300], [0.0, 1e-300], [1e292, 1e-300], [1.7e308, 0.0]])
    with np.errstate(all="raise"):
        assert spread(F, 3).sum() == 3


def on_a_line(n, seed=0):
    x = np.random.default_rng(seed).permutation(n) / n
    return np.column_stack([x, 1.0 - x])


@pytest.mark.parametrize("n", [30, 2000])
def test_lowest_finds_what_looking_at_all_finds(n):
    archive, _ = filled(on_a_line(n))

    def value(F):
        return np.maximum(0.3 * F[:, 0], 0.7 * F[:, 1])

    places, values = archive.lowest(value, 10)
    np.testing.assert_array_equal(values, np.sort(value(archive.F))[:10])
    np.testing.assert_array_equal(value(archive.objectives(places)), values)
    best = archive.individuals(places[:3])
    left, more = archive.lowest(value, 10, lambda ind: any(ind is b for b in best))
    np.testing.assert_array_equal(more, np.sort(value(archive.F))[3:13])
    assert len(archive.lowest(value, 10, lambda ind: True)[0]) == 0
    assert not set(places[:3]) & set(left)


def test_of_equal_values_the_first_added_is_lowest():
    archive, _ = filled(on_a_line(1000))
    places, _ = archive.lowest(lambda F: np.zeros(len(F)), 5)
    assert archive.individuals(places).get("X")[:, 0].tolist() == [0, 1, 2, 3, 4]


def test_designs_are_in_the_order_of_addition_after_removals():
    F = np.concatenate([on_a_line(600) + 0.4, on_a_line(600, seed=1)])
    archive, _ = filled(F)
    added = archive.pop.get("X")[:, 0]
    assert (np.diff(added) > 0).all()
    np.testing.assert_array_equal(F[added], archive.F)


def test_what_was_handed_out_does_not_change():
    archive, _ = filled(on_a_line(100) + 0.4)
    pop, F = archive.pop, archive.F
    before = [ind.X[0] for ind in pop], F.copy()
    archive.add(Population.new("X", np.array([[1000]])), np.zeros((1, 2)), np.zeros(1))
    assert len(archive) == 1
    assert [ind.X[0] for ind in pop] == before[0]
    np.testing.assert_array_equal(F, before[1])


def test_extremes_are_those_of_all():
    archive, _ = filled(np.random.default_rng(3).random((500, 3)))
    low, high = archive.working_extremes()
    np.testing.assert_array_equal(low, archive.F.min(axis=0))
    np.testing.assert_array_equal(high, archive.F.max(axis=0))
