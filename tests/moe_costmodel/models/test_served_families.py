"""Models like A.X-K1, Command A, HY-4, Laguna, LongCat-Flash, MiniCPM5, Param2 and Sarvam."""

import pytest

from moe_costmodel import ModelShape
from moe_costmodel.models.config import moe_layer_numbers
from tests.moe_costmodel.models.built import built

COMMON = {
    "hidden_size": 64, "vocab_size": 50, "num_hidden_layers": 4, "num_attention_heads": 8,
    "num_key_value_heads": 2, "head_dim": 12, "intermediate_size": 96, "num_experts_per_tok": 2,
    "pad_token_id": 0,
}  # fmt: skip
LATENT = COMMON | {
    "q_lora_rank": 24, "kv_lora_rank": 16, "qk_nope_head_dim": 8, "qk_rope_head_dim": 4,
    "v_head_dim": 8, "n_routed_experts": 6, "n_shared_experts": 2, "moe_intermediate_size": 20,
    "n_group": 1, "topk_group": 1,
}  # fmt: skip
WINDOWS = {
    "sliding_window": 16,
    "layer_types": ["full_attention", *["sliding_attention"] * 2, "full_attention"],
}
DENSE_FIRST = {"mlp_layer_types": ["dense", "sparse", "sparse", "sparse"]}
INDEX = {
    "index_n_heads": 4, "index_head_dim": 8, "index_topk": 16, "hc_mult": 3,
    "indexer_types": ["full", "full", "shared", "shared"],
}  # fmt: skip
KINDS = {
    "axk1": LATENT | DENSE_FIRST,
    "cohere2_moe": COMMON | WINDOWS | DENSE_FIRST | {
        "num_experts": 6, "num_shared_experts": 2, "prefix_dense_intermediate_size": 40,
    },
    "granitemoe_swa": COMMON | WINDOWS | {"num_local_experts": 6, "shared_intermediate_size": 40},
    "hy_v4": LATENT | INDEX | DENSE_FIRST,
    "laguna": COMMON | WINDOWS | DENSE_FIRST | {
        "num_experts": 6, "moe_intermediate_size": 20, "shared_expert_intermediate_size": 40,
        "num_attention_heads_per_layer": [8, 12, 12, 8], "gating": True,
    },
    "mellum": COMMON | WINDOWS | DENSE_FIRST | {
        "num_local_experts": 6, "moe_intermediate_size": 20,
    },
    "minicpm5_moe": COMMON | {
        "n_routed_experts": 6, "n_shared_experts": 2, "moe_intermediate_size": 20,
        "first_k_dense_replace": 1, "attention_bias": False,
    },
    "param2moe": COMMON | {
        "num_experts": 6, "num_shared_experts": 2, "moe_intermediate_size": 20,
        "first_k_dense_replace": 1, "use_qkv_bias": True, "use_qk_norm": True,
    },
    "sarvam_mla": LATENT | {"first_k_dense_replace": 1},
    "sarvam_moe": COMMON | {
        "n_routed_experts": 6, "n_shared_experts": 2, "moe_intermediate_size": 20,
        "first_k_dense_replace": 1, "use_qkv_bias": True, "use_qk_norm": True,
    },
}  # fmt: skip
# As transformers 5.25 builds them, with the corrections of routers' scores.
COUNTS = {
    "axk1": 164_146, "cohere2_moe": 516_160, "granitemoe_swa": 543_072, "hy_v4": 193_334,
    "laguna": 195_122, "mellum": 157_216, "minicpm5_moe": 204_754, "param2moe": 177_650,
    "sarvam_mla": 163_954, "sarvam_moe": 180_850,
}  # fmt: skip
LONGCAT = {
    "model_type": "longcat_flash", "hidden_size": 6144, "num_layers": 28, "vocab_size": 131072,
    "num_attention_heads": 64, "ffn_hidden_size": 12288, "q_lora_rank": 1536, "kv_lora_rank": 512,
    "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "v_head_dim": 128, "moe_topk": 12,
    "n_routed_experts": 512, "zero_expert_num": 256, "zero_expert_type": "identity",
    "expert_ffn_hidden_size": 2048, "num_nextn_predict_layers": 1,
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_counts_are_those_of_transformers(kind):
    config = KINDS[kind] | {"model_type": kind}
    assert ModelShape.from_config(config).n_parameters == COUNTS[kind]
    found, stored = built(config)
    assert found == COUNTS[kind]
    assert ModelShape.from_config(stored).n_parameters == found


def test_longcat_has_two_attentions_and_two_dense_parts_in_a_layer():
    shape = ModelShape.from_config(LONGCAT)
    # arXiv 2509.01322: 560 billion parameters, and 27 billion a token on average.
    assert shape.n_parameters / 1e9 == pytest.approx(560, abs=1)
    active = shape.n_active - shape.parameters()["embedding"]
    assert active / 1e9 == pytest.approx(27, abs=0.2)
    assert (shape.n_layers, shape.n_moe_layers) == (56, 28)
    assert shape.kv_bytes_per_token() == 56 * (512 + 64) * 2
    assert moe_layer_numbers(LONGCAT) == tuple(range(28))
    # 12 of 768 choices, a third of which return their input.
    assert (shape.experts.n_experts, shape.experts.k) == (512, 8)
    assert (shape.experts.d_shared, {b.d_ffn for b in shape.blocks}) == (12288, {0, 12288})


def test_longcat_counts_as_transformers_without_weights_of_its_zero_experts():
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    small = LONGCAT | {
        "hidden_size": 64, "num_layers": 3, "vocab_size": 50, "num_attention_heads": 4,
        "ffn_hidden_size": 48, "q_lora_rank": 24, "kv_lora_rank": 16, "moe_topk": 3,
        "n_routed_experts": 8, "zero_expert_num": 4, "expert_ffn_hidden_size": 20,
    }  # fmt: skip
    kind, content = small["model_type"], {k: v for k, v in small.items() if k != "model_type"}
    made = transformers.AutoConfig.for_model(kind, **content)
    with torch.device("meta"):
        model = transformers.AutoModelForCausalLM.from_config(made)
    found = sum(p.numel() for p in model.parameters())
    found += sum(b.numel() for n, b in model.named_buffers() if n.endswith("bias"))
    # transformers has rows for the gates of zero experts, which no file holds and no token uses.
    unused = max(p.shape[0] for n, p in model.named_parameters() if "gate_up" in n) - 8
    assert ModelShape.from_config(small).n_parameters == found - 3 * unused * 2 * 20 * 64


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"zero_expert_type": "copy"}, "'zero_expert_type' must be identity"),
        ({"moe_topk": 10}, "'moe_topk' must be such that.*whole number"),
        ({"zero_expert_num": None}, "'zero_expert_num' must be present"),
    ],
)
def test_other_zero_experts_are_refused(changed, words):
    with pytest.raises(ValueError, match=words):
        ModelShape.from_config(LONGCAT | changed)


def test_windows_and_heads_follow_the_layers():
    shape = ModelShape.from_config(KINDS["laguna"] | {"model_type": "laguna"})
    heads = {(b.attention.window, b.attention.n_heads) for b in shape.blocks}
    assert heads == {(0, 8), (16, 12)}
    uneven = {"num_attention_heads_per_layer": [8, 12, 10, 8]}
    with pytest.raises(ValueError, match=r"'num_attention_heads_per_layer'.*for all layers of a"):
        ModelShape.from_config(KINDS["laguna"] | {"model_type": "laguna"} | uneven)
    with pytest.raises(ValueError, match=r"'gating' must be true or 'per-head'"):
        ModelShape.from_config(KINDS["laguna"] | {"model_type": "laguna", "gating": "per-element"})


def test_command_a_has_windows_at_intervals_if_its_layers_are_not_listed():
    left = {"layer_types", "mlp_layer_types", "prefix_dense_intermediate_size"}
    config = {k: v for k, v in KINDS["cohere2_moe"].items() if k not in left}
    config |= {"model_type": "cohere2_moe", "first_k_dense_replace": 1, "num_hidden_layers": 9}
    shape = ModelShape.from_config(config)
    # The dense layer sees all, as do the fourth and the eighth one after it.
    found = {(b.attention.window, b.d_ffn): b.n_layers for b in shape.blocks}
    assert found == {(0, 96): 1, (16, 0): 6, (0, 0): 2}
    assert shape.tied


@pytest.mark.parametrize(
    "name", ["ernie4_5_vl_moe", "inkling_text", "jetmoe", "mistral_large4_text", "zaya"]
)
def test_models_that_are_not_read_are_refused_with_the_reason(name):
    with pytest.raises(ValueError, match=r"'model_type'.*are not read: plan the MoE layers alone"):
        ModelShape.from_config({"model_type": name})


def test_the_text_part_of_hy_4_with_images_is_read():
    inner = KINDS["hy_v4"] | {"model_type": "hy_v4_vl_text"}
    whole = {"model_type": "hy_v4_vl", "text_config": inner}
    assert ModelShape.from_config(whole).n_parameters == COUNTS["hy_v4"]
