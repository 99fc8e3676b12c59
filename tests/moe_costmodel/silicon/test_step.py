"""Steps composed of tables: interpolation, kernels by name, parallelism, missing tables."""

from importlib.util import find_spec

import numpy as np
import pytest

from moe_costmodel import Chunk, Layout, ModelShape, SiliconModel, compose_serving, gpu_names
from moe_costmodel.silicon.tables.grid import Grid
from moe_costmodel.silicon.tables.package import silicon_root
from tests.moe_costmodel.models.test_config import QWEN3_30B
from tests.moe_costmodel.silicon.tables import gemm_ms, write_tables

pytest.importorskip("pyarrow")
pytest.importorskip("yaml")


@pytest.fixture
def model(plain):
    return plain


@pytest.fixture
def shape(experts):
    return experts


def test_a_grid_is_exact_at_its_points_and_on_power_laws():
    x = np.array([[a, b] for a in (1, 4, 64) for b in (2, 8)], dtype=float)
    grid = Grid(x, x[:, 0] ** 0.5 * x[:, 1] ** -1.0)
    assert grid.at([4, 8]).ratio == pytest.approx(0.25)
    inside = grid.at([16, 3])
    assert inside.ratio == pytest.approx(4 / 3)
    assert inside.outside == 1.0
    beyond = grid.at([256, 4])
    assert beyond.ratio == pytest.approx(2.0)
    assert beyond.outside == pytest.approx(4.0)


def test_products_between_points_follow_the_bound(model):
    time = model.times.products.time(100, 512, 2048, "bfloat16")
    assert time.seconds * 1e3 == pytest.approx(gemm_ms(100, 512, 2048), rel=1e-6)
    assert time.outside == 1.0
    far = model.times.products.time(100, 512, 16384, "bfloat16")
    assert far.outside == pytest.approx(4.0)
    assert far.seconds * 1e3 == pytest.approx(gemm_ms(100, 512, 16384), rel=1e-6)


def test_the_newest_version_and_the_fastest_kernel_are_named(model, shape):
    step = model.decode(shape, Layout(), 16, 256)
    (moe,) = (o for o in step.operators if o.operator == "moe")
    assert moe.kernel == "toy_moe (bfloat16)"
    assert moe.source == "sglang 1.0.0"
    assert moe.seconds == pytest.approx(4 * (0.02 + 16e-4) / 1e3)
    assert "toy_moe" in str(step)
    # Between batches of 8 and 64, the table's constant and slope are interpolated to some percent.
    expected = 4 * (0.005 + 1e-6 * 16 * 256) / 1e3
    assert step.by_part()["gqa decode"] == pytest.approx(expected, rel=0.1)


def test_tensor_parallelism_adds_sums_and_expert_parallelism_divides_experts(model, shape):
    one = model.decode(shape, Layout(), 16, 256).by_part()
    two = model.decode(shape, Layout(tp=2, moe_ep=2), 16, 256).by_part()
    assert "exchange sum" not in one
    assert two["exchange sum"] > 0
    assert two["moe"] == pytest.approx(4 * (0.02 + 8e-4) / 1e3)
    # Two ranks with sixteen sequences each send all their tokens through the experts.
    ranks = model.decode(shape, Layout(dp=2, moe_ep=2), 16, 256).by_part()
    # Between 16 and 256 tokens, the table is interpolated to some percent.
    assert ranks["moe"] == pytest.approx(4 * (0.02 + 16e-4) / 1e3, rel=0.1)
    assert "exchange experts" in ranks


def test_a_mixed_step_costs_less_than_its_parts(model, shape):
    chunk = [Chunk(128)]
    apart = model.decode(shape, Layout(), 16, 256).seconds
    apart += model.prefill(shape, Layout(), chunk).seconds
    mixed = model.step(shape, Layout(), 16, 256, chunk).seconds
    assert mixed < apart
    # A prompt in chunks attends to its prefix.
    late = model.prefill(shape, Layout(), [Chunk(1024, prefix=3072)]).seconds
    assert late > model.prefill(shape, Layout(), [Chunk(1024)]).seconds


def test_a_steady_state_charges_prompts_of_others(model, shape):
    serving = {"concurrency": 8, "input_tokens": 512, "output_tokens": 64}
    found = compose_serving(model, shape, Layout(), **serving)
    assert found.tpot == pytest.approx(found.decode.seconds + 7 * found.prefill.seconds / 64)
    alone = compose_serving(model, shape, Layout(), **serving | {"concurrency": 1})
    assert alone.prefill_share == 0


def test_an_unknown_gpu_is_answered_with_the_nearest(tmp_path):
    root = write_tables(tmp_path)
    assert gpu_names(root) == ["toy"]
    with pytest.raises(ValueError, match="nearest name is 'toy'"):
        SiliconModel("tay", "sglang", root=root)
    with pytest.raises(ValueError, match="one of sglang, trtllm, vllm"):
        SiliconModel("toy", "tgi", root=root)


def test_without_the_package_the_error_says_how_to_install_it(monkeypatch):
    monkeypatch.setattr("moe_costmodel.silicon.tables.package.find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'moela\[silicon\]'"):
        silicon_root()


@pytest.mark.skipif(not find_spec("aiconfigurator_core"), reason="the tables are not installed")
@pytest.mark.parametrize("tp", [1, 2])
def test_a_step_reads_its_weights_from_memory(tp):
    # The table of an L40S has a layer of one token in half the time that its experts take to read.
    model, shape = SiliconModel("l40s", "sglang"), ModelShape.from_config(QWEN3_30B)
    parts = shape.active_parameters()
    read = (sum(parts.values()) - parts["embedding"]) * 2.0 / (864e9 * tp)
    assert model.decode(shape, Layout(tp=tp, moe_tp=tp), 1, 512).seconds > read
