"""Perfect predictions of moves, which show what a better model could bring."""

import numpy as np
import pytest
from pymoo.optimize import minimize

from problems import MNKLandscape, MultiObjectiveKnapsack
from tests.benchmarks.perfect_moves import PerfectMoves


@pytest.mark.parametrize(
    "problem",
    [
        MNKLandscape.random(n=20, k=3, n_obj=2, seed=1),
        MultiObjectiveKnapsack.random(n_items=30, seed=1),
    ],
    ids=["bits", "constraints"],
)
def test_predicted_changes_are_those_observed(problem):
    result = minimize(problem, PerfectMoves(), ("n_eval", 200), seed=1)
    guided = result.algorithm.guided
    X = np.array([ind.X for ind in result.opt])
    near = result.algorithm.context.neighbors(X, 5)
    features = guided.encoder(X), guided.encoder.near(X, near)
    change, constraints = guided.screening._changes(*features)
    known = problem.evaluate(near.reshape(-1, problem.n_var), return_values_of=["F", "G"])
    begin = problem.evaluate(X, return_values_of=["F", "G"])
    for predicted, after, before in zip((change, constraints), known, begin, strict=True):
        if predicted is None:
            assert not problem.has_constraints()
            continue
        observed = after.reshape(*near.shape[:2], -1) - before[:, None]
        np.testing.assert_allclose(predicted, observed, atol=1e-12)
        assert np.ptp(observed) > 0
