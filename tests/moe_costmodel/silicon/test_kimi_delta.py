"""Kimi delta attention: which kernels count, and how whole steps are composed."""

import itertools

import pytest

from moe_costmodel import Chunk, Layout, ModelShape, SiliconModel
from tests.moe_costmodel.models.test_kimi_linear import KIMI_LINEAR, SMALL, linear
from tests.moe_costmodel.silicon.tables import GPU, write_tables, writer

pytest.importorskip("pyarrow")
pytest.importorskip("yaml")

CONFIG = KIMI_LINEAR | {
    "num_hidden_layers": 4, "linear_attn_config": linear(4, [4], num_heads=32, head_dim=128),
}  # fmt: skip


def rows(kernel, phase, start, *, heads=(8, 32), width=128):
    lengths = (1, 256, 4096) if phase == "context" else (1,)
    return [
        {"kernel_source": kernel, "phase": phase, "batch_size": b, "seq_len": s, "num_v_heads": h,
         "head_v_dim": width, "d_conv": 4, "latency": start + 1e-5 * b * s * h}
        for b, s, h in itertools.product((1, 8, 64), lengths, heads)
    ]  # fmt: skip


CONV, SCAN = ("causal_conv1d_fn_qkv3", "context"), ("chunk_kda", "context")
UPDATE = ("causal_conv1d_update", "generation")
STEP, FUSED = (
    ("fused_recurrent_kda_packed_decode", "generation"),
    ("kda_fused_decode", "generation"),
)


@pytest.fixture
def root(tmp_path):
    return write_tables(tmp_path)


def decode(root, backend="sglang", config=CONFIG, n=64, layout=None):
    model = SiliconModel("toy", backend, root=root)
    step = model.decode(ModelShape.from_config(config), layout or Layout(), n, 1024)
    return next(o for o in step.operators if o.operator == "kda decode")


def test_kernels_of_a_step_are_added_up(root):
    writer(root)("kda", "kda", rows(*CONV, 0.01) + rows(*SCAN, 0.1) + rows(*UPDATE, 0.1)
                 + rows(*STEP, 0.5))  # fmt: skip
    found = decode(root)
    assert found.kernel == "causal_conv1d_update+fused_recurrent_kda_packed_decode"
    # Blocks of layers with and without experts: one with a dense part, two with experts.
    assert 1e3 * found.seconds == pytest.approx(0.6 + 2e-5 * 64 * 32)
    model = SiliconModel("toy", "sglang", root=root)
    step = model.prefill(ModelShape.from_config(CONFIG), Layout(), [Chunk(256)] * 8)
    parts = [o for o in step.operators if o.operator == "kda prefill"]
    assert 1e3 * sum(o.seconds for o in parts) == pytest.approx(3 * (0.11 + 2e-5 * 8 * 256 * 32))
    assert {o.operator for o in step.operators} >= {"mla prefill", "projections", "moe"}


def test_the_nearest_measured_kernels_count_and_then_the_fastest(root):
    several = rows(*UPDATE, 0.1) + rows(*STEP, 0.5) + rows(*FUSED, 0.2, heads=(8,))
    writer(root)("kda", "kda", several)
    # The fused kernel was measured with eight heads only.
    assert decode(root).kernel.startswith("causal")
    found = decode(root, layout=Layout(tp=4, moe_ep=4))
    assert (found.kernel, found.outside) == ("kda_fused_decode", 1.0)


def test_kernels_that_waited_for_the_host_are_replaced(root):
    write = writer(root)
    write("kda", "kda", rows(*UPDATE, 5.0) + rows(*STEP, 0.5), backend="vllm")
    write("kda", "kda", rows(*UPDATE, 0.1))
    found = decode(root, "vllm")
    assert found.source == "sglang 1.0.0/vllm 1.0.0"
    assert 1e3 * found.seconds == pytest.approx(0.6 + 2e-5 * 64 * 32)
    # An engine without any has those of another.
    assert decode(root, "trtllm").kernel == found.kernel


def test_states_are_read_and_written_in_memory(root):
    (root / "toy.yaml").write_text(GPU.replace("mem_bw: 1000000000000", "mem_bw: 10000000000"))
    writer(root)("kda", "kda", rows(*FUSED, 0.01))
    assert decode(root).seconds == pytest.approx(64 * 32 * 128 * 128 * 8 / 1e10)


def test_without_a_table_the_bound_counts(root):
    found = decode(root)
    assert (found.kernel, found.outside) == ("bound", float("inf"))
    assert found.seconds == pytest.approx(2e-6 + 64 * 32 * (128 * 128 * 8 + 128 * 12) / 1e12)
    writer(root)("kda", "kda", rows(*FUSED, 0.01))
    assert decode(root, config=SMALL).kernel == "bound"  # of another width of heads


def test_gates_and_residuals_take_time(root):
    plain, gated = ({"q_lora_rank": 64}, {"q_lora_rank": 64, "mla_use_output_gate": True})
    model = SiliconModel("toy", "sglang", root=root)
    times = []
    for changes in (plain, gated, gated | {"attn_res_block_size": 2}):
        shape = ModelShape.from_config(CONFIG | changes)
        times.append(model.decode(shape, Layout(), 4096, 16).seconds)
    gate = model.times.products.time(4096, 32 * 128, 2304, "bfloat16").seconds
    assert times[1] - times[0] == pytest.approx(gate)
    # Before each of two parts: the sums of half of two blocks, that of its own, and the result.
    vectors = 4 * 2 * 3.5
    assert times[2] - times[1] == pytest.approx(4 * 4e-6 + vectors * 4096 * 2304 * 2 / 1e12)
