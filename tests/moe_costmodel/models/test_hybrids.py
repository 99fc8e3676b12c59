"""Hybrids of attention and other mixers: sizes, states, and steps; damaged configs."""

import pytest

from moe_costmodel import Layout, ModelShape, gpu_memory
from moe_costmodel.models.config import moe_layer_numbers


def counted(name, config, **others):
    """Return the parameters of a model that transformers builds, and its config as it stores it."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    if not hasattr(transformers, f"{name}Config"):
        pytest.skip("a later transformers has this class")
    made = getattr(transformers, f"{name}Config")(**config | others)
    with torch.device("meta"):
        model = getattr(transformers, f"{name}ForCausalLM")(made)
    found = sum(p.numel() for p in model.parameters())
    found += sum(b.numel() for n, b in model.named_buffers() if n.endswith("bias"))
    return found, made.to_dict()


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


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"num_local_experts": 0},
        {"mamba_n_groups": 2, "mamba_d_head": "auto", "mamba_expand": 3, "mamba_n_heads": 12},
        {"mamba_proj_bias": True, "mamba_conv_bias": False, "attention_bias": True},
        {"layer_types": None, "tie_word_embeddings": False},
    ],
)
def test_counts_of_granite_4_are_those_of_transformers(changes):
    config = SMALL_GRANITE | changes
    words = {"mamba": "linear_attention", "attention": "full_attention"}
    kinds = config["layer_types"] and [words[kind] for kind in config["layer_types"]]
    found, stored = counted("GraniteMoeHybrid", config, layer_types=kinds)
    assert ModelShape.from_config(config).n_parameters == found
    assert ModelShape.from_config(stored).n_parameters == found


def test_granite_4_has_a_state_in_most_layers():
    shape = ModelShape.from_config(SMALL_GRANITE)
    # Of each head, and of the last three tokens that the convolution sees.
    state = 8 * 16 * 32 + (8 * 16 + 2 * 32) * 3
    assert shape.kv_bytes(10) == 2 * 4 * state + 10 * 2 * 2 * 2 * 16
    assert shape.kv_bytes_per_token() == 2 * 2 * 2 * 16
    memory = gpu_memory(shape, Layout(tp=2, moe_ep=2), 3, 10)
    assert memory.cache == 3 * (4 * state + 10 * 2 * 2 * 16)
    # A model without experts has the shared part alone.
    dense = ModelShape.from_config(SMALL_GRANITE | {"num_local_experts": 0})
    assert (dense.experts, {b.d_ffn for b in dense.blocks}) == (None, {40})


def test_exceptions_of_granite_4_have_names_of_their_own():
    quantization = {"quant_method": "fp8", "modules_to_not_convert": ["mamba.in_proj"]}
    types = ModelShape.from_config(GRANITE | {"quantization_config": quantization}).dtypes
    assert (types["attention"], types["experts"], types["shared"]) == ("bfloat16", "fp8", "fp8")
    quantization["modules_to_not_convert"] = ["re:.*block_sparse_moe.input_linear", "shared_mlp"]
    types = ModelShape.from_config(GRANITE | {"quantization_config": quantization}).dtypes
    assert (types["attention"], types["experts"], types["shared"]) == (
        "fp8",
        "bfloat16",
        "bfloat16",
    )


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"layer_types": ["mamba"]}, "'layer_types'.*a list of 3 texts"),
        ({"layer_types": ["mamba", "conv", "mamba"]}, r"'layer_types\[1\]'.*conv"),
        ({"mamba_n_heads": 7}, "'mamba_n_heads'.*mamba_expand \\* hidden_size = 128"),
        ({"mamba_n_heads": None}, "'mamba_n_heads'.*no such field"),
        ({"mamba_d_head": "wide"}, "'mamba_d_head'.*wide"),
        ({"mamba_n_groups": 3}, "'mamba_n_groups'.*divisor"),
        ({"mamba_d_state": -1}, "'mamba_d_state'.*-1"),
        ({"num_local_experts": 0, "shared_intermediate_size": None}, "'shared_intermediate_size'"),
    ],
)
def test_damaged_fields_of_granite_4_are_named(changes, words):
    with pytest.raises(ValueError, match=words):
        ModelShape.from_config(SMALL_GRANITE | changes)
