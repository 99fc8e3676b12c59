"""Random instances: seeds, ranges, correlations; and settings out of range."""

from __future__ import annotations

import math

import numpy as np
import pytest

from problems.classic import MNKLandscape, MultiObjectiveKnapsack, MultiObjectiveQAP
from problems.classic.correlated import correlated_uniforms, lowest_correlation, pulled_uniforms

CLASSES = [MultiObjectiveQAP, MultiObjectiveKnapsack, MNKLandscape]


@pytest.mark.parametrize("cls", CLASSES)
def test_same_seed_same_instance(cls):
    assert cls.random(seed=3).version == cls.random(seed=3).version
    assert cls.random(seed=3).version != cls.random(seed=4).version


@pytest.mark.parametrize("correlation", [-1.0, -0.8, 0.0, 0.3, 0.8, 1.0])
def test_uniform_qap_flows_follow_the_first_objective(correlation):
    problem = MultiObjectiveQAP.random(
        n_facilities=60, n_obj=3, correlation=correlation, max_flow=50, seed=1
    )
    off = ~np.eye(60, dtype=bool)
    assert (problem.distance[off].min(), problem.distance[off].max()) == (1, 100)
    assert np.all(problem.distance == problem.distance.T)
    assert np.all(np.diag(problem.distance) == 0)
    for flow in problem.flow:
        assert (flow[off].min(), flow[off].max()) == (1, 50)
        assert np.all(flow == flow.T)
        assert np.all(np.diag(flow) == 0)
    for later in problem.flow[1:]:
        r = np.corrcoef(problem.flow[0][off], later[off])[0, 1]
        # Measured: 0.34 for 0.3, 0.94 for 0.8, and 0.02 for 0, less than a standard error.
        low, high = {0.0: (-0.1, 0.1), 0.3: (0.2, 0.5), 0.8: (0.9, 0.97), 1.0: (0.999, 1.0001)}[
            abs(correlation)
        ]
        assert low < (r if correlation >= 0 else -r) < high


def test_uniform_qap_correlation_is_that_of_the_published_instances(shared_data):
    # Measured: -0.920 in the public instance of 45 pairs, -0.938 here; the standard error of the
    # first is 0.024.
    public = MultiObjectiveQAP.from_file(shared_data / "mqap" / "KC10-2fl-3uni.dat")
    upper = np.triu_indices(10, 1)
    published = np.corrcoef(*(flow[upper] for flow in public.flow))[0, 1]
    big = MultiObjectiveQAP.random(n_facilities=80, correlation=-0.8, seed=1)
    upper = np.triu_indices(80, 1)
    generated = np.corrcoef(*(flow[upper] for flow in big.flow))[0, 1]
    assert generated == pytest.approx(published, abs=0.05)


def test_real_like_qap_has_sparse_heavy_flows_and_metric_distances():
    problem = MultiObjectiveQAP.random(
        n_facilities=50, kind="real-like", overlap=1.0, flow_exponents=(-2, 4), seed=2
    )
    upper = np.triu_indices(50, 1)
    for flow in problem.flow:
        # A third of u, uniform on [-2, 4], gives 10 ** u < 1, which is floored to 0. 0.06 is 4.5
        # standard errors of 1,225 pairs. Their largest flow is 0.6 % below 10 ** 4.
        assert np.mean(flow[upper] == 0) == pytest.approx(1 / 3, abs=0.06)
        assert 5000 < flow.max() <= 10**4
    d = problem.distance
    # Rounding each distance down bends the triangle inequality by less than 1.
    assert np.all(d[:, :, None] <= d[:, None, :] + d.T[None, :, :] + 2)
    assert d.max() <= 200


@pytest.mark.parametrize(
    ("m", "rho"), [(2, -1.0), (2, -0.6), (2, 0.5), (3, -0.48), (4, 0.9), (3, 1)]
)
def test_correlated_uniforms_are_uniform_and_correlated(m, rho):
    # The tolerances are three to four standard errors of 20,000 variates.
    U = correlated_uniforms(20_000, m, rho, np.random.default_rng(1))
    assert U.shape == (20_000, m)
    for column in U.T:
        np.testing.assert_allclose(
            np.quantile(column, [0.1, 0.5, 0.9]), [0.1, 0.5, 0.9], atol=0.015
        )
    R = np.corrcoef(U.T)
    np.testing.assert_allclose(R[np.triu_indices(m, 1)], rho, atol=0.02)


def test_lowest_correlation_is_where_normal_variates_end():
    assert lowest_correlation(2) == pytest.approx(-1.0)
    for m in (3, 5):
        r = 2 * math.sin(math.pi / 6 * lowest_correlation(m))
        assert np.linalg.eigvalsh(np.full((m, m), r) + (1 - r) * np.eye(m))[0] == pytest.approx(0)


@pytest.mark.parametrize("c", [0.25, 0.9, -0.5])
def test_pulled_uniforms_are_truncated_normals(c):
    v = np.full(40_000, 0.3)
    q = pulled_uniforms(v, c, np.random.default_rng(1))
    assert (q >= 0).all()
    assert (q <= 1).all()
    # By rejection, as the published generators draw them; at least 50,000 are kept, so that 0.01 is
    # four standard errors of a quantile.
    rng = np.random.default_rng(2)
    trial = rng.random(400_000)
    spread = 1 - math.sqrt(abs(c))
    kept = trial[rng.random(400_000) < np.exp(-((trial - 0.3) ** 2) / (2 * spread**2))]
    kept = kept if c > 0 else 1 - kept
    probs = [0.1, 0.5, 0.9]
    np.testing.assert_allclose(np.quantile(q, probs), np.quantile(kept, probs), atol=0.01)


@pytest.mark.parametrize(("m", "correlation"), [(2, 0.0), (2, -0.9), (2, 0.9), (3, -0.45)])
def test_random_knapsacks_have_the_correlation_and_the_capacity(m, correlation):
    problem = MultiObjectiveKnapsack.random(
        n_items=4000, n_obj=m, correlation=correlation, max_value=300, max_weight=50, seed=1
    )
    R = np.corrcoef(problem.values.T)
    # The standard error of 4,000 items is 0.016 at most.
    np.testing.assert_allclose(R[np.triu_indices(m, 1)], correlation, atol=0.04)
    assert (problem.values.min(), problem.values.max()) == (1, 300)
    assert (problem.weights.min(), problem.weights.max()) == (1, 50)
    assert problem.capacity == math.ceil(problem.weights.sum() / 2)


def test_mnk_links_are_the_bit_itself_and_k_different_others():
    problem = MNKLandscape.random(n=30, k=6, n_obj=3, rho=0.2, seed=1)
    assert problem.links.shape == (3, 30, 7)
    assert np.all(problem.links == problem.links[0])
    for i, row in enumerate(problem.links[0]):
        assert row[0] == i
        assert len(set(row)) == 7
    assert set(problem.links[0, :, 1:].ravel()) == set(range(30))


BAD = [
    (MultiObjectiveQAP, {"n_facilities": 1}, "'n_facilities'.*at least 2. Got 1 instead"),
    (MultiObjectiveQAP, {"kind": "real"}, "'kind'.*one of 'uniform', 'real-like'. Got 'real'"),
    (MultiObjectiveQAP, {"correlation": 1.5}, "'correlation'.*from -1 to 1. Got 1.5"),
    (MultiObjectiveQAP, {"correlation": [0.1, 0.2]}, "'correlation'.*one number, or 1"),
    (MultiObjectiveQAP, {"kind": "real-like", "flow_exponents": (5, 4)}, "'flow_exponents'.*A < B"),
    (
        MultiObjectiveQAP,
        {"kind": "real-like", "flow_exponents": (1, 2, 3)},
        "'flow_exponents'.*pair",
    ),
    (MultiObjectiveKnapsack, {"n_obj": 3, "correlation": -0.5}, "at least -0.4826 for 3"),
    (MultiObjectiveKnapsack, {"tightness": float("nan")}, "'tightness'.*Got nan"),
    (MNKLandscape, {"n": 5, "k": 5}, "'k'.*from 0 to 4. Got 5"),
    (MNKLandscape, {"n_obj": 4, "rho": -0.4}, "'rho'.*at least -0.3198 for 4 objectives"),
]


@pytest.mark.parametrize(("cls", "settings", "message"), BAD)
def test_bad_settings_are_named(cls, settings, message):
    with pytest.raises(ValueError, match=message):
        cls.random(**settings)
