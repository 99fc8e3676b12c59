"""Hybrids of attention and other mixers: sizes, states, and steps; damaged configs."""

import pytest

from moe_costmodel import Layout, ModelShape, gpu_memory
from moe_costmodel.models.config import moe_layer_numbers
from tests.moe_costmodel.models.built import built

# ------------------------------------------------------------------------------------- Granite-4

# Sizes of Granite-4.0-H-Small and Tiny; their model cards: 32 B parameters, 9 B active, and 7 B
# and 1 B.
GRANITE = {
    "model_type": "granitemoehybrid", "hidden_size": 4096, "num_hidden_layers": 40,
    "num_attention_heads": 32, "num_key_value_heads": 8, "intermediate_size": 768,
    "shared_intermediate_size": 1536, "num_local_experts": 72, "num_experts_per_tok": 10,
    "mamba_n_heads": 128, "mamba_d_head": 64, "mamba_d_state": 128, "mamba_n_groups": 1,
    "mamba_expand": 2, "mamba_d_conv": 4, "vocab_size": 100352, "tie_word_embeddings": True,
    "layer_types": ["attention" if i % 10 == 5 else "mamba" for i in range(40)],
}  # fmt: skip
GRANITE_TINY = GRANITE | {
    "hidden_size": 1536, "num_attention_heads": 12, "num_key_value_heads": 4, "mamba_n_heads": 48,
    "intermediate_size": 512, "shared_intermediate_size": 1024, "num_local_experts": 64,
    "num_experts_per_tok": 6,
}  # fmt: skip
SMALL_GRANITE = GRANITE | {
    "hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4, "num_key_value_heads": 2,
    "intermediate_size": 24, "shared_intermediate_size": 40, "num_local_experts": 6,
    "num_experts_per_tok": 2, "mamba_n_heads": 8, "mamba_d_head": 16, "mamba_d_state": 32,
    "vocab_size": 50, "layer_types": ["mamba", "mamba", "attention"],
}  # fmt: skip


def test_counts_of_granite_4():
    shape = ModelShape.from_config(GRANITE)
    assert (shape.n_parameters, shape.n_active) == (32_207_337_984, 8_803_121_664)
    assert {b.attention.kind: b.n_layers for b in shape.blocks} == {"mamba": 36, "gqa": 4}
    tiny = ModelShape.from_config(GRANITE_TINY)
    assert (tiny.n_parameters, tiny.n_active) == (6_939_037_248, 1_465_470_528)
    assert moe_layer_numbers(GRANITE) == tuple(range(40))


def test_granite_4_has_a_state_in_most_layers():
    shape = ModelShape.from_config(SMALL_GRANITE)
    # Of each head in float32, and of the last three tokens that the convolution sees in 16 bits.
    state = 4 * 8 * 16 * 32 + 2 * (8 * 16 + 2 * 32) * 3
    assert shape.kv_bytes(10) == 2 * state + 10 * 2 * 2 * 2 * 16
    assert shape.kv_bytes_per_token() == 2 * 2 * 2 * 16
    memory = gpu_memory(shape, Layout(tp=2, moe_ep=2), 3, 10)
    # The only group is copied to both GPUs, whose heads share it.
    state = 4 * 4 * 16 * 32 + 2 * (4 * 16 + 2 * 32) * 3
    assert memory.cache == 3 * (2 * state + 10 * 2 * 2 * 16)
    # A model without experts has the shared part alone.
    dense = ModelShape.from_config(SMALL_GRANITE | {"num_local_experts": 0})
    assert (dense.experts, {b.d_ffn for b in dense.blocks}) == (None, {40})


# -------------------------------------------------------------------------------------- LFM2-MoE

# Sizes of LFM2-8B-A1B; its model card: 8.3 B parameters, 1.5 B active.
LFM2 = {
    "model_type": "lfm2_moe", "hidden_size": 2048, "num_hidden_layers": 24,
    "num_attention_heads": 32, "num_key_value_heads": 8, "intermediate_size": 7168,
    "moe_intermediate_size": 1792, "num_experts": 32, "num_experts_per_tok": 4,
    "num_dense_layers": 2, "conv_L_cache": 3, "conv_bias": False, "use_expert_bias": True,
    "vocab_size": 65536, "tie_embedding": True, "max_position_embeddings": 128000,
    "layer_types": [
        "full_attention" if i in (2, 6, 10, 14, 18, 21) else "conv" for i in range(24)
    ],
}  # fmt: skip
SMALL_LFM2 = LFM2 | {
    "hidden_size": 64, "num_hidden_layers": 4, "num_attention_heads": 4, "num_key_value_heads": 2,
    "intermediate_size": 40, "moe_intermediate_size": 24, "num_experts": 6,
    "num_experts_per_tok": 2, "num_dense_layers": 1, "vocab_size": 50,
    "layer_types": ["conv", "full_attention", "conv", "conv"],
}  # fmt: skip


def cached(name, config, tokens):
    """Return the numbers of keys and values, and of states, that transformers caches."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    made = getattr(transformers, f"{name}Config")(**config)
    model = getattr(transformers, f"{name}ForCausalLM")(made).eval()
    with torch.no_grad():
        layers = model(torch.ones(1, tokens, dtype=torch.long), use_cache=True)["cache"].layers
    keys = [t for layer in layers for t in (getattr(layer, "keys", None),) if t is not None]
    values = [t for layer in layers for t in (getattr(layer, "values", None),) if t is not None]
    states = [
        [t for part in (layer.conv_states, layer.recurrent_states) for t in part.values()]
        for layer in layers
        if hasattr(layer, "conv_states")
    ]
    return (
        sum(t.numel() for t in keys + values),
        [[t.numel() for t in some if t is not None] for some in states],
    )


def test_counts_of_lfm2():
    shape = ModelShape.from_config(LFM2)
    d, ffn = 2048, 3 * 2048 * 1792
    conv, attention = 4 * d * d + 3 * d, 2 * d * d + 2 * d * 512 + 2 * 64
    outside = 65536 * d + d + 24 * 2 * d + 18 * conv + 6 * attention + 2 * 3 * d * 7168
    outside += 22 * (32 * d + 32)
    assert shape.n_parameters == outside + 22 * 32 * ffn == 8_339_930_560
    assert shape.n_active == outside + 22 * 4 * ffn
    assert shape.n_active / 1e9 == pytest.approx(1.56, abs=0.01)
    kinds = [b.attention.kind for b in shape.blocks for _ in range(b.n_layers)]
    assert (kinds.count("conv"), kinds.count("gqa")) == (18, 6)
    assert moe_layer_numbers(LFM2) == tuple(range(2, 24))
    # 18 layers keep two tokens, in 16 bits; 6 layers cache keys and values of 8 heads.
    assert shape.kv_bytes(1000) == 18 * 2 * d * 2 + 6 * 1000 * 2 * 8 * 64 * 2
    assert shape.max_context == 128000


def test_the_cache_of_lfm2_is_that_of_transformers():
    shape = ModelShape.from_config(SMALL_LFM2)
    values, states = cached("Lfm2Moe", SMALL_LFM2, 10)
    assert shape.kv_bytes_per_token() * 10 == 2.0 * values
    # transformers keeps one token more than the next step needs.
    assert states == [[3 * 64]] * 3
    assert shape.kv_bytes(10) == 2.0 * values + 3 * 2.0 * 2 * 64
    assert gpu_memory(shape, Layout(tp=2, moe_ep=2), 3, 10).cache == 3 * shape.kv_bytes(10) / 2


# ----------------------------------------------------------------------------- Jamba and MiniMax

# Sizes of Jamba-1.5-Mini and Large; their model cards: 52 B parameters, 12 B active, and 398 B
# and 94 B.
JAMBA = {
    "model_type": "jamba", "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32,
    "num_key_value_heads": 8, "intermediate_size": 14336, "num_experts": 16,
    "num_experts_per_tok": 2, "expert_layer_period": 2, "expert_layer_offset": 1,
    "attn_layer_period": 8, "attn_layer_offset": 4, "mamba_d_state": 16, "mamba_d_conv": 4,
    "mamba_expand": 2, "mamba_dt_rank": 256, "mamba_conv_bias": True, "mamba_proj_bias": False,
    "vocab_size": 65536, "tie_word_embeddings": False,
}  # fmt: skip
JAMBA_LARGE = JAMBA | {
    "hidden_size": 8192, "num_hidden_layers": 72, "num_attention_heads": 64,
    "intermediate_size": 24576, "mamba_dt_rank": 512,
}  # fmt: skip
SMALL_JAMBA = JAMBA | {
    "hidden_size": 64, "num_hidden_layers": 5, "num_attention_heads": 4, "num_key_value_heads": 2,
    "intermediate_size": 24, "num_experts": 6, "mamba_dt_rank": 5, "vocab_size": 50,
    "attn_layer_period": 3, "attn_layer_offset": 1,
}  # fmt: skip
# Sizes of MiniMax-Text-01; its model card: 456 B parameters, 45.9 B active.
MINIMAX = {
    "model_type": "minimax_text_01", "hidden_size": 6144, "num_hidden_layers": 80,
    "num_attention_heads": 64, "num_key_value_heads": 8, "head_dim": 128,
    "intermediate_size": 9216, "num_local_experts": 32, "num_experts_per_tok": 2,
    "shared_intermediate_size": 0, "vocab_size": 200064, "tie_word_embeddings": False,
    "attn_type_list": [int(i % 8 == 7) for i in range(80)],
}  # fmt: skip
SMALL_MINIMAX = {
    "model_type": "minimax", "hidden_size": 64, "num_hidden_layers": 4, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 20, "intermediate_size": 24, "num_local_experts": 6,
    "num_experts_per_tok": 2, "vocab_size": 50,
    "layer_types": ["linear_attention", "full_attention", "linear_attention", "linear_attention"],
}  # fmt: skip


def test_counts_of_jamba():
    shape = ModelShape.from_config(JAMBA)
    assert {"mamba1": 28, "gqa": 4} == {
        kind: sum(b.n_layers for b in shape.blocks if b.attention.kind == kind)
        for kind in ("mamba1", "gqa")
    }
    # As transformers builds it; the test below compares smaller models with its classes.
    assert (shape.n_parameters, shape.n_active) == (51_570_323_328, 12_110_311_296)
    large = ModelShape.from_config(JAMBA_LARGE)
    assert (large.n_parameters, large.n_active) == (398_555_145_696, 94_149_338_592)
    assert moe_layer_numbers(JAMBA) == tuple(range(1, 32, 2))


def test_the_cache_of_jamba_is_that_of_transformers():
    shape = ModelShape.from_config(SMALL_JAMBA)
    values, states = cached("Jamba", SMALL_JAMBA, 10)
    assert shape.kv_bytes_per_token() * 10 == 2.0 * values
    # transformers keeps one token of the convolution more than the next step needs.
    assert states == [[4 * 128, 128 * 16]] * 3
    assert shape.kv_bytes(10) == 2.0 * values + 3 * (2.0 * 3 * 128 + 4.0 * 128 * 16)


def test_counts_of_minimax():
    shape = ModelShape.from_config(MINIMAX)
    d, inner = 6144, 64 * 128
    lightning, softmax = 5 * d * inner + inner, 2 * d * inner + 2 * d * 8 * 128
    total = 2 * 200064 * d + d + 80 * (2 * d + 32 * d) + 70 * lightning + 10 * softmax
    assert shape.n_parameters == total + 80 * 32 * 3 * d * 9216
    assert shape.n_parameters / 1e9 == pytest.approx(456, abs=0.5)
    # The published number leaves embedding and head out.
    active = shape.n_active - 2 * 200064 * d
    assert active / 1e9 == pytest.approx(45.9, abs=0.1)
    assert shape.kv_bytes(100) == 70 * 4 * 64 * 128**2 + 10 * 100 * 2 * 8 * 128 * 2
    assert ModelShape.from_config(MINIMAX | {"model_type": "minimax_m1"}) == shape


def test_the_cache_of_minimax_is_that_of_transformers():
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    model = transformers.MiniMaxForCausalLM(transformers.MiniMaxConfig(**SMALL_MINIMAX)).eval()
    with torch.no_grad():
        cache = model(torch.ones(1, 10, dtype=torch.long), use_cache=True)["cache"]
    states = [state.numel() for state in cache.linear_cache if not isinstance(state, list)]
    assert states == [4 * 20 * 20] * 3
    values = sum(
        layer.keys.numel() + layer.values.numel()
        for layer in cache.layers
        if layer.keys is not None
    )
    shape = ModelShape.from_config(SMALL_MINIMAX)
    assert shape.kv_bytes(10) == 2.0 * values + 4.0 * sum(states)


# ------------------------------------------------------------------------------------------ of all
@pytest.mark.parametrize(
    ("config", "changes"),
    [
        (SMALL_GRANITE, {}),
        (SMALL_GRANITE, {"num_local_experts": 0}),
        (SMALL_GRANITE, {"mamba_n_groups": 2, "mamba_d_head": "auto", "mamba_expand": 3,
                         "mamba_n_heads": 12}),
        (SMALL_GRANITE, {"mamba_proj_bias": True, "mamba_conv_bias": False,
                         "attention_bias": True}),
        (SMALL_GRANITE, {"layer_types": None, "tie_word_embeddings": False}),
        (SMALL_LFM2, {"use_expert_bias": False, "tie_embedding": False}),
        (SMALL_LFM2, {"conv_bias": True, "conv_L_cache": 5}),
        (SMALL_LFM2, {"num_dense_layers": 4}),
        (SMALL_JAMBA, {"num_experts": 1, "num_experts_per_tok": 1}),
        (SMALL_JAMBA, {"mamba_dt_rank": "auto", "mamba_d_state": 8, "mamba_d_conv": 3,
                       "mamba_expand": 3}),
        (SMALL_JAMBA, {"mamba_proj_bias": True, "mamba_conv_bias": False,
                       "tie_word_embeddings": True}),
        (SMALL_JAMBA, {"expert_layer_period": 1, "expert_layer_offset": 0}),
        (SMALL_MINIMAX, {}),
        (SMALL_MINIMAX, {"layer_types": None}),
        (SMALL_MINIMAX, {"head_dim": None}),
    ],
)  # fmt: skip
def test_counts_are_those_of_transformers(config, changes):
    config = config | changes
    others = {}
    if config["model_type"] == "granitemoehybrid" and config["layer_types"]:
        words = {"mamba": "linear_attention", "attention": "full_attention"}
        others = {"layer_types": [words[kind] for kind in config["layer_types"]]}
    found, stored = built(config, **others)
    shape = ModelShape.from_config(config)
    assert shape.n_parameters == found
    assert ModelShape.from_config(stored).blocks == shape.blocks


@pytest.mark.parametrize(
    ("config", "ignored", "plain"),
    [
        (GRANITE, ["mamba.in_proj"], {"attention"}),
        (GRANITE, ["re:.*block_sparse_moe.input_linear", "shared_mlp"], {"experts", "shared"}),
        (LFM2, ["re:.*conv.in_proj", "self_attn.out_proj"], {"attention"}),
        (LFM2, ["re:.*feed_forward.experts", "feed_forward.w2"], {"dense", "experts"}),
        (
            JAMBA,
            ["re:.*mamba.in_proj", "re:.*self_attn.o_proj", "re:.*feed_forward.experts"],
            {"attention", "experts"},
        ),
    ],
)
def test_exceptions_have_names_of_their_own(config, ignored, plain):
    quantization = {"quant_method": "fp8", "ignore": ignored}
    shape = ModelShape.from_config(config | {"quantization_config": quantization})
    held = {part for part, n in shape.parameters().items() if n}
    parts = held & {"attention", "dense", "experts", "shared"}
    assert {part for part in parts if shape.dtypes[part] == "bfloat16"} == plain


@pytest.mark.parametrize(
    ("config", "changes", "words"),
    [
        (SMALL_GRANITE, {"layer_types": ["mamba"]}, "'layer_types'.*a list of 3 texts"),
        (
            SMALL_GRANITE,
            {"mamba_n_heads": 7},
            "'mamba_n_heads'.*mamba_expand \\* hidden_size = 128",
        ),
        (SMALL_GRANITE, {"mamba_n_heads": None}, "'mamba_n_heads'.*no such field"),
        (SMALL_GRANITE, {"mamba_n_groups": 3}, "'mamba_n_groups'.*divisor"),
        (SMALL_LFM2, {"layer_types": None}, "'layer_types'.*conv or full_attention"),
        (SMALL_LFM2, {"conv_bias": 1}, "'conv_bias'.*true or false"),
        (SMALL_LFM2, {"num_dense_layers": 5}, "at most num_hidden_layers = 4"),
        (SMALL_JAMBA, {"attn_layer_offset": 3}, "'attn_layer_offset'.*below attn_layer_period = 3"),
        (SMALL_JAMBA, {"mamba_dt_rank": "wide"}, "'mamba_dt_rank'.*wide"),
        (MINIMAX, {"attn_type_list": None}, "'attn_type_list'.*0 \\(lightning attention\\) and 1"),
        (MINIMAX, {"attn_type_list": [0, 1]}, "'attn_type_list'.*the 80 layers"),
        (MINIMAX, {"shared_intermediate_size": 8}, "'shared_intermediate_size'.*0, as in all"),
    ],
)
def test_damaged_fields_are_named(config, changes, words):
    with pytest.raises(ValueError, match=words):
        ModelShape.from_config(config | changes)
