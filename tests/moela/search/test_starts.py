"""Tests of where searches start, and of how far the model that picks it is believed."""

import numpy as np
import pytest
from pymoo.core.population import Population
from pymoo.core.problem import Problem
from sklearn.linear_model import LinearRegression

from moela.core.archive import Archive
from moela.core.scaling import Frame
from moela.learning.features import Encoder
from moela.learning.start_model import StartModel
from moela.search.starts import pick_starts, shortlist


class Line(Problem):
    """One variable, two objectives."""

    def __init__(self):
        super().__init__(n_var=1, n_obj=2, xl=0.0, xu=1.0)


@pytest.fixture
def front():
    x = np.linspace(0.0, 1.0, 40)
    archive = Archive(2)
    archive.add(Population.new("X", x[:, None]), np.column_stack([x, 1 - x]), np.zeros(40))
    return archive


@pytest.fixture
def frame():
    return Frame(2, bounds=([0.0, 0.0], [1.0, 1.0]))


def trained(frame, gain):
    """Return a model that has seen searches gain `gain(x)` of the first objective from x."""
    rng = np.random.default_rng(0)
    x = rng.random(60)
    start = np.column_stack([x, 1 - x])
    end = start - np.column_stack([gain(x), np.zeros(60)])
    model = StartModel("weighted_sum", LinearRegression())
    W = np.tile([0.5, 0.5], (60, 1))
    model.add(np.column_stack([x, np.zeros(60)]), start, W, end)
    assert model.fit_if_due(frame, rng)
    return model


def starts(front, frame, model, n=300):
    W = np.tile([0.5, 0.5], (n, 1))
    rng = np.random.default_rng(1)
    return pick_starts(Encoder(Line()), front, frame, W, "weighted_sum", model, rng)


def test_trust_is_the_share_of_promises_that_is_kept(frame):
    rng = np.random.default_rng(2)
    for share in (0.0, 0.4, 1.0):
        model = StartModel("weighted_sum")
        promised = rng.random(200)
        model.check(promised, 3.0 + share * promised + 0.01 * rng.normal(size=200))
        assert model.trust == pytest.approx(share, abs=0.02)
    model.check(np.ones(200), np.ones(200))
    assert model.trust == 0.0


def test_few_checks_and_missing_promises_earn_no_trust():
    model = StartModel("weighted_sum")
    model.check(np.full(500, np.nan), np.zeros(500))
    model.check(np.arange(19.0), np.arange(19.0))
    assert model.trust == 0.0
    model.check(np.arange(2.0), np.arange(2.0))
    assert model.trust == 1.0


def test_a_model_without_trust_leaves_the_choice_to_what_is_best_now(front, frame):
    model = trained(frame, lambda x: x)
    best, _ = shortlist(front.F, frame, np.array([[0.5, 0.5]]), "weighted_sum")
    chosen, promised = starts(front, frame, model)
    # One in ten is drawn from the shortlist.
    assert (chosen == best[0, 0]).mean() > 0.85
    assert set(chosen) <= set(best[0])
    np.testing.assert_allclose(promised, 0.5 * front.F[chosen, 0], atol=0.02)


def test_a_trusted_model_picks_where_a_search_would_end_best(front, frame):
    model = trained(frame, lambda x: x)
    model.check(np.arange(30.0), np.arange(30.0))
    listed, _ = shortlist(front.F, frame, np.array([[0.5, 0.5]]), "weighted_sum")
    chosen, _ = starts(front, frame, model)
    assert (chosen == listed[0][front.F[listed[0], 0].argmax()]).mean() > 0.85


def test_without_a_model_nothing_is_promised_and_the_exhausted_are_left_out(front, frame):
    for ind in front.pop[:39]:
        ind.data["exhausted"] = True
    chosen, promised = starts(front, frame, None, n=3)
    assert chosen.tolist() == [39] * 3
    assert np.isnan(promised).all()
    front.pop[39].data["exhausted"] = True
    chosen, promised = starts(front, frame, None, n=3)
    assert len(chosen) == len(promised) == 0
