"""The models that rank moves: which one is used, and what they learn."""

from __future__ import annotations

import numpy as np
import pytest
from pymoo.core.mixed import MixedVariableSampling
from pymoo.core.problem import Problem
from pymoo.core.variable import Binary, Choice, Real
from pymoo.optimize import minimize
from pymoo.problems import get_problem
from sklearn.linear_model import Ridge

import moela
from moela import MOELA, Models
from moela.core.scaling import Normalization
from moela.learning.hamming_model import LeftOutDesigns
from moela.learning.move_model import MoveModel
from moela.learning.move_ranking import MoveRanking
from problems import MNKLandscape, MultiObjectiveQAP, NoC3D

QAP = MultiObjectiveQAP.random(n_facilities=9, n_obj=2, correlation=0.0, seed=1)
MNK = MNKLandscape.random(n=16, k=3, n_obj=2, rho=0.0, seed=1)


def permutations(n, rng, size=9):
    return np.array([rng.permutation(size) for _ in range(n)])


def value(X, problem=QAP):
    return problem.evaluate(X, return_values_of=["F"])


# ------------------------------------------------------------------------- which model is used


class KnownChanges(MoveModel):
    """Predicts these changes [c, M], and is fitted whenever it is asked."""

    def __init__(self, changes):
        super().__init__()
        self.known, self.n_fits = np.asarray(changes, dtype=float), 1

    def changes_to(self, features, near):
        return self.known[:, None]

    def fit_if_due(self, new_share=0.1, normalization=None):
        return True


def judge(ranking, by_moves, by_hamming, truth):
    """Let a ranking compare predictions [c] of the changes of two objectives."""
    moves, hamming, observed = (np.column_stack([x, -x]) for x in (by_moves, by_hamming, truth))
    rows = np.zeros((len(truth), 4))
    ranking.move_model = KnownChanges(moves)
    ranking.hamming_model.n_fits = 1
    ranking.hamming_model.left_out = LeftOutDesigns(rows, rows, hamming, observed)
    ranking.fit_if_due()


def test_the_better_model_is_used_until_it_is_no_longer():
    rng = np.random.default_rng(9)
    ranking = MoveRanking()
    truth = rng.normal(size=25)
    vague, close = truth + rng.normal(size=25), truth + 0.1 * rng.normal(size=25)
    judge(ranking, vague[:9], close[:9], truth[:9])
    assert not ranking.uses_hamming  # 9 are too few to tell
    assert np.isnan(ranking.unexplained_ratio)
    judge(ranking, vague, close, truth)
    assert ranking.uses_hamming
    # The variances of the noise are 0.01 and 1. Measured: 0.03.
    assert ranking.unexplained_ratio < 0.2
    judge(ranking, close, vague, truth)
    assert not ranking.uses_hamming
    assert ranking.unexplained_ratio > 5.0


def test_a_small_advantage_counts_only_among_many_designs():
    rng = np.random.default_rng(14)
    truth = rng.normal(size=2500)
    worse, better = truth + rng.normal(size=2500), truth + 0.9 * rng.normal(size=2500)
    ranking = MoveRanking()
    judge(ranking, worse[:25], better[:25], truth[:25])
    # Measured: 0.87 and 0.90. With n designs, the limit is 1 - 1 / sqrt(n): 0.8 and 0.98.
    assert 0.8 < ranking.unexplained_ratio < 0.98
    assert not ranking.uses_hamming
    judge(ranking, worse, better, truth)
    assert 0.8 < ranking.unexplained_ratio < 0.98
    assert ranking.uses_hamming
    # It is not given up for as little.
    judge(ranking, worse[:25], better[:25], truth[:25])
    assert ranking.uses_hamming


def test_only_designs_that_no_model_has_chosen_decide():
    rng = np.random.default_rng(15)
    X = rng.random((600, MNK.n_var)) < 0.5
    bits = rng.integers(0, MNK.n_var, len(X))
    near = X.copy()
    near[np.arange(len(X)), bits] ^= True
    designs, F = (np.concatenate(rows) for rows in ((X, near), (value(X, MNK), value(near, MNK))))
    rankings = [MoveRanking(), MoveRanking()]
    for ranking, unchosen in zip(rankings, (False, True), strict=True):
        ranking.add_moves(near.astype(float) - X, near.astype(float), F[600:] - F[:600])
        ranking.add_designs(designs.astype(float), F, unchosen=np.full(1200, unchosen))
        ranking.fit_if_due()
    assert [ranking.uses_hamming for ranking in rankings] == [False, True]
    assert np.isnan(rankings[0].unexplained_ratio)
    # What a bit is worth depends on others. Measured: 0.15.
    assert rankings[1].unexplained_ratio < 0.5


def test_the_choices_of_a_model_look_as_if_it_were_the_worse_one():
    """Among moves that the move model has chosen, the worse model looks like the better one."""
    rng = np.random.default_rng(16)
    truth = rng.normal(size=4000)
    good, bad = truth + 0.8 * rng.normal(size=4000), truth + rng.normal(size=4000)
    chosen = good.argsort()[:200]
    ranking = MoveRanking()
    judge(ranking, good[chosen], bad[chosen], truth[chosen])
    assert ranking.uses_hamming
    # Measured: 0.79, and 1.29 among as many that were drawn.
    ranking = MoveRanking()
    drawn = slice(200)
    judge(ranking, good[drawn], bad[drawn], truth[drawn])
    assert not ranking.uses_hamming


def test_a_useless_move_model_does_not_keep_the_other_out():
    rng = np.random.default_rng(12)
    ranking = MoveRanking()
    moves = rng.normal(size=(200, 3))
    ranking.add_moves(moves, moves, rng.normal(size=(200, 2)))
    ranking.fit_if_due()
    ranking.move_model.check(np.arange(100.0), -np.arange(100.0))
    assert not ranking.ready
    assert not ranking.comparable
    X = permutations(300, rng)
    ranking.add_designs(QAP.features(X), value(X))
    assert ranking.comparable


@pytest.mark.parametrize("used", [False, True])
def test_the_move_model_is_used_if_both_are_right(used):
    truth = np.random.default_rng(10).normal(size=100)
    ranking = MoveRanking()
    ranking.uses_hamming = used
    judge(ranking, 0.95 * truth + 1.0, truth, truth)
    assert ranking.unexplained_ratio == 1.0
    assert not ranking.uses_hamming


def test_other_features_than_zeros_and_ones_end_it():
    ranking = MoveRanking()
    ranking.add_designs(np.eye(3), np.zeros((3, 2)))
    assert ranking.hamming_model is not None
    ranking.add_designs(np.full((1, 3), 0.5), np.zeros((1, 2)))
    assert ranking.hamming_model is None
    ranking.add_designs(np.eye(3), np.zeros((3, 2)))


# ------------------------------------------------------------------------------------ in the search


class Mixed(Problem):
    """One real variable beside bits and options."""

    def __init__(self):
        real = {"x": Real(bounds=(0, 1))}
        super().__init__(vars=real | {"b": Binary(), "c": Choice(options=["u", "v"])}, n_obj=2)

    def _evaluate(self, X, out, *args, **kwargs):
        out["F"] = np.array([[x["x"] + x["b"], (1 - x["x"]) + (x["c"] == "u")] for x in X])


@pytest.mark.parametrize(
    "problem", [MultiObjectiveQAP.random(n_facilities=12, seed=1), MNK], ids=["QAP", "MNK"]
)
def test_it_is_used_if_moves_pay_in_one_place_and_not_in_another(problem):
    algorithm = MOELA(models=Models(pair_sums=False))
    ranking = minimize(problem, algorithm, ("n_eval", 2500), seed=1).algorithm.guided.move_ranking
    assert ranking.uses_hamming
    assert ranking.hamming_model.window.n_rows == 2500


@pytest.mark.parametrize(
    ("make", "settings"),
    [
        (lambda: NoC3D.example("bfs", objectives=3), {}),
        (lambda: get_problem("zdt1"), {}),
        (Mixed, {"sampling": MixedVariableSampling()}),
        (lambda: MNK, {"models": Models(hamming=False)}),
        (lambda: MNK, {"models": Models(moves=None)}),
    ],
)
def test_there_is_none_where_it_cannot_be_used(make, settings):
    ranking = minimize(
        make(), MOELA(**settings), ("n_eval", 200), seed=1
    ).algorithm.guided.move_ranking
    assert ranking is None or ranking.hamming_model is None


def two_values_of_an_order(d):
    return sum(d["order"].index(i) * i for i in range(12)), d["order"].index(3)


@pytest.mark.few_evaluations
def test_neither_moves_nor_choices_of_a_model_are_compared(monkeypatch):
    ends, compared, others = [], [], []
    add_moves, add_designs = MoveRanking.add_moves, MoveRanking.add_designs

    def moves_added(self, moves, reached, changes, normalization=None):
        ends.extend(map(bytes, reached))
        add_moves(self, moves, reached, changes, normalization)

    def designs_added(self, features, F, normalization=None, unchosen=None):
        compared.extend(map(bytes, features[unchosen]))
        others.extend(map(bytes, features[~unchosen]))
        add_designs(self, features, F, normalization, unchosen)

    monkeypatch.setattr(MoveRanking, "add_moves", moves_added)
    monkeypatch.setattr(MoveRanking, "add_designs", designs_added)
    moela.minimize(
        two_values_of_an_order,
        variables={"order": moela.permutation(12)},
        objectives=["late", "place"],
        n_eval=300,
        seed=1,
        algorithm=MOELA(models=Models(pair_sums=False)),
        progress=False,
        verbose=False,
    )
    assert len(compared) > 20  # initial designs and children
    assert len(ends) > 20
    assert not set(compared) & set(ends)
    # Gaussian processes choose the first 100 designs but the initial ones.
    assert len(set(others) - set(ends)) > 50


def test_ridge_regression_is_that_of_scikit_learn_while_rows_come_and_go():
    rng = np.random.default_rng(13)
    model, effects = MoveModel(size=300), rng.normal(size=(12, 2))
    for _ in range(80):
        moves = (rng.random((9, 12)) < 0.2) * rng.choice([-1.0, 1.0], (9, 12))
        moves[:, 3] = 0.0
        model.add(moves, moves @ effects + rng.normal(size=(9, 2)))
        if model.fit_if_due():
            D, C = model.window.arrays()
            scale = np.where(D.std(axis=0) > 0, D.std(axis=0), np.inf)
            unit = C.std(axis=0)
            ridge = Ridge(alpha=1.0, fit_intercept=False).fit(D / scale, C / unit)
            expected = ridge.predict(moves / scale) * unit
            np.testing.assert_allclose(model.predict(moves), expected, rtol=1e-9)
    assert model.n_fits > 10
    assert len(np.concatenate(model.window.inputs)) < 400


def test_weights_are_halved_where_the_largest_change_is_a_share_of_the_front():
    normalization = Normalization(3, bounds=([0.0, 0.0, 5.0], [1.0, 10.0, 5.0]))
    # The third objective has not varied, so that nothing says what is large.
    changes = np.array([[0.0, 0.0, 0.0], [0.2, 1.0, 9.0], [-0.1, -2.0, 0.0], [0.6, 0.0, 1e300]])
    np.testing.assert_allclose(normalization.weights_of(changes, 0.2), [1.0, 0.5, 0.5, 0.1])


def test_moves_that_ruin_a_design_do_not_hide_the_effects_of_others():
    rng = np.random.default_rng(2)
    effects = rng.normal(size=(6, 2))
    moves = rng.normal(scale=0.01, size=(300, 6))
    moves[::4, 0] = rng.uniform(2.0, 4.0, size=75)
    changes = moves @ effects
    changes[::4] += np.abs(moves[::4, :1]) ** 3  # far from linear
    small = moves[1::4] * [0.0, 1.0, 1.0, 1.0, 1.0, 1.0]
    errors = []
    for normalization in (None, Normalization(2, bounds=([0.0, 0.0], [1.0, 1.0]))):
        ranking = MoveRanking(hamming=False)
        ranking.add_moves(moves, moves, changes, normalization)
        ranking.fit_if_due()
        errors.append(np.abs(ranking.move_model.predict(small) - small @ effects).mean())
    assert errors[1] < 0.2 * errors[0]
