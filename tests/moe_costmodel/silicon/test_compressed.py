"""Compressed attention and hyper-connections (DeepSeek-V4), of tables and of bounds."""

import itertools
from collections import Counter

import pytest

from moe_costmodel import Chunk, Layout, ModelShape, SiliconModel
from tests.moe_costmodel.models.test_deepseek_v4 import FLASH, PRO, SMALL
from tests.moe_costmodel.silicon.tables import GPU, write_tables, writer

pytest.importorskip("pyarrow")
pytest.importorskip("yaml")

MODELS = {64: "sgl-project/DeepSeek-V4-Flash-FP8", 128: "sgl-project/DeepSeek-V4-Pro-FP8"}
FOUR = {"num_hidden_layers": 4, "compress_ratios": [0, 4, 128, 4], "quantization_config": None}
EVERY = Layout(tp=2, moe_ep=2)


def milliseconds(table, phase, heads, batch, new, before):
    slow = {"csa": 1.5, "hca": 1.0}[table] * (2.0 if heads == 128 else 1.0)
    per_token = 2e-3 if phase == "context" else 1e-3
    return slow * (0.5 + per_token * batch * new + 1e-6 * batch * before)


def write_modules(root, kinds=("fp8_block",), tensor=(1, 2)):
    """Write attention of both models, and hyper-connections, of the GPU `toy`."""
    write = writer(root)
    for table, phase in itertools.product(("csa", "hca"), ("context", "generation")):
        lengths = (1, 64, 4096) if phase == "context" else (1,)
        write(
            "sparse_attention", f"dsv4_{table}_{phase}_module",
            [
                {"model": name, "num_heads": heads // tp, "tp_size": tp, "batch_size": b,
                 "isl": new, "step": before, "gemm_type": kind, "kernel_source": f"toy_{table}",
                 "latency": milliseconds(table, phase, heads, b, new, before)}
                for (heads, name), tp, b, new, before, kind in itertools.product(
                    MODELS.items(), tensor, (1, 8, 64), lengths, (0, 1024, 65536), kinds
                )
            ],
        )  # fmt: skip
    write(
        "mhc", "mhc_module",
        [
            {"op_name": part, "num_tokens": t, "num_sites": 2, "hc_mult": 4, "hidden_size": d,
             "kernel_source": f"toy_{part}", "latency": slow * (0.01 + 1e-7 * t * d)}
            for (part, slow), t, d in itertools.product(
                (("pre", 1.0), ("post", 2.0)), (1, 64, 4096), (4096, 7168)
            )
        ],
    )  # fmt: skip


@pytest.fixture
def model(tmp_path):
    write_modules(write_tables(tmp_path))
    return SiliconModel("toy", "sglang", root=tmp_path)


def times(step, name):
    found = Counter()
    for operator in step.operators:
        if operator.operator == name:
            found[operator.kernel] += 1e3 * operator.seconds
    return found


@pytest.mark.parametrize(("config", "heads"), [(FLASH, 64), (PRO, 128)])
def test_measured_modules_hold_attention_and_its_products(model, config, heads):
    shape = ModelShape.from_config(config | FOUR)
    found = times(model.decode(shape, EVERY, 64, 1025), "compressed decode")
    one = {table: milliseconds(table, "generation", heads, 64, 1, 1024) for table in ("csa", "hca")}
    assert found["toy_csa"] == pytest.approx(2 * one["csa"])
    assert found["toy_hca"] == pytest.approx(one["hca"])
    # A window alone takes less than a window with entries, by what the bounds differ.
    assert one["hca"] / 2 < found["toy_hca, of the window"] < one["hca"]
    step = model.prefill(shape, EVERY, [Chunk(64, prefix=1024)] * 8)
    found = times(step, "compressed prefill")
    expected = milliseconds("hca", "context", heads, 8, 64, 1024)
    assert found["toy_hca"] == pytest.approx(expected)
    names = {o.operator for o in step.operators}
    assert "projections" not in names
    assert {"hyper-connections", "exchange sum", "shared experts", "moe"} <= names


def test_the_weights_and_the_cache_are_read_from_memory(tmp_path):
    root = write_tables(tmp_path)
    write_modules(root)
    (root / "toy.yaml").write_text(GPU.replace("mem_bw: 1000000000000", "mem_bw: 10000000000"))
    model = SiliconModel("toy", "sglang", root=root)
    shape = ModelShape.from_config(FLASH | FOUR | {"compress_ratios": [128] * 4})
    found = times(model.decode(shape, Layout(), 64, 65537), "compressed decode")["toy_hca"]
    attention = shape.blocks[0].attention
    weights = 2 * sum(k * n for k, n in attention.products(4096))
    cache = 64 * 2 * 512 * (128 + 65537 / 128)
    assert found == pytest.approx(4e3 * (weights + cache) / 1e10)


def test_bounds_count_what_a_query_sees(tmp_path):
    (tmp_path / "toy.yaml").write_text(GPU)
    writer(tmp_path)("other", "other", [{"a": 1}])
    model = SiliconModel("toy", "sglang", root=tmp_path)
    shape = ModelShape.from_config(SMALL | {"compress_ratios": [0, 4, 128, 4, 128]})
    core = model.times.compressed.core
    by_rate = {b.attention.compression: b.attention for b in shape.blocks}
    n, context = 1000, 4096
    # Eight heads and entries of 16 values; of 1,024 entries the indexer keeps four.
    for rate, seen, index in ((0, 6, 0.0), (128, 6 + 32, 0.0), (4, 6 + 4, 1024)):
        operations = 4 * n * 8 * 16 * seen / 100e12
        read = n * 16 * seen * 2 / 1e12
        keys = max(2 * n * index * 2 * 8 / 200e12, n * index * (8 + 4) / 1e12)
        least = 2e-6 + max(operations, read) + (2e-6 + keys if index else 0)
        found = core(by_rate[rate], 1, n, 1, context - 1, "bfloat16").seconds
        assert found == pytest.approx(least, rel=1e-3)
    # A prompt of 4,096 tokens sees half of its entries on average.
    found = core(by_rate[128], 1, 1e4, 4096, 0, "bfloat16").seconds
    pairs = 4096 * 6 - 6 * 6 / 2 + 4096**2 / 256
    assert found == pytest.approx(2e-6 + 4e4 * 8 * 16 * pairs / 100e12)
    step = model.decode(shape, Layout(), 8, 100)
    # Both hyper-connections of each of five layers read three streams of 64, and write them.
    mixing = sum(times(step, "hyper-connections").values())
    least = 2 * 2e-6 * 2 + 2 * (4 + 7) * 2 * 8 * 64 / 1e12
    assert mixing == pytest.approx(5e3 * least)
