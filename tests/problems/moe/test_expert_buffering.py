"""Expert buffering: evaluations equal a replay, budgets hold, better than the paper's buffers."""

from __future__ import annotations

import numpy as np
import pytest

from moe_costmodel import (
    Hardware,
    Link,
    Placement,
    RoutingTrace,
    contiguous,
    expert_streams,
    replay,
)
from moe_costmodel.example.measured import example_shape
from problems import ExpertBuffering


def replayed(trace, devices, kept, policy, batch):
    """Return mean and 99th percentile of the misses that steps wait for."""
    loads = trace.loads(batch)
    streams = expert_streams(loads, contiguous(6, 32, devices).device_of(), devices)
    steps = np.sort(replay(streams, kept, policy).max(axis=2).sum(axis=1))
    return steps.mean(), steps[int(np.ceil(0.99 * len(steps))) - 1]


@pytest.mark.parametrize("devices", [1, 4])
@pytest.mark.parametrize("per_device", [True, False])
def test_objectives_are_those_of_a_replay(devices, per_device):
    problem = ExpertBuffering.example(n_devices=devices, per_device=per_device, batch_size=8)
    trace = RoutingTrace.example("code")
    rng = np.random.default_rng(2)
    X = rng.integers(problem.xl, problem.xu + 1, (6, problem.n_var))
    for x, f in zip(X, problem.evaluate(X), strict=True):
        plan = problem.decode(x)
        mean, tail = replayed(trace, devices, plan.capacities, plan.policy, 8)
        memory = plan.capacities.sum(axis=0).max() * example_shape().expert_bytes
        np.testing.assert_allclose(
            f, [memory, mean * problem.miss_seconds, tail * problem.miss_seconds]
        )


def test_all_resident_misses_each_expert_once():
    problem = ExpertBuffering.example(n_devices=1)
    x = problem.xu.astype(int)
    loads = RoutingTrace.example("code").loads(4)
    first_uses = (loads.sum(axis=0) > 0).sum()
    assert problem.evaluate(x[None])[0, 1] == pytest.approx(
        first_uses / len(loads) * problem.miss_seconds
    )


def test_operators_and_moves_keep_the_budget():
    problem = ExpertBuffering.example(n_devices=2, budget_bytes=30 * example_shape().expert_bytes)
    rng = np.random.default_rng(3)
    operators = problem.operators()
    pop = operators["sampling"](problem, 40, random_state=rng)
    pairs = rng.integers(0, 40, (30, 2))
    children = operators["crossover"](problem, pop, pairs, random_state=rng)
    children = operators["mutation"](problem, children, random_state=rng)
    near = problem.neighbors_many(children.get("X"), 4, rng).reshape(-1, problem.n_var)
    for X in (pop.get("X"), children.get("X"), near):
        assert (problem.capacities(X).sum(axis=1) <= 30).all()
        assert (problem.evaluate(X, return_values_of=["G"]) <= 0).all()


def test_marginal_buffers_beat_equal_ones_of_the_same_memory():
    problem = ExpertBuffering.example(n_devices=4, objectives=("memory_bytes", "miss_mean_s"))
    F = problem.evaluate(problem.marginal("inactive-lfu"))
    assert (np.diff(F[:, 0]) < 0).all()
    for size in range(1, 9):
        equal = problem.evaluate(problem.equal_capacity(size, "inactive-lfu")[None])[0]
        same = F[F[:, 0] == equal[0]]
        assert same[0, 1] <= equal[1]


def test_starts_are_not_dominated():
    problem = ExpertBuffering.example(n_devices=2)
    F = problem.evaluate(problem.starts())
    for f in F:
        assert not ((F <= f).all(axis=1) & (F < f).any(axis=1)).any()


@pytest.mark.parametrize("domain", ["intent", "translation"])
def test_never_above_the_papers_policy_with_equal_buffers(shared_data, domain):
    trace = RoutingTrace.load(shared_data / f"routing/deepseek-v2-lite-{domain}.npz")
    for batch in (4, 16):
        problem = ExpertBuffering(
            trace, expert_bytes=1.0, miss_seconds=1.0, n_devices=4, batch_size=batch,
            objectives=("memory_bytes", "miss_mean_s"), policies=("paper", "inactive-lfu"),
        )  # fmt: skip
        marginal = problem.evaluate(problem.marginal("inactive-lfu"))
        for size in (2, 4, 8, 12):
            paper = problem.evaluate(problem.equal_capacity(size)[None])[0]
            assert marginal[marginal[:, 0] <= paper[0], 1].min() < paper[1]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"n_devices": 5}, "n_devices.*divisor of 32"),
        ({"budget_bytes": 1000.0}, "budget_bytes.*at least 368640"),
        ({"policies": ("guess",)}, "policies.*guess"),
        ({"objectives": ("speed",)}, "objectives.*speed"),
        ({"placement": contiguous(6, 30, 2)}, r"'placement'.*6 layers of 32 experts.*\(6, 30\)"),
        ({"placement": Placement([[*range(32), 0, 1]] * 6, 2)}, "'placement'.*without replicas"),
    ],
)
def test_wrong_settings_are_named(settings, words):
    with pytest.raises(ValueError, match=words):
        ExpertBuffering.example(**settings)


def test_hardware_gives_the_time_of_a_copy_and_its_lack_is_named():
    trace, shape = RoutingTrace.example(), example_shape()
    there = Hardware(name="a", memory_bytes=1, links={"slow_to_fast": Link(1e9, 1e-5)})
    problem = ExpertBuffering.of_hardware(trace, there, shape)
    assert problem.miss_seconds == pytest.approx(1e-5 + shape.expert_bytes / 1e9)
    with pytest.raises(ValueError, match="slow_to_fast"):
        ExpertBuffering.of_hardware(trace, Hardware(name="b", memory_bytes=1), shape)


@pytest.mark.parametrize("settings", [{"budget_bytes": 6 * 61440.0}, {"n_devices": 32}])
def test_the_only_legal_design_is_its_own_neighbor(settings):
    """Every layer keeps one expert on each device, and there is one policy."""
    problem = ExpertBuffering.example(policies=["lru"], **settings)
    assert example_shape().expert_bytes == 61440
    only = problem.xl.astype(int)
    near = problem.neighbors(only, 5, np.random.default_rng(0))
    np.testing.assert_array_equal(near, np.tile(only, (5, 1)))
