"""Layouts that engines run, and loads of sampled steps."""

from __future__ import annotations

import numpy as np
import pytest

from moe_costmodel import (
    ExpertShape,
    Layout,
    ModelShape,
    RoutingTrace,
    legal_layouts,
)
from moe_costmodel.serving.layouts import check_layout
from moe_costmodel.serving.loads import N_STEPS, SampledLoads
from moe_costmodel.silicon.operators.skew import benchmark_load

MIXTRAL = {
    "model_type": "mixtral", "hidden_size": 256, "intermediate_size": 96, "num_hidden_layers": 3,
    "num_attention_heads": 8, "num_key_value_heads": 2, "head_dim": 64, "num_local_experts": 8,
    "num_experts_per_tok": 2, "vocab_size": 1024,
}  # fmt: skip

DENSE = {
    "model_type": "llama", "hidden_size": 256, "intermediate_size": 96, "num_hidden_layers": 4,
    "num_attention_heads": 8, "num_key_value_heads": 2, "vocab_size": 1024,
}  # fmt: skip


@pytest.fixture
def shape():
    return ModelShape.from_config(MIXTRAL)


@pytest.mark.parametrize("backend", ["sglang", "vllm", "trtllm"])
def test_layouts_divide_what_they_must(shape, backend):
    found = legal_layouts(shape, 8, backend)
    assert len(found) == len(set(found))
    for layout in found:
        assert 8 % layout.n_gpus == 0
        assert shape.blocks[0].attention.n_heads % layout.tp == 0
        assert 96 % layout.moe_tp == 0
        assert 8 % layout.moe_ep == 0
        assert layout.pp <= shape.n_layers
        if backend == "vllm":
            assert 1 in (layout.moe_tp, layout.moe_ep)
        if backend == "trtllm":
            assert 1 in (layout.tp, layout.dp)


def test_more_slots_allow_more_ranks(shape):
    ranks = [
        {layout.moe_ep for layout in legal_layouts(shape, 12, "sglang", redundant_experts=r)}
        for r in (0, 4)
    ]
    # Three and more ranks that do not divide 8 experts divide 12 slots; copies need two ranks.
    assert ranks == [{1, 2, 4}, {2, 3, 4, 6, 12}]


@pytest.mark.parametrize("backend", ["sglang", "vllm", "trtllm"])
def test_layouts_that_no_engine_runs_are_refused_with_the_nearest(shape, backend):
    for n in (1, 2, 3, 4, 6, 8):
        for layout in legal_layouts(shape, n, backend):
            check_layout(shape, layout, backend, "test")
    # 9 slots for 8 experts on three ranks; heads have no such copies.
    check_layout(shape, Layout(dp=3, moe_ep=3), backend, "test")
    with pytest.raises(ValueError, match=r"nearest are tp 1, dp 3, moe tp 1, ep 3, pp 1; .*tp 3, "):
        check_layout(shape, Layout(tp=3, moe_ep=3), backend, "test")
    with pytest.raises(ValueError, match=r"number of layers.*none on 5 GPUs"):
        check_layout(ModelShape.from_config(DENSE), Layout(pp=5), backend, "test")
    # Replicas of a dense model may share a scheduler.
    check_layout(ModelShape.from_config(DENSE), Layout(tp=2, dp=3, moe_tp=6), backend, "test")


def test_engines_have_rules_of_their_own(shape):
    for backend, layout in (
        ("vllm", Layout(tp=4, moe_tp=2, moe_ep=2)), ("trtllm", Layout(tp=2, dp=2, moe_ep=4)),
    ):  # fmt: skip
        check_layout(shape, layout, "sglang", "test")
        with pytest.raises(ValueError, match=r"alone or|is 1"):
            check_layout(shape, layout, backend, "test")


def test_sampled_steps_have_the_mean_of_the_trace_and_less_noise_with_more_tokens(shape, rng):
    counts = rng.gamma(2.0, size=(2, 3, 8))
    tokens = RoutingTrace(rng.permuted(np.tile(np.arange(8), (500, 3, 1)), axis=2)[:, :, :2],
                          n_experts=8)  # fmt: skip
    for trace in (RoutingTrace.from_counts(counts.mean(axis=0)), tokens):
        loads = SampledLoads([trace], shape)
        spread = []
        for n in (16, 256, 4096):
            steps = loads.steps(n)
            assert steps.shape == (N_STEPS, 3, 8)
            np.testing.assert_allclose(steps.sum(axis=2), 1, rtol=1e-4)
            spread.append(float(steps.std(axis=0).mean()))
            # Four standard errors of the mean of a hundred steps.
            error = 4 * steps.std(axis=0).max() / np.sqrt(N_STEPS)
            np.testing.assert_allclose(steps.mean(axis=0), loads.shares[0], atol=error)
        # Deviations shrink with the root of the tokens: a quarter for sixteen times as many.
        assert spread[1] / spread[0] == pytest.approx(0.25, abs=0.06)
        assert spread[2] / spread[1] == pytest.approx(0.25, abs=0.06)
    np.testing.assert_array_equal(loads.steps(64), loads.steps(64))


def test_benchmarks_of_a_power_law_have_a_busy_rank():
    experts = ExpertShape(n_experts=256, k=8, d_ffn=2048)
    assert benchmark_load("balanced", experts, 16, 4096) == 1
    assert benchmark_load("power_law_1.01", experts, 1, 4096) == 1
    loads = [benchmark_load("power_law_1.01", experts, ep, 32768) for ep in (2, 8, 16)]
    assert loads == sorted(loads)
    # Measured ratios of TensorRT-LLM's kernels with such and with even loads on an H200, 7 % apart.
    assert loads[1:] == pytest.approx([1.60, 1.94], rel=0.07)
