"""Parts that make predictions of whole steps hold: reused slots, measured tables, intervals."""

import numpy as np
import pytest

from moe_costmodel import LayerShape, RestOfModel, RoutingTrace
from moe_costmodel.latency.buffer_cost import BufferCost
from moe_costmodel.latency.layer_table import LayerTable
from moe_costmodel.latency.report import conformal
from moe_costmodel.measure.measurements import Record

SHAPE = LayerShape(n_experts=8, k=2, d_model=64, d_ffn=128)


def layer_seconds(shape, counts):
    return 1e-3 * np.count_nonzero(counts, axis=1)


def runs(truth, rng):
    """Yield records of buffered runs that take exactly the time of `truth`."""
    for number in range(60):
        counts = rng.integers(0, 3, size=(4, 8))
        capacity = int(rng.integers(1, 8))
        active = np.count_nonzero(counts, axis=1)
        # Misses of slots that are used again, and some of others.
        misses = int(np.maximum(active - capacity, 0).sum() + rng.integers(0, 5))
        at = {"tokens": 4, "counts": counts.tolist(), "capacity": capacity, "misses": misses}
        seconds = truth.layer_seconds(layer_seconds(SHAPE, counts), active, capacity).sum()
        seconds += float(truth.copy_seconds(SHAPE, misses))
        yield Record("buffered", at | {"step": number // 2}, [float(seconds)], SHAPE)


def test_the_cost_of_reused_slots_is_found(rng):
    truth = BufferCost(scale=1.2, reuse_scale=0.5, per_miss=2e-4)
    records = list(runs(truth, rng))
    found = BufferCost.fit(records, layer_seconds)
    assert found.scale == pytest.approx(1.2, rel=1e-6)
    assert found.reuse_scale == pytest.approx(0.5, rel=1e-6)
    # Times without noise are predicted exactly, whichever runs are left out.
    left = BufferCost.left_out(records, layer_seconds)
    assert len(left)
    assert np.abs(left).max() < 1e-9


def test_a_buffer_that_is_never_too_small_does_not_make_reuse_free(rng):
    records = [r for r in runs(BufferCost(scale=2.0), rng) if r.at["capacity"] == 7]
    records = [
        r for r in records if max(np.count_nonzero(r.at["counts"], axis=1)) <= r.at["capacity"]
    ]
    found = BufferCost.fit(records, layer_seconds)
    assert found.reuse_scale == found.scale


def test_a_table_moves_to_measured_steps_and_never_falls():
    table = LayerTable.build(SHAPE, lambda work, tokens: 1e-4 * work.active + 1e-6 * work.rows, 32)
    counts = np.array([[4] * 8] * 20)
    before = table.seconds(counts)[0]
    moved = table.moved_to(counts, np.full(20, 1.1 * before))
    # Larger steps are not faster, so a step that alone takes longer is met in part.
    assert 1.04 * before < moved.seconds(counts)[0] < 1.11 * before
    far = [[1] + [0] * 7]
    assert moved.seconds(far) == pytest.approx(table.seconds(far), rel=0.01)
    assert all((np.diff(moved.log_seconds, axis=axis) >= -1e-12).all() for axis in range(3))


def test_intervals_cover_new_ratios(rng):
    # The share of new ratios that are inside is beta distributed around the coverage; of 400
    # intervals from 30 ratios each, its mean varies by 0.004.
    held = []
    for _ in range(400):
        low, high = conformal(np.sort(rng.normal(0, 0.1, 30)), 0.8)
        ratios = np.exp(rng.normal(0, 0.1, 100))
        held.append(np.mean((low <= ratios) & (ratios <= high)))
    assert 0.78 < np.mean(held) < 0.82
    assert conformal(np.zeros(0), 0.8) == (1.0, 1.0)


def test_the_rest_follows_measured_sizes_and_knows_its_error():
    tokens = np.array([1.0, 2, 4, 8, 16, 32])
    truth = 1e-3 + 1e-5 * tokens * np.where(tokens == 8, 3.0, 1.0)
    rest = RestOfModel.from_times(tokens, np.full(6, 100.0), truth)
    assert rest.seconds(tokens, 100) == pytest.approx(truth, rel=1e-9)
    # Measured sizes are met exactly, sizes that are left out are not.
    assert rest.error(0.8, 8) == pytest.approx((1.0, 1.0))
    low, high = rest.error(0.8, 6)
    assert low < 1 < high


def test_recorded_steps_follow_each_other(rng):
    pytest.importorskip("torch")
    from moe_costmodel.measure.step_routing import StepRouting

    ids = np.array([rng.permutation(8)[:2] for _ in range(60)]).reshape(60, 1, 2)
    trace = RoutingTrace(ids, np.full(ids.shape, 0.5), n_experts=8, sequence_lengths=[20] * 3)
    source = StepRouting(SHAPE, 1, rng, trace)
    steps = source.steps(3, 4, mode="decode", skew=0.0, recorded=True)
    found = np.stack([layers[0][0] for layers in steps])  # (steps, tokens, k)
    whole = ids.reshape(3, 20, 2).transpose(1, 0, 2)
    assert any(np.array_equal(found, whole[i : i + 4]) for i in range(17))
    # The trace has no step of 5 sequences, so these are drawn.
    assert source.steps(5, 2, mode="decode", skew=0.0, recorded=True)[0][0][0].shape == (5, 2)
