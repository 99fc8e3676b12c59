"""Steps drawn from loads, and from sequences that are repeated."""

import numpy as np
import pytest

from moe_costmodel import RoutingTrace, contiguous, sample_loads, sample_tokens
from moe_costmodel.traces.sampling import LoadSteps, repeated_sequences, routed_layers
from tests.moe_costmodel.random_traces import random_trace


def steps_of(counts, batch_size, *, k=2, mode="decode", n_steps=400, seed=0):
    trace = RoutingTrace.from_counts(counts)
    rng = np.random.default_rng(seed)
    return LoadSteps.of(trace, batch_size, mode, k, n_steps=n_steps, random_state=rng)


def test_a_token_has_different_experts_and_each_its_share(rng):
    counts = rng.integers(1, 100, (1, 2, 16))
    steps = steps_of(counts, 8, k=4)
    for layer in range(2):
        ids = np.sort(steps.choices(layer, rng), axis=1)
        assert (np.diff(ids, axis=1) > 0).all()
        share = np.bincount(ids.ravel(), minlength=16) / ids.size
        # 3,200 tokens: a standard error is below .006.
        assert np.abs(share - counts[0, layer] / counts[0, layer].sum()).max() < 0.02


@pytest.mark.parametrize("mode", ["decode", "prefill"])
def test_larger_steps_keep_how_experts_vary_together(rng, mode):
    # The first half of the experts is busy in every other pair of steps: 8 tokens, 2 choices.
    one, other = [4] * 4 + [0] * 4, [0] * 4 + [4] * 4
    counts = np.array([[row] for row in (one, one, other, other) * 8])
    steps = steps_of(counts, 16, mode=mode)
    assert steps.basis == "joined"
    assert "composed of steps of 8" in steps.note
    half = steps.loads(0, rng)[:, :4].sum(axis=1)
    assert set(half) <= {0, 16, 32}
    # Consecutive steps (prefill) are alike half of the time; random ones are, too.
    assert 0.3 < np.mean(half != 16) < 0.7


def test_few_recorded_steps_are_drawn_from_independently(rng):
    steps = steps_of(np.array([[[30, 30, 20, 20]]]), 50)
    assert steps.basis == "independent"
    assert steps.spread > 1.0
    assert "as if their tokens were independent" in steps.note
    loads = steps.loads(0, rng)
    assert (loads.sum(axis=1) == 100).all()
    assert loads.max() <= 50
    # A binomial variable of 50 tokens, at most one of each for an expert of probability .6.
    assert loads[:, 0].var() == pytest.approx(50 * 0.6 * 0.4, rel=0.3)


def test_a_step_without_load_is_left_out_and_dense_layers_are_too(rng):
    counts = np.zeros((3, 3, 4))
    counts[:2, 1:] = [[4, 3, 2, 1]]
    trace = RoutingTrace.from_counts(counts, layers=[0, 5, 6])
    routed = routed_layers([trace])[0]
    assert routed.layers.tolist() == [5, 6]
    loads = sample_loads(trace, 6, k=2, n_steps=5, random_state=rng)
    assert loads.shape == (5, 3, 4)
    assert not loads[:, 0].any()
    assert loads.sum() == 5 * 2 * 12


def test_sequences_are_repeated_at_other_positions(rng):
    trace = random_trace(rng, n_tokens=60, n_layers=1, lengths=[10, 20, 30])
    order = repeated_sequences(trace, 12, "decode", n_steps=40, random_state=rng)
    follows = np.diff(order, axis=0) == 1
    begins = np.isin(order[1:], [0, 10, 30])
    assert (follows | begins).all()
    assert len(np.unique(order[0])) > 6
    chunk = repeated_sequences(trace, 100, "prefill", n_steps=2, random_state=rng)
    assert chunk.shape == (2, 100)
    tokens = sample_tokens(trace, 12, n_steps=5, random_state=rng)
    assert tokens.has_weights == trace.has_weights
    assert len(tokens.sequence_lengths) == 12


def test_the_busiest_device_of_drawn_steps_is_that_of_the_tokens():
    """The packaged trace as one window of loads; steps of 8 to 64 on four devices."""
    trace = RoutingTrace.example("code")
    window = RoutingTrace.from_counts(trace.loads())
    placement = contiguous(6, 32, 4)
    for batch_size in (8, 64):
        shares = [
            (placement.device_loads(x) / (4 * batch_size)).max(axis=2)
            for x in (
                sample_loads(window, batch_size, k=4, random_state=np.random.default_rng(0)),
                sample_tokens(
                    trace, batch_size, n_steps=256, random_state=np.random.default_rng(1)
                ).loads(batch_size),
            )
        ]
        drawn, true = ((x.mean(axis=0), np.percentile(x, 99, axis=0)) for x in shares)
        assert drawn[0] == pytest.approx(true[0], rel=0.05)
        # The 99th percentile of 256 steps has a standard error of about 4 %.
        assert drawn[1] == pytest.approx(true[1], rel=0.15)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "'k' parameter .* which the loads of trace do not tell"),
        (
            {"k": 4},
            "at most 2, since expert 0 of layer 0 gets 40.0% of the choices in recorded step 0",
        ),
    ],
)
def test_wrong_settings_are_named(rng, settings, message):
    trace = RoutingTrace.from_counts([[[40, 30, 20, 10]]])
    with pytest.raises(ValueError, match=message):
        sample_loads(trace, **{"batch_size": 8, **settings}, random_state=rng)


@pytest.mark.parametrize("draw", [sample_loads, sample_tokens])
def test_an_expert_that_would_serve_a_token_twice_in_one_step_is_named(rng, draw):
    """Over both steps together, no expert has more than half of the choices."""
    trace = RoutingTrace.from_counts([[[0, 2, 1, 1]], [[4, 0, 0, 0]]])
    message = "at most 1, since expert 0 of layer 0 gets 100.0% of the choices in recorded step 1"
    with pytest.raises(ValueError, match=message):
        draw(trace, 4, k=2, n_steps=2, random_state=rng)
