"""Serving of whole models: values follow the steps, limits are named, plans travel as files."""

from __future__ import annotations

import json

import numpy as np
import pytest
from pymoo.optimize import minimize

from moe_costmodel import (
    SERVING_OBJECTIVES,
    Layout,
    ModelShape,
    Placement,
    RoutingTrace,
    ServingPlan,
)
from moe_costmodel.objectives import quantity
from moela import MOELA
from moela.testing import PROBLEM_CHECKS
from problems import MoEServing
from tests.moe_costmodel.silicon.tables import CONFIG, write_tables

pytest.importorskip("pyarrow")
pytest.importorskip("yaml")

SMALL = {"n_gpus": 4, "input_tokens": 256, "output_tokens": 64}
DENSE = {
    "model_type": "llama", "hidden_size": 256, "intermediate_size": 512, "num_hidden_layers": 4,
    "num_attention_heads": 8, "num_key_value_heads": 2, "vocab_size": 1024,
}  # fmt: skip


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_tables(tmp_path_factory.mktemp("systems"))


@pytest.fixture(scope="module")
def tokens():
    """Choices of tokens with weights; the first experts are the busiest."""
    rng = np.random.default_rng(0)
    order = np.argsort(rng.random((400, 4, 8)) * np.linspace(0.3, 1, 8), axis=2)[:, :, :2]
    weights = np.sort(rng.random((400, 4, 2)), axis=2)[:, :, ::-1]
    return RoutingTrace(order, weights, n_experts=8)


@pytest.fixture(scope="module")
def make(root):
    def made(shape=CONFIG, **settings):
        return MoEServing(shape, "toy", **SMALL | {"root": root} | settings)

    return made


LOSSY = ("tokens_per_s_per_user", "tokens_per_s_per_gpu", "quality_loss")


@pytest.fixture(scope="module")
def problem(make, tokens):
    return make(loads=tokens, objectives=LOSSY)


@pytest.fixture(scope="module")
def apart(make, tokens):
    return make(loads=tokens, mode="disaggregated", objectives=LOSSY)


@pytest.mark.parametrize("check", PROBLEM_CHECKS, ids=lambda check: check.__name__)
def test_conformance(problem, apart, check):
    check(problem)
    check(apart)


def row_of(problem, layout, **columns):
    row = problem.columns.base_row()
    for pool in problem.columns.pools:
        row[pool.start] = problem.choices.layouts.index(layout)
    for name, value in columns.items():
        row[getattr(problem.columns, name)] = value
    return row


def test_decode_without_loads_is_the_composed_step(make):
    problem = make(mode="decode", sequences=[16])
    for layout in (Layout(), Layout(tp=2, moe_ep=2), Layout(dp=2, moe_ep=2)):
        found = problem.served(row_of(problem, layout))
        model = problem.evaluator.curves.model
        step = model.decode(problem.shape, layout, 16, 256 + 64 / 2)
        assert found.values["tpot_mean"] == pytest.approx(step.seconds)
        # All ranks of all instances yield a token each step; 63 of 64 come from decoding.
        rate = 16 * layout.dp * found.replicas[0] / step.seconds * 64 / 63
        assert found.values["tokens_per_s_per_gpu"] == pytest.approx(rate / 4)
        assert found.replicas == (4 // layout.n_gpus,)


@pytest.mark.parametrize("backend", ["sglang", "vllm", "trtllm"])
@pytest.mark.parametrize("n_gpus", [3, 6])
@pytest.mark.parametrize("decided", [False, True])
def test_gpus_need_not_divide_the_experts(root, tokens, backend, n_gpus, decided):
    """Ranks that do not divide the experts take the fewest copies with which they do."""
    settings = {"loads": tokens} if decided else {"decide": ["parallelism", "batch"]}
    problem = MoEServing(CONFIG, "toy", n_gpus, backend, root=root, input_tokens=256,
                         output_tokens=64, **settings)  # fmt: skip
    assert (problem.columns.default[problem.columns.redundancy]) == 0
    layouts = problem.choices.layouts
    assert n_gpus in {layout.moe_ep for layout in layouts}
    for layout in layouts:
        row = problem.canonical(row_of(problem, layout))
        assert np.isfinite(problem.served(row).values["tpot_mean"])
        (pool,) = problem.plan(row).pools
        slots = 8 + pool.redundant_experts
        assert slots % layout.moe_ep == 0
        if not decided:
            assert pool.redundant_experts == -8 % layout.moe_ep


def test_plans_and_commands_name_a_context_beyond_the_models(make, tmp_path):
    for longest, beyond in ((320, False), (319, True)):
        problem = make(CONFIG | {"max_position_embeddings": longest})
        plan = problem.plan(problem.starts()[0])
        assert any("320 tokens" in note and f" {longest} " in note for note in plan.notes) == beyond
        (export,) = plan.export(tmp_path, model="m")
        assert any(f"the {longest} of the model's config" in n for n in export.notes) == beyond


def test_mixed_steps_share_time_as_a_simulation_does(make):
    """The closed form agrees with the scheduler's simulation of a steady flow."""
    from moe_costmodel import Request, Scheduler, simulate

    problem = make(sequences=[8], max_num_batched_tokens=[128])
    model, shape = problem.evaluator.curves.model, problem.shape

    def seconds(loads):
        (load,) = loads
        return model.step(shape, Layout(), load.n_decode, load.context, load.chunks).seconds

    expected = problem.served(row_of(problem, Layout())).values
    # Requests arrive as fast as eight in flight are served.
    rate = expected["tokens_per_s_per_gpu"] / 64
    requests = [Request(i / rate, 256, 64) for i in range(120)]
    settings = Scheduler(max_num_seqs=16, max_num_batched_tokens=128, asynchronous=False)
    served = simulate(requests, settings, seconds)
    found = float(served.tpot[40:].mean())
    # Requests of a simulation bunch up, and its chunks fill the steps unevenly.
    assert expected["tpot_mean"] == pytest.approx(found, rel=0.15)


def test_loads_count_where_experts_are_divided(make):
    """A busy rank takes longer, a placement that spreads the load does not."""
    counts = np.tile([8.0, 8, 1, 1, 1, 1, 1, 1], (4, 1))  # the first two on the first rank
    loads = RoutingTrace.from_counts(counts)
    even = make(loads=RoutingTrace.from_counts(np.ones((4, 8))), mode="decode")
    busy = make(loads=loads, mode="decode")
    divided = Layout(tp=4, moe_tp=2, moe_ep=2)
    for problem in (even, busy):
        assert problem.methods[2] == "spread pairs"
    batch = len(busy.choices.sequences) - 1

    def time(problem, layout, placement):
        row = row_of(problem, layout, placement=placement)
        row[1] = batch
        return problem.served(row).values["tpot_mean"]

    assert time(busy, divided, 0) > 1.02 * time(even, divided, 0)
    assert time(busy, divided, 2) < time(busy, divided, 0)
    # Tensor parallelism alone divides every expert evenly.
    whole = Layout(tp=4, moe_tp=4)
    assert time(busy, whole, 0) == pytest.approx(time(even, whole, 0))


def test_gates_save_time_lose_weight_and_cost_their_rule(problem):
    layout, highest = Layout(), int(problem.columns.xu[problem.columns.gates][0])
    row = row_of(problem, layout)
    plain = problem.served(row).values
    gated = row.copy()
    gated[problem.columns.gates] = 0
    fewer = problem.served(gated).values
    assert plain["quality_loss"] == 0
    assert 0 < fewer["quality_loss"] < 1
    assert fewer["tpot_mean"] < plain["tpot_mean"]
    # A rule that keeps nearly everything costs more than it saves, in the kernels of the rule.
    gated[problem.columns.gates] = highest - 1
    assert problem.served(gated).values["tpot_mean"] > 0.99 * plain["tpot_mean"]
    plan = problem.plan(gated)
    assert all(rule is not None for rule in plan.gates)
    assert problem.plan(row).gates == (None,) * 4


def test_gates_are_decided_only_if_their_loss_is_an_objective(make, tokens):
    plain = make(loads=tokens, mode="decode")
    assert "gates" not in plain.columns.decide
    for x in plain.sampled(20, np.random.default_rng(0)):
        assert plain.served(x).values["quality_loss"] == 0
        assert not any(plain.plan(x).gates)
    lossy = make(loads=tokens, mode="decode", objectives=LOSSY)
    assert "gates" in lossy.columns.decide


@pytest.mark.parametrize("mode", ["mixed", "disaggregated"])
def test_a_command_without_the_plans_gates_states_its_own_times(make, tokens, mode, tmp_path):
    free = make(loads=tokens, mode=mode, objectives=LOSSY)
    plain = row_of(free, Layout())
    gated = plain.copy()
    plain[free.columns.gates] = free.columns.default[free.columns.gates]
    gated[free.columns.gates] = 0
    fast, slow = (free.plan(x).objectives["tpot_mean"].value for x in (gated, plain))
    assert fast < slow
    problem = make(loads=tokens, mode=mode, objectives=LOSSY, tpot_slo_s=(fast + slow) / 2)
    plan = problem.plan(gated)
    assert plan.ungated["tpot_mean"] == pytest.approx(slow)
    assert plan.ungated["quality_loss"] == 0
    assert ServingPlan.load(plan.save(tmp_path / "plan.json")) == plan
    for export in plan.export(tmp_path, model="m"):
        notes = "\n".join(export.notes)
        assert "times do not hold for this command" in notes
        words = SERVING_OBJECTIVES["tpot_mean"].words
        assert f"{words} {quantity(slow, 's')} instead of {quantity(fast, 's')}" in notes
        limit = quantity((fast + slow) / 2, "s")
        assert f"the limit of {limit} is missed: {words} {quantity(slow, 's')}" in notes
    assert f"instead of {quantity(fast, 's')}" in str(plan)
    kept = problem.plan(plain)
    assert not kept.ungated
    assert not any(
        "without thresholds" in n for e in kept.export(tmp_path, model="m") for n in e.notes
    )


def test_a_plan_survives_a_file_and_says_what_it_rests_on(problem, make, tmp_path):
    res = minimize(problem, MOELA(), ("n_eval", 300), seed=1)
    assert (res.G <= 0).all()
    for x in np.atleast_2d(res.X)[:5]:
        plan = problem.plan(x)
        again = ServingPlan.load(plan.save(tmp_path / "plan.json"))
        assert again == plan
        value = plan.objectives["tokens_per_s_per_gpu"]
        assert value.low < value.value < value.high
        assert any("moe" in name for name in plan.kernels)
        assert "tokens per second and GPU" in str(plan)
        assert sum(pool.n_gpus for pool in plan.pools) == 4
    without = make().plan(make().starts()[0])
    assert any("No loads were given" in note for note in without.notes)


def test_a_damaged_plan_is_named(problem, tmp_path):
    path = problem.plan(problem.starts()[0]).save(tmp_path / "plan.json")
    content = json.loads(path.read_text())
    for change, message in (
        ({"gpu": 3}, "gpu"),
        ({"pools": []}, "pools"),
        ({"gates": [None]}, "gates"),
        ({"ungated": {"speed": 1.0}}, "ungated"),
        ({"objectives": {"speed": {}}}, "objectives"),
    ):
        path.write_text(json.dumps(content | change))
        with pytest.raises(ValueError, match=message):
            ServingPlan.load(path)


def test_pools_of_a_disaggregated_plan_are_balanced(make):
    problem = make(mode="disaggregated", objectives=("ttft", "tpot_mean", "tokens_per_s_per_gpu"))
    assert problem.constraint_names[-1] == "n_gpus"
    for x in problem.starts()[:10]:
        plan = problem.plan(x)
        prefill, decode = plan.pools
        assert (prefill.role, decode.role) == ("prefill", "decode")
        assert prefill.n_gpus + decode.n_gpus <= 4
    # Two pools that do not fit on the GPUs together violate the constraint.
    row = row_of(problem, Layout(tp=4, moe_tp=4))
    F, G = problem.evaluate(row[None], return_values_of=["F", "G"])
    assert np.isfinite(F).all()
    assert G[0, -1] == pytest.approx(1.0)


def test_limits_that_nothing_meets_name_the_nearest(make):
    with pytest.raises(ValueError, match=r"'memory_budget'.*at least [\d.e+]+ bytes"):
        make(memory_budget=1e5)
    with pytest.raises(ValueError, match=r"'tpot_slo_s'.*at least [\d.e-]+ seconds") as error:
        make(tpot_slo_s=1e-6)
    least = float(str(error.value).split("at least ")[1].split(" seconds")[0])
    make(tpot_slo_s=least * 1.001)
    with pytest.raises(ValueError, match=r"'ttft_slo_s' .* must be None in mode 'decode'"):
        make(mode="decode", ttft_slo_s=1.0)


def test_what_does_not_fit_is_named(make, tokens):
    loads = RoutingTrace.from_counts(np.ones((4, 8)))
    for settings, message in (
        ({"loads": RoutingTrace.from_counts(np.ones((4, 16)))}, "4 MoE layers of 8 experts"),
        ({"shape": DENSE, "loads": loads}, "has no experts"),
        ({"decide": ("gates",)}, "weights of each token's choices"),
        ({"loads": tokens, "decide": ("batch", "gates")}, "add 'quality_loss' to `objectives`"),
        ({"loads": loads, "objectives": ("quality_loss",)}, "only gates change"),
        ({"objectives": ("cost_per_million_tokens",)}, "price_per_gpu_hour"),
        ({"mode": "prefill", "objectives": ("tpot_mean",)}, "without tpot_mean"),
        ({"n_gpus": 1, "mode": "disaggregated"}, "at least 2|from 2"),
    ):
        with pytest.raises(ValueError, match=message):
            make(**settings)
    with pytest.raises(ValueError, match="choices a token"):
        make(loads=RoutingTrace(tokens.topk_ids[:, :, :1], n_experts=8))


def test_dense_layers_of_a_published_dump_are_left_out(make):
    counts = np.vstack([np.zeros((3, 8)), np.random.default_rng(0).random((4, 8))])
    assert make(loads=RoutingTrace.from_counts(counts)).columns.n_layers == 4


def test_a_dense_model_decides_layouts_and_batches(make):
    problem = make(
        DENSE, price_per_gpu_hour=3.6, objectives=("tpot_mean", "cost_per_million_tokens")
    )
    assert problem.n_var == 4
    assert {layout.dp for layout in problem.choices.layouts} == {1}
    values = problem.describe(problem.starts()[0])
    expected = 3.6 / 3600 / values["tokens_per_s_per_gpu"] * 1e6
    assert values["cost_per_million_tokens"] == pytest.approx(expected)


def test_the_current_placement_is_a_choice(make, tokens, tmp_path):
    current = Placement.from_devices(np.tile([0, 1, 0, 1, 0, 1, 0, 1], (4, 1)), 2)
    problem = make(loads=tokens, current=current)
    row = row_of(problem, Layout(tp=2, moe_ep=2), placement=problem.methods.index("current"))
    plan = problem.plan(row)
    held = plan.pools[0].placement
    np.testing.assert_array_equal(held.physical_to_logical, current.physical_to_logical)
    # The made-up tables have sums over at most four GPUs, and nothing by NCCL.
    assert plan.outside["mixed decode exchange sum"] == float("inf")
    assert ServingPlan.load(plan.save(tmp_path / "plan.json")) == plan


def test_parts_that_are_not_decided_stay(make, tokens):
    problem = make(loads=tokens, decide=("batch",))
    X = problem.sampled(20, np.random.default_rng(0))
    layout = problem.choices.layouts[X[0, 0]]
    assert (X[:, 0] == X[0, 0]).all()
    # Tensor parallelism over all four GPUs of the node; two heads of keys divide it.
    assert layout == Layout(tp=4, moe_tp=4)
    shape = ModelShape.from_config(CONFIG)
    assert shape.n_moe_layers == 4
