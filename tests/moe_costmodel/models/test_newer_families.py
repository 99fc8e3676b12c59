"""MiMo-V2, MiniMax-M3, Gemma-4, Nemotron-3, Step-3.7, Hy3 and AFMoE: sizes and caches."""

import importlib

import pytest

from moe_costmodel import Layout, ModelShape, gpu_memory
from moe_costmodel.models.config import moe_layer_numbers
from tests.moe_costmodel.models.built import built

COMMON = {"hidden_size": 64, "vocab_size": 50, "num_attention_heads": 8, "head_dim": 12}
MIMO = COMMON | {
    "model_type": "mimo_v2_flash", "num_hidden_layers": 3, "num_key_value_heads": 2,
    "v_head_dim": 8, "swa_num_key_value_heads": 4, "swa_head_dim": 12, "swa_v_head_dim": 8,
    "sliding_window": 16, "hybrid_layer_pattern": [0, 1, 0], "moe_layer_freq": [0, 1, 1],
    "intermediate_size": 96, "moe_intermediate_size": 24, "n_routed_experts": 6,
    "num_experts_per_tok": 2, "n_shared_experts": None,
}  # fmt: skip
MINIMAX = COMMON | {
    "model_type": "minimax_m3", "num_hidden_layers": 3, "num_key_value_heads": 2,
    "dense_intermediate_size": 96, "intermediate_size": 24, "shared_intermediate_size": 24,
    "num_local_experts": 6, "num_experts_per_tok": 2, "moe_layer_freq": [0, 1, 1],
    "sparse_attention_config": {
        "sparse_attention_freq": [0, 1, 1], "sparse_num_index_heads": 2, "sparse_index_dim": 8,
        "sparse_block_size": 4, "sparse_topk_blocks": 2,
    },
}  # fmt: skip
GEMMA = COMMON | {
    "model_type": "gemma4_text", "num_hidden_layers": 2, "num_key_value_heads": 4,
    "global_head_dim": 24, "num_global_key_value_heads": 2, "attention_k_eq_v": True,
    "layer_types": ["sliding_attention", "full_attention"], "sliding_window": 16,
    "intermediate_size": 40, "moe_intermediate_size": 16, "num_experts": 6, "top_k_experts": 2,
    "enable_moe_block": True, "hidden_size_per_layer_input": 0,
}  # fmt: skip
NEMOTRON = COMMON | {
    "model_type": "nemotron_h", "hybrid_override_pattern": "MEM*E", "num_key_value_heads": 2,
    "mamba_num_heads": 8, "mamba_head_dim": 4, "n_groups": 2, "ssm_state_size": 16,
    "conv_kernel": 4, "moe_intermediate_size": 24, "moe_latent_size": 32, "n_routed_experts": 6,
    "moe_shared_expert_intermediate_size": 48, "num_experts_per_tok": 2, "n_shared_experts": 1,
    "intermediate_size": 24,
}  # fmt: skip
STEP = COMMON | {
    "model_type": "step3p5", "num_hidden_layers": 5, "num_attention_groups": 2,
    "intermediate_size": 96, "moe_intermediate_size": 20, "share_expert_dim": 24,
    "moe_num_experts": 6, "moe_top_k": 2, "moe_layers_enum": "2,3,4", "sliding_window": 16,
    "layer_types": ["full_attention", *["sliding_attention"] * 4, "full_attention"],
    "num_nextn_predict_layers": 1,
    "attention_other_setting": {"num_attention_heads": 12, "num_attention_groups": 2},
}  # fmt: skip
HY = COMMON | {
    "model_type": "hy_v3", "num_hidden_layers": 3, "num_key_value_heads": 2, "num_experts": 6,
    "intermediate_size": 96, "moe_intermediate_size": 24, "num_experts_per_tok": 2,
    "num_shared_experts": 2,
}  # fmt: skip
AFMOE = HY | {
    "model_type": "afmoe", "num_hidden_layers": 6, "num_dense_layers": 2, "sliding_window": 16,
    "global_attn_every_n_layers": 3,
}  # fmt: skip
CLASSES = {
    "MiMoV2Flash": MIMO, "Gemma4": GEMMA, "NemotronH": NEMOTRON, "HYV3": HY, "Afmoe": AFMOE,
}  # fmt: skip


@pytest.mark.parametrize("name", CLASSES)
def test_counts_are_those_of_transformers(name):
    content = {k: v for k, v in CLASSES[name].items() if not k.startswith("swa_")}
    if name == "MiMoV2Flash":
        content["layer_types"] = ["full_attention", "sliding_attention", "full_attention"]
        content["mlp_layer_types"] = ["dense", "sparse", "sparse"]
    assert ModelShape.from_config(CLASSES[name]).n_parameters == built(content)[0]


@pytest.mark.parametrize(
    ("config", "name", "expected"),
    [(MINIMAX, "MiniMaxM3VLText", 139_828), (STEP, "Step3p7Text", 233_162)],
)
def test_counts_of_models_that_also_see_are_those_of_their_text(config, name, expected):
    assert ModelShape.from_config(config).n_parameters == expected
    # Some files of models that also read images tell the type of the whole only.
    outer = {"step3p5": "step3p7", "minimax_m3": "minimax_m3_vl"}[config["model_type"]]
    inner = {k: v for k, v in config.items() if k != "model_type"}
    whole = {"model_type": outer, "text_config": inner}
    assert ModelShape.from_config(whole) == ModelShape.from_config(config)
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    if not hasattr(transformers, f"{name}Config"):
        pytest.skip("a later transformers has this class")
    made = getattr(transformers, f"{name}Config")(**inner, pad_token_id=1)
    module = importlib.import_module(type(made).__module__.replace("configuration_", "modeling_"))
    with torch.device("meta"):
        model = getattr(module, f"{name}Model")(made)
    found = sum(p.numel() for p in model.parameters()) + 50 * 64  # without a head
    assert (
        found + sum(b.numel() for n, b in model.named_buffers() if n.endswith("bias")) == expected
    )
    assert ModelShape.from_config(made.to_dict()).n_parameters == expected


def test_afmoe_has_windows_between_layers_that_see_all():
    shape = ModelShape.from_config(AFMOE)
    assert shape.n_parameters == 323_048  # as in transformers 5.24
    assert shape.kv_bytes(100) == 2 * (2 * 100 + 4 * 16) * 2 * 2 * 12
    assert moe_layer_numbers(AFMOE) == (2, 3, 4, 5)
    assert moe_layer_numbers(HY) == (1, 2)
    assert ModelShape.from_config(HY).n_parameters == 145_940


def test_step_has_more_heads_in_layers_with_a_window():
    shape = ModelShape.from_config(STEP)
    heads = {
        (b.attention.window, b.attention.n_heads, b.attention.n_kv_heads) for b in shape.blocks
    }
    assert heads == {(0, 8, 2), (16, 12, 2)}
    assert moe_layer_numbers(STEP) == (2, 3, 4)
    assert moe_layer_numbers(STEP | {"moe_layers_enum": [4]}) == (4,)
    assert moe_layer_numbers(STEP | {"moe_layers_enum": None}) == (3, 4)
    assert shape.next_token_layers == 1
    assert shape.kv_bytes(100) == 2 * (100 + 4 * 16) * 2 * 2 * 12


def test_caches_count_windows_values_and_indexers():
    assert ModelShape.from_config(MIMO).kv_bytes(100) == 2 * (2 * 100 * 2 + 16 * 4) * (12 + 8)
    shape = ModelShape.from_config(MINIMAX)
    assert shape.kv_bytes_per_token() == 2 * (3 * 2 * 2 * 12 + 2 * 8)
    assert {b.attention.index_topk for b in shape.blocks} == {0, 8}
    # Four GPUs hold copies of the two heads, and each holds all keys of the indexers.
    memory = gpu_memory(shape, Layout(tp=4, moe_ep=4), 1, 100)
    assert memory.cache == 100 * 2 * (3 * 2 * 12 + 2 * 8)
    shape = ModelShape.from_config(GEMMA)
    assert shape.kv_bytes(100) == 2 * 2 * (16 * 4 * 12 + 100 * 2 * 24)
    assert shape.experts.d_shared == 40


def test_nemotron_pairs_mixers_with_feed_forward_parts():
    shape = ModelShape.from_config(NEMOTRON)
    assert (shape.n_layers, shape.n_moe_layers) == (3, 2)
    assert moe_layer_numbers(NEMOTRON) == (1, 4)
    state = 4 * 8 * 4 * 16 + 2 * (8 * 4 + 2 * 2 * 16) * 3
    assert shape.kv_bytes(10) == 2 * state + 10 * 2 * 2 * 2 * 12
    assert shape.layer_shape().d_model == 32
    assert not shape.experts.gated
    assert "2 MoE and 0 dense layers, 1 without feed-forward part" in str(shape)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (NEMOTRON | {"hybrid_override_pattern": "EM"}, r"pattern\[0\]'.*before each feed-forward"),
        (NEMOTRON | {"hybrid_override_pattern": "MX"}, r"hybrid_override_pattern\[1\]'.*X"),
        (MIMO | {"hybrid_layer_pattern": [0, 2, 0]}, "'hybrid_layer_pattern'.*0 and 1"),
        (STEP | {"moe_layers_enum": "3,x"}, "'moe_layers_enum'.*commas"),
        (STEP | {"attention_other_setting": [12]}, "'attention_other_setting'.*object"),
        (GEMMA | {"num_kv_shared_layers": 1}, "'num_kv_shared_layers'.*share a cache"),
    ],
)
def test_damaged_layers_are_named(config, words):
    with pytest.raises(ValueError, match=words):
        ModelShape.from_config(config)


def test_quantized_experts_beside_plain_dense_parts():
    quantization = {"quant_algo": "NVFP4", "exclude_modules": ["layers.0.mlp*", "layers.1.mlp*"]}
    types = ModelShape.from_config(GEMMA | {"quantization_config": quantization}).dtypes
    assert (types["experts"], types["shared"]) == ("nvfp4", "bfloat16")
