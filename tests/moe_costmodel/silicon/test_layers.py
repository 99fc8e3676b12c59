"""Steps of layers of every kind: latent, sparse, windowed and linear attention, stages, ranks."""

import copy
import pickle
from dataclasses import replace

import pytest

from moe_costmodel import Attention, Block, Chunk, ExpertShape, Layout, ModelShape, SiliconModel
from tests.moe_costmodel.silicon.tables import (
    Kinds,
    gemm_ms,
    write_kinds,
    write_tables,
    writer,
)

pytest.importorskip("pyarrow")
pytest.importorskip("yaml")

GROUPED = Attention(n_heads=8, n_kv_heads=2, head_dim=64)
DELTA = Attention(kind="linear", n_heads=8, n_kv_heads=4, head_dim=64, conv_kernel=4)
BANDWIDTH = 1e12  # bytes per second of the toy GPU


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    root = write_kinds(write_tables(tmp_path_factory.mktemp("kinds")))
    return SiliconModel("toy", "sglang", root=root)


def dense(attention, n_layers=2):
    block = Block(n_layers=n_layers, attention=attention, d_ffn=512)
    return ModelShape(name="toy", d_model=256, vocabulary=1024, blocks=(block,))


def milliseconds(step):
    return {name: 1e3 * seconds for name, seconds in step.by_part().items()}


# ------------------------------------------------------------------------------------- attention


def test_a_token_of_latent_attention_is_the_sum_of_its_products(model, latent):
    parts = milliseconds(model.decode(latent, Layout(), 64, 256))
    # Down to both latents, up to the queries of 8 heads of 32 + 16, and out of heads of 32.
    products = gemm_ms(64, 64 + 64 + 16, 256) + gemm_ms(64, 8 * 48, 64) + gemm_ms(64, 256, 8 * 32)
    assert parts["projections"] == pytest.approx(4 * products)
    assert parts["mla decode"] == pytest.approx(4 * Kinds.latent(64, 256, "generation"))
    assert parts["shared experts"] == pytest.approx(
        3 * (gemm_ms(64, 256, 256) + gemm_ms(64, 256, 128))
    )
    assert parts["dense"] == pytest.approx(gemm_ms(64, 1024, 256) + gemm_ms(64, 256, 512))
    # Each head reads its own two matrices of 32 x 64 values of two bytes.
    assert parts["latent products"] >= 1e3 * 4 * 2 * (8 * 32 * 64 * 2) / BANDWIDTH


def test_a_prompt_of_latent_attention_expands_keys_and_values(model, latent):
    parts = milliseconds(model.prefill(latent, Layout(), [Chunk(256)]))
    products = gemm_ms(256, 144, 256) + gemm_ms(256, 384, 64) + gemm_ms(256, 256, 256)
    expanded = gemm_ms(256, 8 * (32 + 32), 64)
    assert parts["projections"] == pytest.approx(4 * (products + expanded))
    assert parts["mla prefill"] == pytest.approx(4 * Kinds.latent(1, 256, "context"))
    assert "latent products" not in parts


def test_the_cache_in_fp8_has_its_own_rows_or_those_of_bfloat16(model, latent):
    narrow = milliseconds(model.decode(latent, Layout(), 64, 4096, kv_dtype="fp8"))
    wide = milliseconds(model.decode(latent, Layout(), 64, 4096))
    assert narrow["mla decode"] == pytest.approx(4 * Kinds.latent(64, 4096, "generation", "fp8"))
    assert narrow["mla decode"] < wide["mla decode"]
    prompt = [Chunk(256)]
    found = [model.prefill(latent, Layout(), prompt, kv_dtype=name) for name in ("fp8", "bfloat16")]
    assert milliseconds(found[0])["mla prefill"] == milliseconds(found[1])["mla prefill"]


def sparse(latent, topk):
    return replace(latent, blocks=tuple(
        replace(block, attention=replace(block.attention, index_heads=4, index_dim=32,
                                         index_topk=topk))
        for block in latent.blocks
    ))  # fmt: skip


def test_sparse_attention_keeps_some_tokens_and_scores_all(model, latent):
    shape = sparse(latent, 256)
    short, long = (milliseconds(model.decode(shape, Layout(), 64, n)) for n in (512, 65536))
    assert short["mla decode"] == long["mla decode"]
    assert short["mla decode"] == pytest.approx(4 * Kinds.latent(64, 256, "generation"))
    # For each token of the context, the indexer reads a key of 32 bytes and writes a score of 4.
    moved = 1e3 * 4 * 64 * (65536 - 512) * (32 + 4) / BANDWIDTH
    assert long["indexer"] - short["indexer"] == pytest.approx(moved)
    whole = milliseconds(model.decode(latent, Layout(), 64, 65536))
    assert "indexer" not in whole
    assert whole["mla decode"] > long["mla decode"]


def test_windows_have_their_own_rows_or_those_of_whole_contexts(model, plain):
    windowed, full = dense(replace(GROUPED, window=64)), dense(GROUPED)
    for n in (16, 256, 4096):
        found = milliseconds(model.decode(windowed, Layout(), 8, n))["gqa decode"]
        assert found == pytest.approx(2 * Kinds.window(8, n))
        # Without rows of windows, a token takes no longer than one that sees all.
        stand_in, whole = (milliseconds(plain.decode(s, Layout(), 8, n)) for s in (windowed, full))
        assert stand_in["gqa decode"] == pytest.approx(whole["gqa decode"])
    # Beyond the tables, the work of a window grows with the tokens, and not with their square.
    prompts = [
        [milliseconds(plain.prefill(s, Layout(), [Chunk(n)]))["gqa prefill"] for n in (4096, 16384)]
        for s in (windowed, full)
    ]
    assert prompts[0][1] == pytest.approx(4 * prompts[0][0], rel=0.2)
    assert prompts[1][1] == pytest.approx(16 * prompts[1][0], rel=0.2)


def test_delta_nets_read_no_context(model):
    shape = dense(DELTA)
    short, long = (model.decode(shape, Layout(), 8, n) for n in (16, 4096))
    assert short == long
    kernels = {o.operator: o.kernel for o in short.operators}
    assert kernels["delta decode"] == "conv+delta"
    # Both kernels run, one after the other.
    each = Kinds.delta(8, 1, 8, "conv") + Kinds.delta(8, 1, 8, "delta")
    assert milliseconds(short)["delta decode"] == pytest.approx(2 * each)
    prompt = milliseconds(model.prefill(shape, Layout(), [Chunk(256)]))["delta prefill"]
    each = Kinds.delta(1, 256, 8, "conv") + Kinds.delta(1, 256, 8, "delta")
    assert prompt == pytest.approx(2 * each)
    late = milliseconds(model.prefill(shape, Layout(), [Chunk(256, prefix=4096)]))
    assert late["delta prefill"] == pytest.approx(prompt)
    # Half of the heads are on each of two GPUs.
    half = milliseconds(model.decode(shape, Layout(tp=2, moe_tp=2), 8, 16))["delta decode"]
    assert half == pytest.approx(Kinds.delta(8, 1, 8, "conv") + Kinds.delta(8, 1, 8, "delta"))


@pytest.mark.parametrize(
    ("attention", "operator"),
    [(DELTA, "delta decode"), (replace(GROUPED, head_dim=96), "gqa decode"), (None, "mla decode")],
)
def test_attention_that_no_table_has_is_a_bound_and_flagged(plain, latent, attention, operator):
    shape = latent if attention is None else dense(attention)
    found = plain.decode(shape, Layout(), 64, 4096)
    (first, *_) = (o for o in found.operators if o.operator == operator)
    assert (first.kernel, first.source, first.outside) == ("bound", "none", float("inf"))
    assert found.outside == float("inf")
    assert "a roofline bound, since no table has it" in str(found)
    # More than the state or the cache can be read in.
    block = next(b for b in shape.blocks)
    values = block.attention.state_values + 4096 * block.attention.cache_values
    if attention is DELTA:
        values = 8 * 64 * 64
    assert first.seconds >= 64 * values * 2 / BANDWIDTH
    prompt = plain.prefill(shape, Layout(), [Chunk(4096)])
    name = operator.replace("decode", "prefill")
    assert next(o for o in prompt.operators if o.operator == name).outside == float("inf")


# ------------------------------------------------------------------------------ layouts and ranks


def test_stages_pass_tokens_on_faster_within_a_node(model, experts):
    one = model.decode(experts, Layout(), 16, 256)
    parts = [model.decode(experts, Layout(tp=tp, moe_tp=tp, pp=4), 16, 256) for tp in (2, 4)]
    within, beyond = (milliseconds(found)["exchange stages"] for found in parts)
    assert "exchange stages" not in milliseconds(one)
    # Three times 16 tokens of 256 values of two bytes, on links of 400 and of 50 GB/s.
    data = 16 * 256 * 2
    assert within == pytest.approx(3 * (0.01 + 1e3 * data / 400e9))
    assert beyond == pytest.approx(3 * (0.01 + 1e3 * data / 50e9))


def test_data_parallel_ranks_gather_and_scatter_all_tokens(model, experts):
    parts = milliseconds(model.decode(experts, Layout(dp=4, moe_ep=4), 64, 256))
    # 4 ranks with 64 tokens of 256 values; both operations, in each of 4 layers.
    assert parts["exchange experts"] == pytest.approx(4 * 2 * Kinds.nccl(4 * 64 * 256, 4))


def test_sums_beyond_a_node_do_not_use_kernels_of_one_node(model):
    within, beyond = (model.times.exchanges.all_reduce(65536, n) for n in (4, 16))
    assert within.kernel == "toy_sum"
    assert 1e3 * within.seconds == pytest.approx(0.004 + 1e-8 * 65536)
    assert beyond.kernel == "nccl"
    assert model.times.exchanges.all_reduce(65536, 1).seconds == 0
    assert model.times.exchanges.nccl("all_gather", 0, 8).seconds == 0


@pytest.mark.parametrize("overlap", [0.0, 0.5, 1.0])
def test_overlap_hides_its_share_of_the_exchanges(model, experts, overlap):
    layout = Layout(dp=2, moe_ep=2)
    found = model.step(experts, layout, 16, 256, (), overlap=overlap)
    parts = found.by_part()
    exchanged = sum(s for name, s in parts.items() if name.startswith("exchange"))
    assert exchanged > 0
    assert found.seconds == pytest.approx(sum(parts.values()) - overlap * exchanged)


def test_experts_compute_the_tokens_of_all_ranks(model, experts):
    layout = Layout(dp=2, moe_ep=2)
    alone = milliseconds(model.step(experts, layout, 16, 256, (), all_tokens=16))
    equal = milliseconds(model.step(experts, layout, 16, 256, ()))
    many = milliseconds(model.step(experts, layout, 16, 256, (), all_tokens=256))
    assert alone["moe"] == pytest.approx(4 * (0.02 + 1e-4 * 16 / 2))
    assert many["moe"] == pytest.approx(4 * (0.02 + 1e-4 * 256 / 2))
    assert alone["moe"] < equal["moe"] < many["moe"]
    assert alone["gqa decode"] == many["gqa decode"]
    time, load = model.experts(experts, layout, 256)
    assert 1e3 * 4 * time.seconds == pytest.approx(many["moe"])
    assert load == 1.0  # the rows are of even loads


def moe_rows(latencies, **values):
    row = {
        "hidden_size": 256, "inter_size": 128, "topk": 2, "num_experts": 8, "moe_tp_size": 1,
        "moe_ep_size": 1, "moe_dtype": "bfloat16", "distribution": "balanced",
        "kernel_source": "tuned",
    } | values  # fmt: skip
    return [row | {"num_tokens": t, "latency": ms} for t, ms in latencies.items()]


def test_experts_of_more_tokens_never_take_less_and_slow_rows_are_named(tmp_path, experts):
    root = write_tables(tmp_path)
    # Two tokens, and 64 to 128, were measured to take longer than more tokens.
    measured = {1: 0.02, 2: 0.2, 4: 0.03, 16: 0.04, 64: 0.3, 128: 0.5, 256: 0.08, 4096: 0.9}
    writer(root)("moe", "moe", moe_rows(measured), version="1.1.0")
    model = SiliconModel("toy", "sglang", root=root)

    def found(tokens):
        return model.times.experts.time(
            experts.experts, experts.d_model, tokens, tp=1, ep=1, dtype="bfloat16"
        )

    for tokens, expected in {1: 0.02, 2: 0.03, 4: 0.03, 64: 0.08, 128: 0.08, 256: 0.08}.items():
        assert 1e3 * found(tokens).seconds == pytest.approx(expected)
    seconds = [round(found(n).seconds, 12) for n in (1, 2, 4, 16, 64, 128, 256, 4096)]
    assert seconds == sorted(seconds)
    assert found(1).kernel == found(256).kernel == "tuned (bfloat16)"
    assert "measured 6.7 times as slow here, and faster with more tokens" in found(2).kernel
    assert "measured 6.2 times as slow here" in found(100).kernel
    assert "measured 6.7 times as slow" in str(model.decode(experts, Layout(), 2, 256))


def test_experts_of_a_shape_that_was_not_measured_never_take_less_with_more_tokens(
    tmp_path, experts
):
    root = write_tables(tmp_path)
    measured = {1: 0.02, 16: 0.05, 64: 0.052, 256: 0.054, 1024: 0.056, 4096: 0.058}
    writer(root)("moe", "moe", moe_rows(measured), version="1.1.0")
    times = SiliconModel("toy", "sglang", root=root).times.experts
    wide = ExpertShape(n_experts=8, k=4, d_ffn=2048)
    found = [
        times.time(wide, 256, 2 ** (i / 4), tp=1, ep=1, dtype="bfloat16").seconds for i in range(49)
    ]
    points = found[::8]
    assert points == sorted(points)
    for low, high, at in zip(points[:-1], points[1:], range(0, 48, 8), strict=True):
        assert all(low * 0.999999 <= one <= high * 1.000001 for one in found[at : at + 9])


def test_attention_takes_no_less_than_reading_its_cache(tmp_path):
    root = write_tables(tmp_path)
    rows = [
        {"batch_size": b, "isl": 1, "num_heads": 8, "num_key_value_heads": 2, "head_dim": 64,
         "window_size": 0, "kv_cache_dtype": "bfloat16", "kernel_source": "cached", "step": s,
         "latency": 0.001}
        for b in (1, 64) for s in (16, 4096)
    ]  # fmt: skip
    writer(root)("attention", "generation_attention", rows, version="1.1.0")
    times = SiliconModel("toy", "sglang", root=root).times.attention
    found = times.decode(GROUPED, 8, 2, 64, 4096, "bfloat16")
    # Keys and values of 2 heads of 64 numbers of two bytes, which a GPU's own cache may hold.
    assert found.seconds == 64 * 4096 * (2 * 2 * 64 * 2) / BANDWIDTH
    window = replace(GROUPED, window=64)
    assert times.decode(window, 8, 2, 64, 4096, "bfloat16").seconds == pytest.approx(
        max(1e-6, 64 * 64 * 512 / BANDWIDTH)
    )


# ------------------------------------------------------------------------------------------ errors


def test_a_model_travels_to_other_processes_and_is_never_copied(model, experts):
    again = pickle.loads(pickle.dumps(model))
    assert (again.gpu, again.backend, again.root) == (model.gpu, model.backend, model.root)
    assert again.decode(experts, Layout(), 16, 256) == model.decode(experts, Layout(), 16, 256)
    assert copy.deepcopy(model) is model


def test_experts_of_a_shape_that_was_not_measured_borrow_the_nearest(model, experts):
    wide = ExpertShape(n_experts=8, k=2, d_ffn=256)
    blocks = tuple(replace(block, experts=wide) for block in experts.blocks)
    found = model.decode(replace(experts, blocks=blocks), Layout(), 4096, 256)
    measured = model.decode(experts, Layout(), 4096, 256)
    (far,) = (o for o in found.operators if o.operator == "moe")
    (near,) = (o for o in measured.operators if o.operator == "moe")
    assert near.outside == 1
    # Twice the width: an extrapolation by two, with time by the bound.
    assert far.outside == pytest.approx(2)
    assert near.seconds < far.seconds < 2.1 * near.seconds
