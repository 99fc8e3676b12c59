"""Tests of kicks: where searches begin that leave the basin of the design they start from."""

import numpy as np
import pytest
from pymoo.core.population import Population
from pymoo.core.problem import Problem
from pymoo.operators.crossover.ux import UX
from pymoo.operators.mutation.nom import NoMutation
from pymoo.operators.sampling.rnd import BinaryRandomSampling

from moela.core.archive import Archive
from moela.core.duplicates import Seen
from moela.core.operators import resolve
from moela.core.scaling import Frame
from moela.search.local_search import LocalSearches
from moela.search.perturbation import Kicks

N_VAR = 30


class Bits(Problem):
    """How many ones are in either half."""

    def __init__(self):
        super().__init__(n_var=N_VAR, n_obj=2, xl=0, xu=1, vtype=bool)

    def operators(self):
        return {"sampling": BinaryRandomSampling(), "crossover": UX(), "mutation": NoMutation()}

    def neighbors(self, x, k, random_state):
        near = np.repeat(x[None], k, axis=0)
        at = random_state.integers(0, N_VAR, k)
        near[np.arange(k), at] = ~near[np.arange(k), at]
        return near


@pytest.fixture
def problem():
    return Bits()


def kicked(problem, kind, seen=None, seed=0, **settings):
    """Kick one search off the first of two archived designs; return them and where it leads."""
    rng = np.random.default_rng(seed)
    X = np.zeros((2, N_VAR), dtype=bool)
    X[0, : N_VAR // 2] = X[1, N_VAR // 2 :] = True
    F = np.array([[15.0, 0.0], [0.0, 15.0]])
    front = Archive(2)
    front.add(Population.new("X", X), F, np.zeros(2))
    frame = Frame(2, bounds=([0.0, 0.0], [15.0, 15.0]))
    searches = LocalSearches(2, "weighted_sum", patience=5)
    W, kinds = np.full((1, 2), 0.5), np.array([Kicks.KINDS.index(kind)])
    searches.begin(front.pop[:1], F[:1], np.zeros(1), W, np.empty((1, 0)), kick=kinds)
    seen = Seen(problem) if seen is None else seen
    kicks = Kicks(problem, resolve(problem), seen, used=True)
    at, Y = kicks.designs(searches, front, frame, rng)
    return X, at, Y, seen


def test_moves_lead_a_few_moves_away(problem):
    far = []
    for seed in range(30):
        X, at, Y, seen = kicked(problem, "moves", seed=seed)
        assert at.tolist() == [0]
        assert seen.keys(Y)[0] in seen
        far.append(int((Y[0] != X[0]).sum()))
    assert min(far) < 4 < max(far) <= N_VAR // 5


def test_a_crossing_takes_something_of_both(problem):
    _, at, Y, seen = kicked(problem, "crossing")
    assert at.tolist() == [0]
    ones = Y[0].reshape(2, -1).sum(axis=1)
    assert (ones > 0).all()
    assert (ones < N_VAR // 2).all()
    assert seen.keys(Y)[0] in seen


def test_a_crossing_that_is_known_makes_a_move_more(problem):
    _, _, first, _ = kicked(problem, "crossing")
    seen = Seen(problem)
    seen.add(first)
    _, _, second, _ = kicked(problem, "crossing", seen=seen)
    assert (first != second).sum() == 1


def test_what_is_evaluated_after_a_kick_is_where_the_search_stands(problem):
    searches = LocalSearches(2, "weighted_sum", patience=5)
    frame = Frame(2, bounds=([0.0, 0.0], [1.0, 1.0]))
    pop = Population.new("X", np.zeros((2, N_VAR), dtype=bool))
    F, W = np.full((2, 2), 0.2), np.full((2, 2), 0.5)
    promised = np.array([0.1, 0.1])
    ids = searches.begin(
        pop, F, np.zeros(2), W, np.empty((2, 0)), kick=np.array([2, 0]), promised=promised
    )
    worse = np.full((2, 2), 0.9)
    searches.receive(ids, pop, worse, np.zeros(2), frame)
    assert searches.F[:, 0].tolist() == [0.9, 0.2]
    assert searches.pending.tolist() == [False, False]
    # What was promised of the archived design says nothing about where the kick has led.
    assert np.isnan(searches.promised).tolist() == [True, False]
    searches.receive(ids, pop, worse + 0.1, np.zeros(2), frame)
    assert searches.F[:, 0].tolist() == [0.9, 0.2]


def test_the_kind_that_pays_is_drawn_more_often_and_none_where_there_are_none(problem):
    rng = np.random.default_rng(0)
    kicks = Kicks(problem, resolve(problem), Seen(problem), used=True)
    assert np.bincount(kicks.draw(2000, rng), minlength=3)[0] > 1200
    for _ in range(50):
        kicks.learn(np.arange(3), np.array([0.0, 0.1, 0.6]))
    often = np.bincount(kicks.draw(2000, rng), minlength=3)
    assert often.argmax() == Kicks.KINDS.index("crossing")
    assert often.min() > 0.02 * 2000
    assert not Kicks(problem, resolve(problem), Seen(problem), used=False).draw(100, rng).any()
