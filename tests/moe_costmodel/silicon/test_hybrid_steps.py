"""Steps of hybrids: mixers that no table has are roofline bounds, and flagged."""

import pytest

from moe_costmodel import Chunk, Layout, ModelShape, SiliconModel
from tests.moe_costmodel.models.test_hybrids import GRANITE, JAMBA, LFM2, MINIMAX
from tests.moe_costmodel.silicon.tables import write_tables

pytest.importorskip("pyarrow")
pytest.importorskip("yaml")

BANDWIDTH, OPERATIONS = 1e12, 1e14  # of the GPU `toy`
CONFIGS = {"granitemoehybrid": GRANITE, "lfm2_moe": LFM2, "jamba": JAMBA, "minimax": MINIMAX}


@pytest.fixture
def model(tmp_path):
    return SiliconModel("toy", "sglang", root=write_tables(tmp_path))


def parts(step, operator):
    return [o for o in step.operators if o.operator == operator]


@pytest.mark.parametrize("name", CONFIGS)
def test_steps_take_at_least_their_bytes_and_operations(model, name):
    shape = ModelShape.from_config(CONFIGS[name])
    active = shape.active_parameters()
    read = 2.0 * (sum(active.values()) - active["embedding"] * (not shape.tied))
    step = model.decode(shape, Layout(), 1, 1024)
    assert step.seconds >= (read + shape.kv_bytes(1024)) / BANDWIDTH
    computed = 2.0 * 512 * sum(active[part] for part in ("attention", "dense", "experts", "shared"))
    assert model.prefill(shape, Layout(), [Chunk(512)]).seconds >= computed / OPERATIONS


def test_the_states_of_granite_4_are_a_bound(model):
    shape = ModelShape.from_config(GRANITE)
    found = parts(model.decode(shape, Layout(), 16, 1024), "mamba decode")
    state = 128 * 64 * 128 * 8.0  # read and written
    assert sum(o.seconds for o in found) == pytest.approx(36 * (2e-6 + 16 * state / BANDWIDTH))
    assert {(o.kernel, o.source, o.outside) for o in found} == {("bound", "none", float("inf"))}
    # Two GPUs have half of the heads each.
    halved = parts(model.decode(shape, Layout(tp=2, moe_ep=2), 16, 1024), "mamba decode")
    assert sum(o.seconds for o in halved) == pytest.approx(36 * (2e-6 + 8 * state / BANDWIDTH))
    assert parts(model.prefill(shape, Layout(), [Chunk(512)]), "mamba prefill")


def test_short_convolutions_of_lfm2_are_a_bound(model):
    shape = ModelShape.from_config(LFM2)
    found = parts(model.decode(shape, Layout(tp=2, moe_ep=2), 16, 1024), "conv decode")
    # Half of the channels: three vectors are read and one is written, and two tokens each way.
    moved = 16 * 1024 * (4 * 2 + 2 * 2 * 2)
    assert sum(o.seconds for o in found) == pytest.approx(18 * (2e-6 + moved / BANDWIDTH))
    assert {(o.kernel, o.source, o.outside) for o in found} == {("bound", "none", float("inf"))}
    found = parts(model.prefill(shape, Layout(), [Chunk(512)]), "conv prefill")
    moved = 2048 * (512 * 4 * 2 + 2 * 2 * 2)
    assert sum(o.seconds for o in found) == pytest.approx(18 * (2e-6 + moved / BANDWIDTH))


def test_jamba_and_minimax_have_states_on_several_gpus(model):
    halved = Layout(tp=2, moe_ep=2)
    shape = ModelShape.from_config(JAMBA)
    found = parts(model.decode(shape, halved, 16, 1024), "mamba1 decode")
    state = 16 * 4096 * (8 * 16 + 4 * 2)  # half of the channels; three vectors and their output
    assert sum(o.seconds for o in found) == pytest.approx(28 * (2e-6 + state / BANDWIDTH))
    shape = ModelShape.from_config(MINIMAX)
    found = parts(model.decode(shape, halved, 16, 1024), "lightning decode")
    state = 16 * 32 * 128 * 128 * 8
    assert sum(o.seconds for o in found) == pytest.approx(70 * (2e-6 + state / BANDWIDTH))
