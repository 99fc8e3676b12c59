"""Wide expert parallelism: operators by hand, overlap of two batches, missing tables."""

from dataclasses import replace

import pytest

from moe_costmodel import ModelShape, SiliconModel, wide_ep_step
from tests.moe_costmodel.silicon.tables import (
    CONFIG,
    LATENT,
    Wide,
    gemm_ms,
    write_tables,
    write_wide_tables,
)

pytest.importorskip("pyarrow")
pytest.importorskip("yaml")

N_MOE, N_DENSE = 3, 1
# Computation beside an exchange of high throughput has 112 of the 132 processors of the toy GPU.
SLOWER = 132 / 112


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    root = write_wide_tables(write_tables(tmp_path_factory.mktemp("wide")))
    return SiliconModel("toy", "sglang", root=root)


@pytest.fixture(scope="module")
def shape():
    return ModelShape.from_config(LATENT)


def step(model, shape, **settings):
    given = {"n_devices": 8, "n_sequences": 16, "length": 256, "prefill": False}
    return wide_ep_step(model, shape, **given | {"balancedness": 1.0} | settings)


@pytest.mark.parametrize("prefill", [False, True])
def test_operators_are_those_of_the_tables(model, shape, prefill):
    given = {"n_devices": 4, "n_sequences": 4, "length": 64, "two_batches": False}
    found = step(model, shape, prefill=prefill, **given)
    tokens = 4 * 64 if prefill else 4
    phase, kind = ("context", "normal") if prefill else ("generation", "ll")
    expected = {
        # The four devices send their tokens through the experts.
        "wide experts": N_MOE * Wide.experts(4 * tokens, 4, phase),
        "exchange dispatch": N_MOE * Wide.exchange(tokens, 1, "dispatch", kind),
        "exchange combine": N_MOE * Wide.exchange(tokens, 1, "combine", kind),
        "attention module": (N_MOE + N_DENSE) * Wide.attention(4, 64, phase),
        "dense": N_DENSE * (gemm_ms(tokens, 1024, 256) + gemm_ms(tokens, 256, 512)),
        "shared experts": N_MOE * (gemm_ms(tokens, 256, 256) + gemm_ms(tokens, 256, 128)),
        "head": gemm_ms(4, 1024, 256),  # of the last token of each sequence
    }
    parts = {name: 1e3 * seconds for name, seconds in found.by_part().items()}
    assert {name: parts[name] for name in expected} == pytest.approx(expected)
    assert set(parts) - set(expected) == {"router", "norms"}
    kernels = {operator.operator: operator.kernel for operator in found.operators}
    assert kernels["exchange dispatch"] == f"deepep_{kind}"
    assert kernels["wide experts"] == f"{phase}_moe"
    assert kernels["attention module"] == f"{phase}_module"
    assert found.hidden == 0
    assert found.seconds == pytest.approx(sum(parts.values()) / 1e3)


def test_the_busiest_device_computes_and_exchanges_more(model, shape):
    even = step(model, shape, two_batches=False).by_part()
    busy = step(model, shape, two_batches=False, balancedness=0.5).by_part()
    twice = {"wide experts", "exchange dispatch", "exchange combine"}
    for name, seconds in even.items():
        assert busy[name] == pytest.approx(seconds * (2 if name in twice else 1)), name


@pytest.mark.parametrize("prefill", [False, True])
@pytest.mark.parametrize("length", [16, 1024])
@pytest.mark.parametrize("n", [2, 8, 64])
def test_two_batches_never_take_longer_than_their_sum(model, shape, prefill, length, n):
    given = {"prefill": prefill, "length": length}
    found = step(model, shape, n_sequences=n, **given)
    parts = found.by_part()
    network = parts["exchange dispatch"] + parts["exchange combine"]
    half = step(model, shape, n_sequences=n // 2, two_batches=False, **given).by_part()
    assert network == pytest.approx(2 * (half["exchange dispatch"] + half["exchange combine"]))
    # Dense layers and the head compute both batches together, and overlap with nothing.
    whole = step(model, shape, n_sequences=n, two_batches=False, **given).by_part()
    rest = whole["head"] + whole["dense"]
    rest += whole["attention module"] * N_DENSE / (N_MOE + N_DENSE)
    computed = (sum(parts.values()) - network - rest) * (SLOWER if prefill else 1.0)
    layers = found.seconds - rest
    assert max(network, computed) <= layers * (1 + 1e-9)
    assert layers <= (network + computed) * (1 + 1e-9)
    if not prefill:
        assert 0 < found.hidden < min(network, computed)


def test_what_no_table_holds_is_flagged(model, shape):
    measured = {"n_sequences": 16, "two_batches": False}
    assert operator(step(model, shape, **measured), "exchange dispatch").outside == 1
    # Tables know two nodes of 8 GPUs; 64 devices are eight nodes.
    far = step(model, shape, n_devices=64, **measured)
    assert operator(far, "exchange dispatch").outside == pytest.approx(4)
    assert operator(far, "wide experts").outside == pytest.approx(4)
    assert far.outside == pytest.approx(4)
    # Half a node exchanges like a whole one.
    few = step(model, shape, n_devices=4, **measured)
    whole = step(model, shape, **measured)
    assert operator(few, "exchange combine") == operator(whole, "exchange combine")


def operator(found, name):
    return next(part for part in found.operators if part.operator == name)


def test_two_nodes_exchange_as_their_rows_say(model, shape):
    found = step(model, shape, n_devices=16, two_batches=False)
    expected = N_MOE * Wide.exchange(16, 2, "dispatch", "ll")
    assert 1e3 * found.by_part()["exchange dispatch"] == pytest.approx(expected)


def test_models_and_gpus_without_tables_are_answered_with_those_that_have(model, shape, tmp_path):
    other = replace(shape, blocks=tuple(
        replace(block, experts=replace(block.experts, k=4) if block.experts else None)
        for block in shape.blocks
    ))  # fmt: skip
    message = (
        r"'toy' has no tables.*rows of experts, dispatch, combine are missing for 8 experts of "
        r"width 128, 4 a token.*The table of experts holds 8 experts of width 128, 2 a token, "
        r"tokens of .*h100_sxm and h200_sxm"
    )
    with pytest.raises(ValueError, match=message):
        step(model, other)
    plain = SiliconModel("toy", "sglang", root=write_tables(tmp_path))
    with pytest.raises(ValueError, match="'toy' has no tables of wide expert parallelism"):
        step(plain, shape)


def test_latent_attention_and_experts_are_required(model):
    with pytest.raises(ValueError, match="No table has the attention of 'mixtral'"):
        step(model, ModelShape.from_config(CONFIG))
    indexed = {"model_type": "deepseek_v32", "index_n_heads": 4, "index_head_dim": 8}
    with pytest.raises(ValueError, match=r"'deepseek_v32'.*it has an indexer or a gate"):
        step(model, ModelShape.from_config(LATENT | indexed | {"index_topk": 64}))
    dense = {**LATENT, "first_k_dense_replace": LATENT["num_hidden_layers"]}
    with pytest.raises(
        ValueError, match=r"'deepseek_v3' has no experts; it is dense. Give a model"
    ):
        step(model, ModelShape.from_config(dense))
