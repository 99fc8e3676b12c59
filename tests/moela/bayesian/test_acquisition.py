"""Tests of the expected growth of the hypervolume."""

import moocore
import numpy as np
import pytest

from moela.bayesian.acquisition import ExpectedImprovement, directions
from moela.bayesian.gaussian_process import GaussianProcess
from moela.bayesian.outputs import Output

pytestmark = pytest.mark.few_evaluations


class Known:
    """A process whose predictions are the inputs: means, then deviations."""

    def __init__(self, column, n_obj):
        self.column, self.n_obj = column, n_obj

    def predict(self, X):
        return X[:, self.column], X[:, self.n_obj + self.column]


def acquisition_of(front, n_obj=2, limits=(), n_rays=2048):
    rays = directions(n_rays, n_obj, np.random.default_rng(0))
    processes = [Known(j, n_obj) for j in range(n_obj)]
    outputs = [Output(0.0, 1.0)] * n_obj
    ideal, nadir = np.zeros(n_obj), np.ones(n_obj)
    acquisition = ExpectedImprovement(
        processes, outputs, list(limits), ideal, nadir, np.full(n_obj, 1.1), rays
    )
    acquisition.include(np.asarray(front))
    return acquisition


@pytest.mark.parametrize("n_obj", [2, 3])
def test_it_is_the_expected_hypervolume_improvement(n_obj):
    rng = np.random.default_rng(1)
    front = rng.dirichlet(np.ones(n_obj), 8)
    acquisition = acquisition_of(front, n_obj)
    means = rng.random((12, n_obj)) * 0.6
    X = np.column_stack([means, np.full((12, n_obj), 0.15)])
    ref = np.full(n_obj, 1.1)
    base = moocore.hypervolume(front, ref=ref)
    expected = []
    for mean in means:
        drawn = mean + 0.15 * rng.normal(size=(800, n_obj))
        volumes = [moocore.hypervolume(np.vstack([front, f]), ref=ref) for f in drawn]
        expected.append(np.mean(volumes) - base)
    ratio = np.exp(acquisition.score(X)) / np.array(expected)
    # A factor that is the same for all designs does not matter.
    np.testing.assert_allclose(ratio / np.median(ratio), 1.0, atol=0.15)


def test_a_certain_design_grows_it_by_its_own_part():
    acquisition = acquisition_of([[0.5, 0.5]])
    x = np.array([[0.2, 0.2, 1e-6, 1e-6]])
    before = acquisition.volume
    promised = float(np.exp(acquisition.score(x)[0]))
    acquisition.include(np.array([[0.2, 0.2]]))
    np.testing.assert_allclose(acquisition.volume - before, promised, rtol=1e-3)


def test_designs_that_cannot_improve_are_ranked_by_distance():
    acquisition = acquisition_of([[0.1, 0.1]])
    X = np.array([[0.5, 0.5, 1e-3, 1e-3], [0.9, 0.9, 1e-3, 1e-3], [0.05, 0.05, 1e-3, 1e-3]])
    score = acquisition.score(X)
    assert score[2] > score[0] > score[1]


def test_likely_violations_count_less():
    class Limit:
        def predict(self, X):
            return np.array([-2.0, 2.0]), np.ones(2)

    acquisition = acquisition_of([[0.5, 0.5]], limits=[(Limit(), 0.0)])
    x = [0.2, 0.2, 0.1, 0.1]
    allowed, violated = acquisition.score(np.array([x, x]))
    free = acquisition_of([[0.5, 0.5]]).score(np.array([x]))[0]
    assert violated < allowed < free
    np.testing.assert_allclose(allowed - free, np.log(0.97725), atol=1e-3)


def test_before_the_first_feasible_design_only_constraints_count():
    class Limit:
        def predict(self, X):
            return X[:, 0], np.ones(len(X))

    acquisition = acquisition_of(np.empty((0, 2)), limits=[(Limit(), 0.0)])
    score = acquisition.score(np.array([[-1.0, 9.0, 0.1, 0.1], [1.0, -9.0, 0.1, 0.1]]))
    assert score[0] > score[1]


def test_transformed_outputs_give_the_same_improvement():
    rng = np.random.default_rng(0)
    X = rng.random((40, 1))
    values = np.exp(3.0 * X[:, 0])
    rays = directions(256, 2, np.random.default_rng(0))
    scores = []
    for powered in (False, True):
        outputs = [Output.of(values, powered=powered)] * 2
        process = GaussianProcess(1)
        process.fit(X, outputs[0](values))
        acquisition = ExpectedImprovement(
            [process, process],
            outputs,
            [],
            np.full(2, 1.0),
            np.full(2, 10.0),
            np.full(2, 1.1),
            rays,
        )
        acquisition.include(np.array([[5.0, 5.0]]))
        scores.append(acquisition.score(np.array([[0.1], [0.2], [0.3]])))
    np.testing.assert_allclose(scores[0], scores[1], atol=0.05)
