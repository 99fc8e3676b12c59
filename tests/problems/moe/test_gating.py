"""Gating thresholds: values equal those of the trace, and fronts are better than fixed k."""

from __future__ import annotations

import numpy as np
import pytest
from pymoo.optimize import minimize

from moe_costmodel import GateRule, LatencyModel, RoutingTrace, gate_mass, keep_choices
from moe_costmodel.example.measured import example_latency, example_shape
from moela import MOELA
from problems import GatingThresholds


@pytest.fixture(scope="module")
def trace():
    return RoutingTrace.example("code")


@pytest.mark.parametrize("rule", ["top-p", "skip", "top-k", "any"])
def test_objectives_are_those_of_the_rules_on_the_trace(trace, rule):
    problem = GatingThresholds(trace, rule=rule)
    X = np.random.default_rng(1).integers(0, problem.levels.n_levels, (5, problem.n_var))
    for x, f in zip(X, problem.evaluate(X), strict=True):
        found = gate_mass(trace, problem.decode(x).rules)
        # The table sums float32 weights in another order.
        np.testing.assert_allclose(f, [found.experts.mean(), 1 - found.mass.mean()], atol=1e-6)


def test_a_higher_level_keeps_more_experts(trace):
    levels = GatingThresholds(trace, rule="any").levels
    assert (np.diff(levels.experts.mean(axis=0), axis=1) >= 0).all()
    assert levels.experts.max() == trace.k


def test_latency_is_that_of_the_loads_that_are_left(trace):
    problem = GatingThresholds(
        trace, objectives=("latency", "p99_latency"), latency=example_latency(),
        shape=example_shape(), batch_size=8,
    )  # fmt: skip
    x = problem.starts()[3]
    loads = trace.loads(8, keep=keep_choices(trace, problem.decode(x).rules))
    steps = example_latency().table(example_shape()).seconds(loads).sum(axis=1)
    np.testing.assert_allclose(
        problem.evaluate(x[None])[0], [steps.mean(), np.quantile(steps, 0.99)], rtol=1e-9
    )


def test_windows_count_by_mean_or_by_the_worst():
    windows = [RoutingTrace.example("code"), RoutingTrace.example("prose")]
    single = [GatingThresholds(w, rules=RULES) for w in windows]
    X = np.array([[0] * 6, [1, 0, 2, 1, 0, 2]])
    F = np.stack([p.evaluate(X) for p in single])
    mean = GatingThresholds(windows, rules=RULES).evaluate(X)
    worst = GatingThresholds(windows, rules=RULES, aggregate="worst").evaluate(X)
    np.testing.assert_allclose(mean, F.mean(axis=0))
    np.testing.assert_allclose(worst, F.max(axis=0))


RULES = [GateRule("top-p", 0.5), GateRule("top-p", 0.8), GateRule("top-p", 1.0)]


def test_fixed_k_front_is_that_of_k_experts_and_is_beaten(trace):
    problem = GatingThresholds(trace, rule="any")
    fixed = problem.fixed_k_front()
    np.testing.assert_allclose(fixed[:, 0], [1, 2, 3, 4])
    res = minimize(problem, MOELA(), ("n_eval", 600), seed=1)
    for f in fixed:
        assert (res.F <= f + 1e-9).all(axis=1).any()
    between = np.interp(res.F[:, 0], fixed[:, 0], fixed[:, 1])
    # Measured with three seeds: the whole front is at or below the curve of fixed k.
    assert (res.F[:, 1] <= between + 1e-9).mean() > 0.95


def test_objectives_of_takes_rules_of_no_level(trace):
    problem = GatingThresholds(trace, rule="top-p")
    found = problem.objectives_of([GateRule("skip", 0.33)] * 6)
    expected = gate_mass(trace, GateRule("skip", 0.33))
    np.testing.assert_allclose(found, [[expected.experts.mean(), 1 - expected.mass.mean()]])


def test_measured_loss_is_that_of_the_model():
    pytest.importorskip("torch")
    pytest.importorskip("safetensors")
    from moe_costmodel import measured_loss
    from moe_costmodel.example import load_model
    from moe_costmodel.example.record import excerpts

    problem = GatingThresholds.example(measured=True, n_excerpts=1)
    assert problem.quality_kind == "measured loss"
    x = np.array([3, 9, 5, 13, 8, 8])
    rules = problem.decode(x).rules
    found = measured_loss(load_model(), excerpts("code", n=1), rules)
    np.testing.assert_allclose(problem.evaluate(x[None])[0], [found.experts, found.loss])
    assert "measured loss" in str(problem.decode(x))


def test_a_trace_without_weights_is_refused_by_name(trace):
    bare = RoutingTrace(trace.topk_ids, n_experts=32, source="bare.npz")
    with pytest.raises(ValueError, match=r"'trace' parameter of GatingThresholds.*bare\.npz"):
        GatingThresholds(bare)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"rule": "guess"}, "rule.*guess"),
        ({"objectives": ("speed",)}, "objectives.*speed"),
        ({"objectives": ("latency",)}, "latency.*LatencyModel"),
        ({"rules": [GateRule("top-k", 1)]}, "rules.*at least two"),
        ({"rules": "top-p"}, "rules.*at least two GateRules .*give rule=.* Got 'top-p'"),
        ({"aggregate": "best"}, "aggregate.*best"),
    ],
)
def test_wrong_settings_are_named(trace, settings, words):
    with pytest.raises(ValueError, match=words):
        GatingThresholds(trace, **settings)


def test_shape_must_be_of_the_trace(trace):
    from dataclasses import replace

    assert isinstance(example_latency(), LatencyModel)
    with pytest.raises(ValueError, match=r"shape.*32 experts, all local"):
        GatingThresholds(
            trace, objectives=("latency",), latency=example_latency(),
            shape=replace(example_shape(), n_local=8),
        )  # fmt: skip


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.nan, r"whole numbers \(see row 0, column 2\). Got nan"),
        (1.5, r"whole numbers \(see row 0, column 2\). Got 1.5"),
        ("3", "whole numbers. Got dtype"),
    ],
)
def test_entries_of_a_design_that_are_no_integers_are_named(value, message):
    problem = GatingThresholds.example()
    x = np.ones(6).tolist()
    assert np.array_equal(problem.decode(x).rules, problem.decode(np.ones(6, int)).rules)
    x[2] = value
    with pytest.raises(ValueError, match=rf"'X' parameter of GatingThresholds .*{message}"):
        problem.decode(x)


def test_rules_of_any_layer_are_evaluated(trace):
    problem, rule = GatingThresholds.example(), GateRule("top-k", 2)
    np.testing.assert_array_equal(problem.objectives_of(rule), problem.objectives_of([rule] * 6))
    assert problem.objectives_of([None] * 6).tolist() == [[4.0, 0.0]]
    with pytest.raises(ValueError, match="'rules' parameter of objectives_of"):
        problem.objectives_of("top-k")


def test_a_layer_without_weight_loses_none(trace):
    weights = np.array(trace.topk_weights)
    weights[:, 2] = 0.0
    bare = RoutingTrace(trace.topk_ids, weights, n_experts=32)
    lost = GatingThresholds(bare, rules=RULES).levels.lost
    assert (lost[:, 2] == 0.0).all()
    assert (lost[:, 1, 0] > 0.0).all()
