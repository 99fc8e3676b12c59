"""Measured serving points: repaired columns, and the settings of the benchmark's scripts."""

import json

import pytest

from moe_costmodel import Layout, ModelShape, read_sample
from moe_costmodel.silicon.recipes import cache_dtype, loop_of
from tests.moe_costmodel.models.test_config import DEEPSEEK_V3, GPT_OSS, LLAMA_70B
from tests.moe_costmodel.silicon.tables import CONFIG, GPU, LATENT

CONFIGS = {
    "deepseek-ai--DeepSeek-R1": LATENT,
    "openai--gpt-oss-120b": GPT_OSS,
    "meta-llama--Meta-Llama-3.1-70B": LLAMA_70B,
}
ROW = {
    "id": "a", "mode": "agg", "model_path": "deepseek-ai/DeepSeek-R1", "precision": "fp8",
    "gemm_quant_mode": "", "moe_quant_mode": "", "system": "h200_sxm", "backend": "sglang",
    "backend_version": "0.5.6", "isl": 1024, "osl": 256, "batch_size": 32, "tp_size": 8,
    "attention_dp_size": 1, "moe_tp_size": 8, "moe_ep_size": 1, "silicon_ttft_ms": 250,
    "silicon_tpot_ms": 12.5, "silicon_data_source": "silicon_concurrency=64;measured=2026-04-06",
}  # fmt: skip


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "systems"
    folder.mkdir()
    (folder / "toy.yaml").write_text(GPU)
    (tmp_path / "model_configs").mkdir()
    for name, config in CONFIGS.items():
        path = tmp_path / "model_configs" / f"{name}_config.json"
        path.write_text(json.dumps(config))
    return folder


def read(root, *rows):
    lines = [",".join(ROW), *(",".join(str(v) for v in (ROW | row).values()) for row in rows)]
    (root / "silicon_sample.csv").write_text("\n".join(lines) + "\n")
    return read_sample(root)


def test_a_row_is_read_in_seconds_and_others_than_aggregated_ones_are_left_out(root):
    (found,) = read(root, {"mode": "disagg", "tp_size": "?"}, {})
    assert (found.gpu, found.backend, found.version) == ("h200_sxm", "sglang", "0.5.6")
    assert (found.ttft, found.tpot) == (0.25, 0.0125)
    assert (found.input_tokens, found.output_tokens, found.concurrency) == (1024, 256, 64)
    assert found.year == 2026.25
    assert found.published
    assert found.layout == Layout(tp=8, moe_tp=8)
    assert found.sequences == 64
    # DeepSeek-R1 has the sizes of DeepSeek-V3.
    assert found.architecture == "deepseek-ai--DeepSeek-V3"


LLAMA = {"model_path": "meta-llama/Llama-3.1-70B"}


@pytest.mark.parametrize(
    ("row", "layout", "known"),
    [
        # Both degrees were multiplied: four GPUs, and expert parallelism over them.
        ({"tp_size": 16, "moe_tp_size": 4, "moe_ep_size": 4}, Layout(tp=4, moe_ep=4), True),
        ({"tp_size": 1, "attention_dp_size": 16, "moe_tp_size": 4, "moe_ep_size": 4},
         Layout(dp=4, moe_ep=4), True),
        # vLLM writes the same number for tensor and data parallelism.
        ({"attention_dp_size": 8, "moe_tp_size": 1, "moe_ep_size": 64},
         Layout(dp=8, moe_ep=8), True),
        # Without a degree of data parallelism, that of the experts says it,
        ({"tp_size": 2, "attention_dp_size": "", "moe_tp_size": "", "moe_ep_size": 8},
         Layout(tp=2, dp=4, moe_ep=8), True),
        # or the requests in flight do, of which each rank has a batch.
        ({"attention_dp_size": "", "batch_size": 8, "moe_tp_size": 1, "moe_ep_size": 8},
         Layout(dp=8, moe_ep=8), True),
        ({"attention_dp_size": "", "batch_size": 64, "moe_tp_size": 1, "moe_ep_size": 8},
         Layout(tp=8, moe_ep=8), True),
        ({"tp_size": 4, "moe_tp_size": 1, "moe_ep_size": 2}, Layout(tp=4, moe_ep=4), True),
        # No tensor parallelism is of 72 GPUs: a disaggregated system.
        ({"tp_size": 72, "moe_tp_size": 1}, Layout(dp=72, moe_ep=72), False),
        (LLAMA | {"tp_size": 4, "moe_tp_size": 2}, Layout(tp=4, moe_tp=4), True),
    ],
)  # fmt: skip
def test_divisions_over_gpus_are_repaired(root, row, layout, known):
    (found,) = read(root, row)
    assert (found.layout, found.known_layout) == (layout, known)


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({}, {"experts": "fp8_block", "attention": "fp8_block", "head": "bfloat16"}),
        ({"precision": "fp4"}, {"experts": "nvfp4", "shared": "nvfp4", "attention": "bfloat16"}),
        ({"precision": ""}, {"experts": "bfloat16", "attention": "bfloat16"}),
        (LLAMA, {"dense": "fp8", "attention": "fp8"}),
        ({"model_path": "openai/gpt-oss-120b", "precision": "fp4"},
         {"experts": "w4a16_mxfp4", "attention": "bfloat16"}),
    ],
)  # fmt: skip
def test_types_are_those_of_the_precision(root, row, expected):
    (found,) = read(root, row)
    assert {part: found.shape.dtypes[part] for part in expected} == expected


def test_rows_without_a_source_keep_what_they_say(root):
    (found,) = read(root, {"attention_dp_size": 8, "tp_size": 1, "moe_tp_size": 1, "moe_ep_size": 8,
                           "silicon_data_source": "source_file=/home/someone/a.csv"})  # fmt: skip
    assert not found.published
    assert found.year == 0
    # The batch is that of each of eight ranks.
    assert (found.concurrency, found.sequences) == (256, 32)


def test_damaged_rows_are_named(root):
    with pytest.raises(ValueError, match=r"silicon_sample\.csv.*line 3, column 'isl'.*a number"):
        read(root, {}, {"isl": "long"})
    path = root / "silicon_sample.csv"
    path.write_text(path.read_text().rsplit(",", 1)[0] + "\n")
    with pytest.raises(ValueError, match=r"line 3.*19 cells.*18"):
        read_sample(root)


# ---------------------------------------------------------------------------- the scripts' settings

V3 = {"config": DEEPSEEK_V3}
_INDEXER = {"index_n_heads": 32, "index_head_dim": 128, "index_topk": 2048}
GLM = {"config": DEEPSEEK_V3 | {"model_type": "glm_moe_dsa"} | _INDEXER}


def loop(config, *, layout=None, gpu="h200_sxm", backend="sglang", inputs=1024, outputs=1024,
         concurrency=64, published=True, experts=None):  # fmt: skip
    shape = ModelShape.from_config(config)
    if experts is not None:
        shape.dtypes["experts"] = experts
    return loop_of(
        shape=shape, layout=layout or Layout(tp=8, moe_tp=8), gpu=gpu, backend=backend,
        input_tokens=inputs, output_tokens=outputs, concurrency=concurrency, published=published,
    )  # fmt: skip


@pytest.mark.parametrize("backend", ["sglang", "trtllm", "vllm"])
def test_other_clients_measure_with_an_engines_defaults(backend):
    found = loop(DEEPSEEK_V3, backend=backend, published=False, gpu="b200_sxm")
    assert (found.step_tokens, found.poll_steps, found.wait_steps) == (8192, 1, 0)
    assert found.policy == {
        "sglang": "prompts first", "trtllm": "whole prompts", "vllm": "mixed"
    }[backend]  # fmt: skip
    assert (found.n_requests, found.n_ranks, found.concurrency) == (640, 1, 64)


def test_of_many_ranks_one_is_simulated_with_its_share():
    found = loop(DEEPSEEK_V3, layout=Layout(dp=16, moe_ep=16), concurrency=320)
    assert (found.n_ranks, found.concurrency, found.n_requests) == (1, 20, 200)
    eight = loop(DEEPSEEK_V3, layout=Layout(dp=8, moe_ep=8), concurrency=320)
    assert (eight.n_ranks, eight.concurrency) == (8, 320)
    few = loop(DEEPSEEK_V3, layout=Layout(dp=16, moe_ep=16), concurrency=4)
    assert few.concurrency == 1
    # Ten requests for each in flight, but never many thousands more than needed.
    assert loop(CONFIG, concurrency=4000).n_requests == 20000
    assert loop(CONFIG, concurrency=15000).n_requests == 30000


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (V3 | {"gpu": "b200_sxm"}, {"step_tokens": 32768, "poll_steps": 30}),
        (V3 | {"gpu": "b200_sxm", "experts": "nvfp4"}, {"step_tokens": 16384, "poll_steps": 30}),
        (V3 | {"layout": Layout(tp=4, moe_tp=4)}, {"step_tokens": 8192, "poll_steps": 10}),
        ({"config": CONFIG}, {"step_tokens": 16384, "poll_steps": 1}),
        (GLM, {"step_tokens": 8192, "poll_steps": 1}),
    ],
)
def test_scripts_of_sglang(settings, expected):
    found = loop(**settings)
    assert {name: getattr(found, name) for name in expected} == expected


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"config": GPT_OSS}, {"step_tokens": 20000, "wait_steps": 0}),
        (
            {"config": CONFIG, "layout": Layout(tp=4, moe_tp=4)},
            {"step_tokens": 8192, "wait_steps": 20, "wait_tokens": 7372},
        ),
        (V3, {"step_tokens": 8192, "wait_steps": 0, "balanced": False}),
        (V3 | {"inputs": 8192}, {"step_tokens": 8320}),  # a multiple of 64 above both
        (V3 | {"layout": Layout(dp=8, moe_ep=8)}, {"wait_steps": 60, "balanced": True}),
        (V3 | {"gpu": "b200_sxm"}, {"wait_steps": 40, "wait_tokens": 6553, "balanced": False}),
        (V3 | {"gpu": "b200_sxm", "experts": "nvfp4"}, {"wait_steps": 0}),
    ],
)
def test_scripts_of_tensorrt_llm(settings, expected):
    found = loop(**settings, backend="trtllm")
    assert {name: getattr(found, name) for name in expected} == expected
    assert found.step_tokens >= settings.get("inputs", 1024)  # whole prompts must fit


@pytest.mark.parametrize(
    ("config", "gpu", "backend", "published", "expected"),
    [
        (DEEPSEEK_V3, "b200_sxm", "sglang", True, "fp8"),
        (DEEPSEEK_V3, "h200_sxm", "trtllm", True, "fp8"),
        (GPT_OSS, "h200_sxm", "trtllm", True, "bfloat16"),
        (DEEPSEEK_V3, "b200_sxm", "sglang", False, "bfloat16"),
        (LLAMA_70B, "h200_sxm", "trtllm", False, "bfloat16"),
    ],
)
def test_caches_are_narrow_on_new_gpus_and_under_tensorrt_llm(
    config, gpu, backend, published, expected
):
    assert cache_dtype(ModelShape.from_config(config), gpu, backend, published) == expected
