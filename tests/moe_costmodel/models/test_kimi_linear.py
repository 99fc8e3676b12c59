"""Kimi-Linear and Kimi-K3: delta attention, gates of outputs, and residuals of blocks of layers."""

import pytest

from moe_costmodel import Layout, ModelShape, gpu_memory
from moe_costmodel.models.config import moe_layer_numbers
from tests.moe_costmodel.models.built import built


def linear(n_layers, full, **sizes):
    kda = [i for i in range(1, n_layers + 1) if i not in full]
    return {"full_attn_layers": full, "kda_layers": kda, "short_conv_kernel_size": 4, **sizes}


KIMI_LINEAR = {
    "model_type": "kimi_linear", "hidden_size": 2304, "intermediate_size": 9216,
    "moe_intermediate_size": 1024, "num_hidden_layers": 27, "num_attention_heads": 32,
    "kv_lora_rank": 512, "q_lora_rank": None, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64,
    "v_head_dim": 128, "num_experts": 256, "num_experts_per_token": 8, "num_shared_experts": 1,
    "first_k_dense_replace": 1, "moe_layer_freq": 1, "vocab_size": 163840,
    "model_max_length": 1048576, "tie_word_embeddings": False,
    "linear_attn_config": linear(27, [4, 8, 12, 16, 20, 24, 27], num_heads=32, head_dim=128),
}  # fmt: skip
KIMI_K3 = KIMI_LINEAR | {
    "hidden_size": 7168, "intermediate_size": 33792, "moe_intermediate_size": 3072,
    "num_hidden_layers": 93, "num_attention_heads": 96, "q_lora_rank": 1536, "num_experts": 896,
    "num_experts_per_token": 16, "num_shared_experts": 2, "routed_expert_hidden_size": 3584,
    "latent_moe_use_norm": True, "mla_use_output_gate": True, "attn_res_block_size": 12,
    "linear_attn_config": linear(
        93, [*range(4, 93, 4), 93], num_heads=96, head_dim=128, use_full_rank_gate=True
    ),
}  # fmt: skip
SMALL = KIMI_LINEAR | {
    "hidden_size": 48, "intermediate_size": 80, "moe_intermediate_size": 20,
    "num_hidden_layers": 5, "num_attention_heads": 4, "kv_lora_rank": 16, "qk_nope_head_dim": 12,
    "qk_rope_head_dim": 6, "v_head_dim": 10, "num_experts": 6, "num_experts_per_token": 2,
    "num_shared_experts": 2, "vocab_size": 50,
    "linear_attn_config": linear(5, [2, 5], num_heads=3, head_dim=8),
}  # fmt: skip


def test_counts_of_kimi_linear():
    shape = ModelShape.from_config(KIMI_LINEAR)
    # Those of transformers 5.24, with the corrections of scores.
    assert shape.n_parameters == 49_122_681_728
    assert shape.max_context == 1048576
    assert {b.attention.kind: b.n_layers for b in shape.blocks if b.experts} == {
        "kda": 19,
        "mla": 7,
    }
    assert moe_layer_numbers(KIMI_LINEAR) == tuple(range(1, 27))


def test_counts_of_kimi_k3():
    d, inner, latent = 7168, 96 * 128, 3584
    delta = 5 * d * inner + d * (96 + 128) + 128 * inner  # queries, keys, values, gate, output
    delta += 3 * 4 * inner + inner + 96 + 128  # convolutions, biases, decays, norm
    full = d * 1536 + 1536 * 96 * 192 + d * 576 + 512 * 96 * 256 + 2 * d * inner + 1536 + 512
    experts = 896 * (3 * latent * 3072 + d + 1) + 2 * d * latent + latent + 3 * d * 2 * 3072
    norms = 93 * (2 + 4) * d + 3 * d  # two norms and two residuals a layer, and at the end
    total = 69 * delta + 24 * full + 92 * experts + 3 * d * 33792 + norms + 2 * d * 163840
    shape = ModelShape.from_config(KIMI_K3)
    assert shape.n_parameters == total == 2_779_484_476_000
    assert shape.name == "kimi_k3"
    assert shape.residual_blocks == 8
    assert shape.layer_shape().d_model == latent


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"q_lora_rank": 14},
        {"num_shared_experts": 1, "first_k_dense_replace": 2},
        {"linear_attn_config": linear(5, [1, 3], num_heads=4, head_dim=6)},
    ],
)
def test_counts_are_those_of_transformers(changes):
    config = SMALL | changes
    expected, stored = built(config, pad_token_id=None)
    assert ModelShape.from_config(config).n_parameters == expected
    # transformers stores flat fields.
    assert ModelShape.from_config(stored).n_parameters == expected


def test_delta_attention_has_a_state_and_full_attention_a_cache():
    shape = ModelShape.from_config(SMALL)
    # Of each head in float32, and of the convolution's last tokens in 16 bits.
    state = 4 * (3 * 8 * 8) + 2 * 3 * (3 * 8) * 3
    for context in (0, 1, 100):
        assert shape.kv_bytes(context) == 2 * 2 * context * (16 + 6) + 3 * state
    assert shape.kv_bytes_per_token() == 2 * 2 * (16 + 6)
    config = SMALL | {"linear_attn_config": linear(5, [2, 5], num_heads=4, head_dim=8)}
    shape = ModelShape.from_config(config)
    # States of heads are divided; latents have no heads.
    memory = gpu_memory(shape, Layout(tp=2, moe_ep=2), 3, 100)
    state = 4 * (4 * 8 * 8) + 2 * 3 * (3 * 4 * 8)
    assert memory.cache == 3 * (2 * 2 * 100 * (16 + 6) + 3 * state / 2)


def test_only_the_routed_experts_of_kimi_k3_are_quantized():
    group = {
        "targets": ["Linear"], "input_activations": None,
        "weights": {"num_bits": 4, "type": "float", "group_size": 32},
    }  # fmt: skip
    ignored = ["re:.*self_attn.*", "re:.*shared_experts.*", r"re:.*mlp\.(gate|up|down)_proj.*"]
    quantization = {
        "quant_method": "compressed-tensors", "ignore": ignored, "config_groups": {"g": group},
    }  # fmt: skip
    config = {
        "model_type": "kimi_k3",
        "text_config": KIMI_K3 | {"quantization_config": quantization},
    }
    types = ModelShape.from_config(config).dtypes
    assert types.pop("experts") == "w4a16_mxfp4"
    assert set(types.values()) == {"bfloat16"}
    # Without a word on activations, they may be narrow.
    del group["input_activations"]
    assert ModelShape.from_config(config).dtypes["experts"] == "w4a8_mxfp4_mxfp8"


@pytest.mark.parametrize(
    ("layers", "words"),
    [
        (
            {"full_attn_layers": [2, 5]},
            "'linear_attn_config'.*kda_layers, that hold each of 1 to 5",
        ),
        ({"kda_layers": [1, 2, 3, 4]}, "'linear_attn_config'.*each of 1 to 5 once"),
        ({"kda_layers": [0, 1, 3]}, "'linear_attn_config'.*each of 1 to 5 once"),
        ({"head_dim": 0}, "'linear_head_dim'"),
    ],
)
def test_damaged_layers_are_named(layers, words):
    whole = linear(5, [2, 5], num_heads=3, head_dim=8)
    given = layers if "full_attn_layers" in layers else whole | layers
    with pytest.raises(ValueError, match=words):
        ModelShape.from_config(SMALL | {"linear_attn_config": given})
