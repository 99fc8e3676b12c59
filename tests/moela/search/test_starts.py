"""Tests of the choice of starts, and of the calibration of the start model."""

import numpy as np
import pytest
from pymoo.core.population import Population
from pymoo.core.problem import Problem
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.linear_model import LinearRegression

from moela.core.archive import Archive
from moela.core.context import SearchContext
from moela.core.duplicates import Duplicates
from moela.core.operators import resolve
from moela.core.scaling import Normalization
from moela.learning.features import Encoder
from moela.learning.start_model import StartModel
from moela.search.local_search import add_tries, mark_exhausted
from moela.search.starts import Visits, pick_starts, shortlist

TREES = ExtraTreesRegressor(25, min_samples_leaf=2)


class Line(Problem):
    """A problem of one variable and two objectives."""

    def __init__(self):
        super().__init__(n_var=1, n_obj=2, xl=0.0, xu=1.0)


@pytest.fixture
def front():
    x = np.linspace(0.0, 1.0, 40)
    archive = Archive(2)
    archive.add(Population.new("X", x[:, None]), np.column_stack([x, 1 - x]), np.zeros(40))
    return archive


@pytest.fixture
def normalization():
    return Normalization(2, bounds=([0.0, 0.0], [1.0, 1.0]))


def trained(normalization, gain):
    """Return a model trained on searches that gain `gain(x)` in the first objective from x."""
    rng = np.random.default_rng(0)
    x = rng.random(60)
    start = np.column_stack([x, 1 - x])
    end = start - np.column_stack([gain(x), np.zeros(60)])
    model = StartModel("weighted_sum", LinearRegression())
    W = np.tile([0.5, 0.5], (60, 1))
    model.add(np.column_stack([x, np.zeros(60)]), start, W, end)
    assert model.fit_if_due(normalization, rng)
    return model


def starts(front, normalization, model, n=300):
    W = np.tile([0.5, 0.5], (n, 1))
    rng = np.random.default_rng(1)
    problem = Line()
    context = SearchContext(problem, resolve(problem), Duplicates(problem), normalization, rng)
    return pick_starts(context, Encoder(problem), front, W, "weighted_sum", model)


def test_calibration_is_the_slope_of_actual_on_predicted_gains(normalization):
    rng = np.random.default_rng(2)
    for share in (0.0, 0.4, 1.0):
        model = StartModel("weighted_sum")
        predicted = rng.random(200)
        model.check(predicted, 3.0 + share * predicted + 0.01 * rng.normal(size=200))
        # The noise gives the slope a standard error of 0.01 / (0.29 * sqrt(200)) = 0.0025.
        assert model.calibration == pytest.approx(share, abs=0.02)
    model.check(np.ones(200), np.ones(200))
    assert model.calibration == 0.0


def test_few_searches_and_missing_predictions_give_no_calibration():
    model = StartModel("weighted_sum")
    model.check(np.full(500, np.nan), np.zeros(500))
    model.check(np.arange(19.0), np.arange(19.0))
    assert model.calibration == 0.0
    model.check(np.arange(2.0), np.arange(2.0))
    assert model.calibration == 1.0


def test_an_uncalibrated_model_leaves_the_choice_to_the_best_now(front, normalization):
    model = trained(normalization, lambda x: x)
    best, _ = shortlist(front, normalization, np.array([[0.5, 0.5]]), "weighted_sum")
    chosen, predicted = starts(front, normalization, model)
    # One in ten is drawn from the shortlist.
    # Expected: 0.91; the standard deviation over 300 starts is 0.017.
    assert (chosen == best[0, 0]).mean() > 0.85
    assert set(chosen) <= set(best[0])
    np.testing.assert_allclose(predicted, 0.5 * front.F[chosen, 0], atol=0.02)


def test_a_calibrated_model_picks_the_start_that_ends_best(front, normalization):
    model = trained(normalization, lambda x: x)
    model.check(np.arange(30.0), np.arange(30.0))
    listed, _ = shortlist(front, normalization, np.array([[0.5, 0.5]]), "weighted_sum")
    chosen, _ = starts(front, normalization, model)
    # Expected: 0.91, as above.
    assert (chosen == listed[0][front.F[listed[0], 0].argmax()]).mean() > 0.85


def test_without_a_model_nothing_is_predicted_and_the_exhausted_are_left_out(front, normalization):
    mark_exhausted(front.pop[:39])
    chosen, predicted = starts(front, normalization, None, n=3)
    assert chosen.tolist() == [39] * 3
    assert np.isnan(predicted).all()
    mark_exhausted(front.pop[39:])
    chosen, predicted = starts(front, normalization, None, n=3)
    assert len(chosen) == len(predicted) == 0


def test_designs_tried_least_come_first(front):
    visits, rng = Visits(front), np.random.default_rng(0)
    for ind in front.individuals(np.arange(10)):
        add_tries(ind, 1)
    drawn = []
    for n in (20, 10):
        places = visits.least_tried(n, rng)
        drawn += places.tolist()
        for ind in front.individuals(places):
            add_tries(ind, 1)
    assert sorted(drawn) == list(range(10, 40)), "all that were not tried, once each"
    # From now on each of the 40 designs was tried once.
    assert sorted(visits.least_tried(60, rng)) == list(range(40))


def test_designs_that_were_removed_or_added_are_known(front):
    visits, rng = Visits(front), np.random.default_rng(0)
    visits.least_tried(5, rng)
    front.add(Population.new("X", np.full((1, 1), 0.5)), np.array([[0.4, 0.4]]), np.zeros(1))
    n = len(front)
    assert n < 40
    places = visits.least_tried(n, rng)
    assert sorted(places) == list(range(n))


def test_the_default_model_is_the_forest_of_scikit_learn(normalization):
    rng = np.random.default_rng(4)
    features, start, W = rng.random((60, 3)), rng.random((60, 2)), rng.dirichlet([1, 1], 60)
    end = start - features[:, :2] * 0.3
    default, named = StartModel("product"), StartModel("product", TREES)
    for model in (default, named):
        model.add(features, start, W, end)
        assert model.fit_if_due(normalization, np.random.default_rng(5))
    new = rng.random((20, 3)), rng.random((20, 2)), rng.dirichlet([1, 1], 20)
    found, expected = (model.predict(*new, normalization) for model in (default, named))
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert np.ptp(found) > 0.1
