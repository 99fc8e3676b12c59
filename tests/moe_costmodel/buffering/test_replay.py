import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from moe_costmodel import (
    POLICIES,
    ExpertStream,
    expert_streams,
    miss_curves,
    replay,
)
from tests.moe_costmodel.naive import misses

# Miss rate at 8 of 16 experts on 4 devices, continuous batches of B sequences, full steps.
DEEPSEEK_INTENT = {
    1: (0.291, 0.317, 0.283, 0.231, 0.217, 0.146),
    4: (0.299, 0.425, 0.377, 0.297, 0.272, 0.185),
    16: (0.383, 0.818, 0.881, 0.424, 0.383, 0.318),
}


def as_steps(stream):
    return [part.tolist() for part in np.split(stream.ids, stream.bounds[1:-1])]


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 2**32), st.integers(1, 12), st.integers(1, 40), st.sampled_from(sorted(POLICIES))
)
def test_every_event_equals_the_naive_simulator(seed, n_experts, n_steps, policy):
    random = np.random.default_rng(seed)
    heat = random.random(n_experts)
    active = (random.random((n_steps, 1, n_experts)) < heat).astype(int)
    stream = expert_streams(active, np.zeros(n_experts, int), 1)[0][0]
    capacities = list(range(1, n_experts + 2))
    events = stream.events(capacities, policy)
    for column, capacity in enumerate(capacities):
        assert np.array_equal(events[:, column], misses(as_steps(stream), capacity, policy))


@pytest.mark.parametrize("policy", POLICIES)
def test_events_on_a_real_trace_equal_the_naive_simulator(deepseek, policy):
    loads = deepseek["translation"].loads(4)[:600, 9:10]
    for stream in expert_streams(loads, np.arange(64) // 16, 4)[0]:
        events = stream.events(range(1, 17), policy)
        for capacity in (1, 3, 8, 13, 16):
            naive = misses(as_steps(stream), capacity, policy)
            assert np.array_equal(events[:, capacity - 1], naive)


@pytest.mark.parametrize("size", DEEPSEEK_INTENT)
def test_the_reference_table_is_reproduced(deepseek, size):
    curves = miss_curves(deepseek["intent"].loads(size), np.arange(64) // 16, 4, capacities=[8])
    got = tuple(round(float(curves[policy].rate()[0]), 3) for policy in POLICIES)
    assert got == DEEPSEEK_INTENT[size]


def test_belady_is_a_bound_for_all(deepseek):
    curves = miss_curves(deepseek["translation"].loads(4), np.arange(64) // 8, 8)
    assert curves["min"].misses.shape == (26, 8, 8)
    for policy in POLICIES:
        assert (curves["min"].misses <= curves[policy].misses).all()


def test_streams_follow_any_placement(rng):
    loads = rng.integers(0, 2, size=(30, 2, 6))
    device_of = np.array([[0, 1, 0, 1, -1, 0], [1, 1, 1, 0, 0, 0]])
    streams = expert_streams(loads, device_of, 2)
    members = np.array([0, 2, 5])
    for step, ids in enumerate(as_steps(streams[0][0])):
        assert members[ids].tolist() == [e for e in members if loads[step, 0, e]]
    assert streams[0][1].n_experts == 2


def test_curves_steps_and_replay_agree(deepseek):
    loads = deepseek["intent"].loads(4)[:300, :5]
    device_of = np.arange(64) // 16
    curves = miss_curves(loads, device_of, 4, per_step=True)
    capacity = np.array([[1, 5, 8, 16], [2, 2, 2, 2], [16, 1, 1, 1], [7, 7, 9, 9], [3, 4, 5, 6]])
    for policy, curve in curves.items():
        assert np.array_equal(curve.per_step.sum(axis=0), curve.misses)
        steps = replay(expert_streams(loads, device_of, 4), capacity, policy)
        picked = np.take_along_axis(curve.per_step, capacity[None, :, :, None] - 1, axis=3)[..., 0]
        assert np.array_equal(steps, picked)
        cold = (loads.sum(axis=0) > 0).reshape(5, 4, 16).sum(axis=2)
        assert np.array_equal(curve.misses[:, :, -1], cold)


def test_threads_and_many_capacities_change_nothing(deepseek, rng):
    loads = deepseek["intent"].loads(4)[:200, :3]
    device_of = rng.integers(0, 2, 64)
    plain = miss_curves(loads, device_of, 2, capacities=range(1, 131), per_step=True)
    threads = miss_curves(loads, device_of, 2, capacities=range(1, 131), per_step=True, n_jobs=2)
    for policy, curve in plain.items():
        assert np.array_equal(curve.per_step, threads[policy].per_step)
        few = miss_curves(loads, device_of, 2, policies=[policy], capacities=[2, 70, 130])[policy]
        assert np.array_equal(few.misses, curve.misses[:, :, [1, 69, 129]])
        assert np.array_equal(curve.per_step.sum(axis=0), curve.misses)


@pytest.mark.parametrize(
    ("call", "parameter"),
    [
        (lambda loads: expert_streams(loads, [0, 2], 2), "device_of"),
        (lambda loads: expert_streams(loads, [0, 0, 0], 2), "device_of"),
        (lambda loads: miss_curves(loads, [0, 0], 1, policies=["mru"]), "policies"),
        (lambda loads: miss_curves(loads, [0, 0], 1, capacities=[0]), "capacities"),
        (lambda loads: replay(expert_streams(loads, [0, 0], 1), [1], "lru"), "capacity"),
    ],
)
def test_bad_parameters_are_named(call, parameter):
    with pytest.raises(ValueError, match=f"'{parameter}'"):
        call(np.ones((3, 1, 2), int))


@pytest.mark.parametrize(
    ("ids", "bounds", "n_experts", "parameter"),
    [
        ([0, 3], [0, 2], 3, "ids"),
        ([1, 0], [0, 2], 3, "ids"),
        ([0, 1, 1, 2], [0, 1, 3, 4], 3, "ids"),
        ([0, 1], [0, 3], 3, "bounds"),
        ([0, 1], [0, 2, 1, 2], 3, "bounds"),
    ],
)
def test_streams_check_what_the_compiled_replay_does_not(ids, bounds, n_experts, parameter):
    numbers = np.array(ids), np.array(bounds, dtype=np.int64)
    with pytest.raises(ValueError, match=f"'{parameter}' parameter of ExpertStream"):
        ExpertStream(*numbers, n_experts)
