"""The joint problem: values equal the deployment model's; limits are named; fixed parts."""

from __future__ import annotations

import moocore
import numpy as np
import pytest
from pymoo.optimize import minimize

from moe_costmodel import GateRule, Plan, RoutingTrace
from moe_costmodel.example.measured import example_hardware, example_latency, example_shape
from moela import MOELA
from problems import MoEDeployment
from problems.moe.base import evenly


@pytest.fixture(scope="module")
def problem():
    return MoEDeployment.example(slo_s=0.02)


def sample(problem, n=20, seed=0):
    rng = np.random.default_rng(seed)
    pop = problem.operators()["sampling"](problem, n, random_state=rng)
    return problem.moved(pop.get("X").astype(int), rng, max_moves=20)


def test_a_few_designs_to_begin_with_dominate_most_of_what_all_starts_do():
    free = MoEDeployment.example(memory_budget=float("inf"))
    few, starts = free.sampled(15, np.random.default_rng(0))[:10], free.starts()
    assert all((starts == x).all(axis=1).any() for x in few)

    def volume(X):
        return moocore.hypervolume(free.evaluate(X, return_values_of=["F"]), ref=free.ref_point)

    assert len(starts) > 50
    assert volume(few) > 0.98 * volume(starts)
    assert volume(evenly(np.unique(starts, axis=0), 10)) < 0.9 * volume(few)


def test_one_objective_has_one_start():
    alone = MoEDeployment.example(objectives=("memory_bytes",), decide=("buffers",))
    assert alone.starts().shape == (1, alone.n_var)


def test_values_are_those_of_the_plan(problem):
    X = sample(problem, 6)
    F, G = problem.evaluate(X, return_values_of=["F", "G"])
    for x, f, g in zip(X, F, G, strict=True):
        plan = problem.decode(x)
        said = {name: item.value for name, item in plan.objectives.items()}
        assert f[0] == pytest.approx(1 / said["tokens_per_s"])
        names = ("step_p99_s", "memory_bytes", "quality_loss")
        np.testing.assert_allclose(f[1:], [said[name] for name in names])
        assert g[0] == pytest.approx(said["memory_bytes"] / 8_000_000 - 1)
        assert g[1] == pytest.approx(said["step_p99_s"] / 0.02 - 1)
        for item in plan.objectives.values():
            assert item.low <= item.value <= item.high
        low, high = problem.intervals(x)[0].T
        assert (low <= f + 1e-12).all()
        assert (f <= high + 1e-12).all()
        assert low[3] < high[3] or f[3] == 0
        assert high[1] == plan.objectives["step_p99_s"].high


def test_a_plan_of_the_front_saves_exports_and_checks(problem, tmp_path):
    res = minimize(problem, MOELA(), ("n_eval", 300), seed=1)
    assert (res.G <= 0).all()
    plan = problem.decode(res.X[0])
    again = Plan.load(plan.save(tmp_path / "plan.json"))
    assert again == plan
    plan.to_sglang(tmp_path / "experts.json")
    assert "step_p99_s" in str(problem.check_plan(plan, RoutingTrace.example("prose")))


def test_what_is_not_decided_stays(problem):
    fixed = MoEDeployment.example(decide=("gates", "batch"))
    X = sample(fixed)
    layout = fixed.layout
    assert (X[:, layout.capacities] == 8).all()
    assert (X[:, layout.slots] == fixed.layout.placed.today).all()
    assert len(np.unique(X[:, layout.gates])) > 1
    plan = fixed.decode(X[0])
    assert not plan.is_buffered


def test_gates_are_decided_only_if_their_loss_counts():
    fast = {"objectives": ("tokens_per_s", "step_p99_s"), "batch_sizes": (2, 8)}
    for free in (fast, fast | {"max_quality_loss": float("inf")}):
        free = MoEDeployment.example(**free)
        assert free.layout.decide == ("buffers", "batch", "placement")
        assert all(gate is None for x in free.starts() for gate in free.decode(x).gates)
    for judged in ({"max_quality_loss": 0.1}, {"objectives": ("step_p99_s", "quality_loss")}):
        assert "gates" in MoEDeployment.example(**(fast | judged)).layout.decide
    with pytest.raises(ValueError, match=r"'decide' .* without 'gates', since .*quality_loss"):
        MoEDeployment.example(**fast, decide=("gates", "batch"))


def test_no_expert_sits_twice_on_a_device():
    replicated = MoEDeployment.example(n_devices=2, replicas=4)
    for x in sample(replicated, 40):
        assert replicated.decode(x).placement.on_device().max() == 1


def test_policy_does_not_matter_where_all_are_resident(problem):
    row = problem.layout.base_row(problem.layout.placed.rows["spread"])
    others = np.repeat(row[None], len(problem.policies), axis=0)
    others[:, problem.layout.policy] = np.arange(len(problem.policies))
    assert len(np.unique(problem.canonical(others), axis=0)) == 1
    assert problem.decided(row)[1] == "all resident"


def test_the_worst_window_is_never_better_than_the_mean():
    windows = [RoutingTrace.example("code"), RoutingTrace.example("prose")]
    both = [
        MoEDeployment(
            windows, example_hardware(), example_latency(), n_devices=4, aggregate=aggregate,
            batch_sizes=(2, 8), objectives=("tokens_per_s", "step_p99_s", "quality_loss"),
        )
        for aggregate in ("mean", "worst")
    ]  # fmt: skip
    X = sample(both[0])
    mean, worst = (p.evaluate(X, return_values_of=["F"]) for p in both)
    assert (worst >= mean - 1e-12).all()
    assert (worst > mean).any()


def test_batches_of_more_sequences_than_the_trace_has_are_candidates():
    """The packaged trace has 32 sequences."""
    problem = MoEDeployment.example(batch_sizes=[8, 64], memory_budget=1e9)
    X = problem.starts()
    sizes = {problem.decided(x)[0] for x in X}
    assert sizes == {8, 64}
    assert np.isfinite(problem.evaluate(X, return_values_of=["F"])).all()
    buffered = [problem.decode(x) for x in X if problem.decided(x)[1] != "all resident"]
    assert any(plan.batch_size == 64 for plan in buffered)
    assert any("repeat" in reason for reason in problem.outside(X[-1]))


def test_starts_hold_the_extremes(problem):
    F = problem.evaluate(problem.starts(), return_values_of=["F"])
    assert F[:, 3].min() == 0
    assert (problem.evaluate(problem.starts(), return_values_of=["G"]) <= 0).all()
    assert (F <= problem.ref_point).all()


def test_measured_loss_can_be_the_quality():
    pytest.importorskip("torch")
    pytest.importorskip("safetensors")
    from moe_costmodel.example import load_model
    from moe_costmodel.example.record import excerpts
    from moe_costmodel.gating.quality import measured_loss

    problem = MoEDeployment.example(measured=True, n_excerpts=1, batch_sizes=(4,))
    assert problem.quality_kind == "measured loss"
    x = problem.starts()[0]
    x[problem.layout.gates] = [5, 13, 7, 13, 9, 13]
    plan = problem.decode(x)
    rules = [p or problem.layout.levels.rules[0][-1] for p in plan.gates]
    found = measured_loss(load_model(), excerpts("code", n=1), rules)
    loss = plan.objectives["quality_loss"].value
    # Both run the same model on the same text, in float32.
    assert loss == pytest.approx(found.loss - found.full_loss, abs=1e-6)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"memory_budget": 1e6}, r"memory_budget.*at least 2\.6.*more devices"),
        ({"slo_s": 1e-5}, "slo_s.*at least .*hardest thresholds"),
        ({"n_devices": 64}, "at most the 32 experts"),
        ({"batch_sizes": (4, 2)}, "batch_sizes.*ascending"),
        ({"replicas": 3}, "replicas.*4 would do"),
        ({"objectives": ("speed",)}, "objectives.*speed"),
        ({"objectives": ("steps_p99_s",)}, "Did you mean 'step_p99_s'"),
        ({"decide": ("luck",)}, "decide.*luck"),
        ({"max_quality_loss": -1.0}, "max_quality_loss.*of at least 0"),
    ],
)
def test_wrong_settings_are_named(settings, words):
    with pytest.raises(ValueError, match=words):
        MoEDeployment.example(**settings)


def test_a_trace_without_weights_is_refused_or_leaves_gates_alone():
    trace = RoutingTrace(RoutingTrace.example().topk_ids, n_experts=32, source="bare.npz")
    shared = {"n_devices": 4, "shape": example_shape()}
    with pytest.raises(ValueError, match=r"of MoEDeployment.*`decide`.*bare\.npz"):
        MoEDeployment(trace, example_hardware(), example_latency(), **shared)
    with pytest.raises(ValueError, match=r"shape.*sizes of the model"):
        MoEDeployment(trace, example_hardware(), example_latency(), n_devices=4)
    MoEDeployment(
        trace, example_hardware(), example_latency(), decide=("placement",), batch_sizes=(1,),
        **shared,
    )  # fmt: skip


def test_no_loss_at_all_is_a_limit_that_can_be_met():
    lossless = MoEDeployment.example(max_quality_loss=0, batch_sizes=(4,))
    F, G = lossless.evaluate(lossless.starts(), return_values_of=["F", "G"])
    assert (F[:, 3] == 0).all()
    gated = lossless.starts()[0]
    gated[lossless.layout.gates] = 3
    assert lossless.evaluate(gated, return_values_of=["G"]).max() > 0
    assert (G <= 0).all()


def test_one_device_has_no_placement_to_decide():
    single = MoEDeployment.example(n_devices=1)
    assert "placement" not in single.layout.decide
    near = single.neighbors(single.starts()[0], 5, np.random.default_rng(0))
    assert (near[:, single.layout.slots] == single.layout.placed.today).all()


@pytest.mark.parametrize(
    "settings",
    [
        {"n_devices": 1, "decide": ("placement",)},
        {"n_devices": 2, "decide": ("placement",), "replicas": 32},
        {"decide": ("batch",), "batch_sizes": [4]},
    ],
)
def test_the_only_design_is_its_own_neighbor(settings):
    problem = MoEDeployment.example(memory_budget=float("inf"), **settings)
    (only,) = problem.canonical(problem.starts())
    near = problem.neighbors(only, 3, np.random.default_rng(0))
    np.testing.assert_array_equal(near, np.tile(only, (3, 1)))


def test_today_has_no_rules_also_if_all_that_are_given_drop_choices():
    problem = MoEDeployment.example(rules=[GateRule("top-k", 1), GateRule("top-k", 2)])
    lost = problem.objective_names.index("quality_loss")
    assert (
        problem.today()[lost]
        == 0.0
        < problem.evaluate(problem.starts(), return_values_of=["F"])[:, lost].min()
    )
