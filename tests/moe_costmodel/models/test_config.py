"""ModelShape.from_config: counts as published and as transformers builds them; bad configs."""

import json

import pytest

from moe_costmodel import ModelShape
from tests.moe_costmodel.models.built import built

# Sizes from the models' public config.json files, and published counts in billions: all, active.
# DeepSeek-V3: arXiv 2412.19437. Mixtral: arXiv 2401.04088. OLMoE: arXiv 2409.02060. Qwen3: arXiv
# 2505.09388. gpt-oss: its model card, which leaves the embedding out of the active parameters.
DEEPSEEK_V3 = {
    "model_type": "deepseek_v3", "hidden_size": 7168, "num_hidden_layers": 61, "vocab_size": 129280,
    "intermediate_size": 18432, "moe_intermediate_size": 2048, "n_routed_experts": 256,
    "num_experts_per_tok": 8, "n_shared_experts": 1, "first_k_dense_replace": 3,
    "num_attention_heads": 128, "q_lora_rank": 1536, "kv_lora_rank": 512, "qk_nope_head_dim": 128,
    "qk_rope_head_dim": 64, "v_head_dim": 128, "num_nextn_predict_layers": 1,
    "quantization_config": {"quant_method": "fp8", "weight_block_size": [128, 128]},
}  # fmt: skip
OLMOE = {
    "model_type": "olmoe", "hidden_size": 2048, "num_hidden_layers": 16, "vocab_size": 50304,
    "intermediate_size": 1024, "num_experts": 64, "num_experts_per_tok": 8,
    "num_attention_heads": 16, "num_key_value_heads": 16,
}  # fmt: skip
QWEN3_30B = {
    "model_type": "qwen3_moe", "hidden_size": 2048, "num_hidden_layers": 48, "vocab_size": 151936,
    "intermediate_size": 6144, "moe_intermediate_size": 768, "num_experts": 128, "head_dim": 128,
    "num_experts_per_tok": 8, "num_attention_heads": 32, "num_key_value_heads": 4,
}  # fmt: skip
MIXTRAL = {
    "model_type": "mixtral", "hidden_size": 4096, "num_hidden_layers": 32, "vocab_size": 32000,
    "intermediate_size": 14336, "num_local_experts": 8, "num_experts_per_tok": 2,
    "num_attention_heads": 32, "num_key_value_heads": 8,
}  # fmt: skip
GPT_OSS = {
    "model_type": "gpt_oss", "hidden_size": 2880, "num_hidden_layers": 36, "vocab_size": 201088,
    "intermediate_size": 2880, "num_local_experts": 128, "num_experts_per_tok": 4, "head_dim": 64,
    "num_attention_heads": 64, "num_key_value_heads": 8, "sliding_window": 128,
    "quantization_config": {
        "quant_method": "mxfp4", "modules_to_not_convert": ["model.layers.*.self_attn", "lm_head"],
    },
}  # fmt: skip
LLAMA_70B = {
    "model_type": "llama", "hidden_size": 8192, "num_hidden_layers": 80, "vocab_size": 128256,
    "intermediate_size": 28672, "num_attention_heads": 64, "num_key_value_heads": 8,
}  # fmt: skip
# Ling-mini-2.0: its model card, 16 B parameters, 1.4 B active, 0.789 B without embedding and head.
LING_MINI = {
    "model_type": "bailing_moe", "hidden_size": 2048, "num_hidden_layers": 20, "vocab_size": 157184,
    "intermediate_size": 5120, "first_k_dense_replace": 1, "moe_intermediate_size": 512,
    "moe_shared_expert_intermediate_size": 512, "num_shared_experts": 1, "num_experts": 256,
    "num_experts_per_tok": 8, "num_attention_heads": 16, "num_key_value_heads": 4, "head_dim": 128,
    "use_qk_norm": True, "use_qkv_bias": False, "use_bias": False,
    "moe_router_enable_expert_bias": True,
}  # fmt: skip
LING_FLASH = LING_MINI | {
    "hidden_size": 4096, "num_hidden_layers": 32, "intermediate_size": 9216,
    "moe_intermediate_size": 1024, "moe_shared_expert_intermediate_size": 1024,
    "num_attention_heads": 32,
}  # fmt: skip
LING_LITE = {
    "model_type": "bailing_moe", "hidden_size": 2048, "num_hidden_layers": 28, "vocab_size": 126464,
    "intermediate_size": 1408, "first_k_dense_replace": 0, "moe_intermediate_size": 1408,
    "num_experts": 64, "num_shared_experts": 2, "num_experts_per_tok": 6, "use_bias": False,
    "num_attention_heads": 16, "num_key_value_heads": 4, "use_qkv_bias": False,
}  # fmt: skip
PUBLISHED = {
    "Ling-mini-2.0": (LING_MINI, 16.26, 1.43),
    "Ling-flash-2.0": (LING_FLASH, 102.9, 6.1),
    "Ling-lite-1.5": (LING_LITE, 16.8, 2.75),
    "DeepSeek-V3": (DEEPSEEK_V3, 671.0, 37.0),
    "Mixtral": (MIXTRAL, 46.7, 12.9),
    "OLMoE": (OLMOE, 6.9, 1.3),
    "Qwen3-30B-A3B": (QWEN3_30B, 30.5, 3.3),
    "Llama-3.1-70B": (LLAMA_70B, 70.6, 70.6),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_counts_are_those_published(name):
    config, total, active = PUBLISHED[name]
    shape = ModelShape.from_config(config)
    assert shape.n_parameters / 1e9 == pytest.approx(total, abs=0.06)
    # Published active counts are rounded, and leave the embedding in or out.
    assert shape.n_active / 1e9 == pytest.approx(active, rel=0.025)


def test_ling_counts_its_norms_of_heads_and_biases_of_routers():
    shape = ModelShape.from_config(LING_MINI)
    active = shape.active_parameters()
    outer = active["embedding"] + active["head"]
    assert (shape.n_active - outer) / 1e9 == pytest.approx(0.789, abs=0.0005)
    (dense, sparse) = sorted(shape.blocks, key=lambda block: block.n_layers)
    assert (dense.d_ffn, sparse.experts.d_shared, sparse.experts.router_extra) == (5120, 512, 256)
    assert sparse.attention.extra == 2 * 128
    plain = ModelShape.from_config(
        LING_MINI | {"moe_router_enable_expert_bias": False, "use_qk_norm": False}
    )
    assert plain.n_parameters == shape.n_parameters - 19 * 256 - 20 * 2 * 128
    assert ModelShape.from_config(LING_MINI | {"model_type": "bailing_moe_v2"}) == shape
    with pytest.raises(ValueError, match=r"'use_bias'.*false"):
        ModelShape.from_config(LING_MINI | {"use_bias": True})


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("bamba", "state-space layers"),
        ("lfm2", "short convolutions, but without experts,"),
        ("bailing_hybrid", "lightning attention of Ling-2.5"),
        ("jetmoe", "a choice of attention heads for each token"),
    ],
)
def test_hybrids_are_refused_with_what_to_do(name, words):
    expected = (
        rf"Models with {words} are not read: plan the MoE layers alone \(a LayerShape.*Got {name}"
    )
    with pytest.raises(ValueError, match=expected):
        ModelShape.from_config({"model_type": name})


def test_gpt_oss_counts_biases_and_leaves_its_attention_in_bfloat16():
    shape = ModelShape.from_config(GPT_OSS)
    assert shape.n_parameters / 1e9 == pytest.approx(116.83, abs=0.01)
    active = shape.n_active - shape.active_parameters()["embedding"]
    assert active / 1e9 == pytest.approx(5.13, abs=0.01)
    assert shape.dtypes["attention"] == "bfloat16"
    assert shape.dtypes["experts"] == "w4a16_mxfp4"
    assert sorted(block.attention.window for block in shape.blocks) == [0, 128]
    # Half of the layers stop growing at 128 tokens.
    per_layer = 2 * 8 * 64 * 2
    assert shape.kv_bytes(1000) == 18 * per_layer * (1000 + 128)


def test_deepseek_has_dense_layers_latent_cache_and_types():
    shape = ModelShape.from_config(DEEPSEEK_V3)
    assert (shape.n_layers, shape.n_dense_layers, shape.n_moe_layers) == (61, 3, 58)
    assert shape.kv_bytes_per_token() == 61 * (512 + 64) * 2
    assert shape.dtypes["experts"] == "fp8_block"
    assert shape.dtypes["embedding"] == "bfloat16"
    assert shape.layer_shape(n_devices=72).n_local == 4
    assert shape.next_token_layers == 1
    assert "58 MoE and 3 dense layers" in str(shape)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"model_type": "deepseek_v9"}, "nearest one is 'deepseek_v"),
        ({"hidden_size": None}, "hidden_size"),
        ({"num_experts_per_tok": 300}, "'num_experts_per_tok'.*at most n_routed_experts = 256"),
        ({"quantization_config": "fp8"}, "'quantization_config'.*object with quant_method.*'fp8'"),
        ({"layer_types": ["full_attention"] * 60 + ["foo"]}, r"'layer_types\[60\]'.*full_att"),
        ({"mlp_layer_types": ["sparse"] * 60 + ["foo"]}, r"'mlp_layer_types\[60\]'.*dense, sparse"),
        ({"n_routed_experts": None}, "'n_routed_experts' must be present"),
        ({"first_k_dense_replace": 62}, "'first_k_dense_replace' must be at most .* = 61"),
        ({"quantization_config": {"quant_method": "magic"}}, "magic"),
    ],
)
def test_bad_configs_name_field_and_value(tmp_path, change, words):
    path = tmp_path / "config.json"
    path.write_text(json.dumps(DEEPSEEK_V3 | change))
    with pytest.raises(ValueError, match=words) as error:
        ModelShape.from_config(path)
    assert "config.json" in str(error.value)


@pytest.mark.parametrize(
    ("scaling", "expected"),
    [
        (None, 4096),
        ({"rope_type": "llama3", "factor": 8.0, "original_max_position_embeddings": 512}, 4096),
        ({"type": "yarn", "factor": 2.0, "original_max_position_embeddings": 4096}, 8192),
        ({"type": "yarn", "factor": 4, "original_max_position_embeddings": 1024}, 4096),
        ({"rope_type": "linear", "factor": 8.0}, 32768),
        ({"rope_type": "dynamic", "factor": float("nan")}, 4096),
    ],
)
@pytest.mark.parametrize("name", ["rope_scaling", "rope_parameters"])
def test_the_longest_context_is_the_one_that_engines_derive(name, scaling, expected):
    config = OLMOE | {"max_position_embeddings": 4096, name: scaling}
    shape = ModelShape.from_config(config)
    assert shape.max_context == expected
    assert not shape.beyond_context(expected)
    assert f"{expected:,}" in shape.beyond_context(expected + 1)
    assert not ModelShape.from_config(OLMOE).beyond_context(10**9)


@pytest.mark.parametrize("n", [7, 64])
def test_heads_of_keys_divide_those_of_queries(n):
    words = f"'num_key_value_heads'.*a divisor of num_attention_heads = 32.*Got {n}"
    with pytest.raises(ValueError, match=words):
        ModelShape.from_config(MIXTRAL | {"num_key_value_heads": n})
    # Latent attention has no such heads, whatever its config says.
    assert ModelShape.from_config(DEEPSEEK_V3 | {"num_key_value_heads": n})


def test_a_quantization_beside_the_config_is_read(tmp_path):
    plain = {k: v for k, v in DEEPSEEK_V3.items() if k != "quantization_config"}
    (tmp_path / "config.json").write_text(json.dumps(plain))
    beside = {"quant_algo": "NVFP4", "exclude_modules": ["model.layers.*.self_attn.*"]}
    (tmp_path / "hf_quant_config.json").write_text(json.dumps({"quantization": beside}))
    dtypes = ModelShape.from_config(tmp_path).dtypes
    assert (dtypes["experts"], dtypes["attention"]) == ("nvfp4", "bfloat16")


@pytest.mark.parametrize("config", [GPT_OSS, MIXTRAL])
def test_a_model_of_experts_states_their_number(config):
    for wrong in (None, 0):
        with pytest.raises(ValueError, match="experts' must be"):
            ModelShape.from_config(config | {"num_local_experts": wrong})
    assert ModelShape.from_config(QWEN3_30B | {"num_experts": 0}).experts is None


@pytest.mark.parametrize("config", [QWEN3_30B, DEEPSEEK_V3])
def test_the_width_of_dense_layers_is_not_that_of_experts(config):
    lacking = {k: v for k, v in config.items() if k != "moe_intermediate_size"}
    with pytest.raises(ValueError, match="'moe_intermediate_size' must be present"):
        ModelShape.from_config(lacking)
    with pytest.raises(ValueError, match=r"'text_config\.moe_intermediate_size' must be present"):
        ModelShape.from_config({"model_type": "some_images", "text_config": lacking})
    assert ModelShape.from_config(MIXTRAL).experts.d_ffn == MIXTRAL["intermediate_size"]


@pytest.mark.parametrize("outside", [True, False, None])
@pytest.mark.parametrize("inside", [True, False, None])
def test_the_outer_field_ties_the_head_of_a_model_of_images(inside, outside):
    config = {
        "model_type": "qwen3_vl_moe",
        "tie_word_embeddings": outside,
        "text_config": QWEN3_30B | {"tie_word_embeddings": inside},
    }
    expected = bool(inside if outside is None else outside)
    assert ModelShape.from_config(config).tied == expected


def test_counts_are_those_of_transformers():
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    from tests.moe_costmodel.tiny_models import COMMON, DEEPSEEK, MODELS

    kinds = {name: (kind, kwargs) for name, (kind, kwargs, *_) in MODELS.items()}
    moe = COMMON | {"num_local_experts": 8, "head_dim": 8}
    kinds |= {
        "llama": ("Llama", COMMON), "qwen2-dense": ("Qwen2", COMMON),
        "qwen3-dense": ("Qwen3", COMMON | {"head_dim": 8}), "minimax": ("MiniMaxM2", moe),
        "glm5": (
            "GlmMoeDsa",
            DEEPSEEK | {"index_n_heads": 2, "index_head_dim": 8, "index_topk": 4},
        ),
        "glm5-shared": (
            "GlmMoeDsa",
            DEEPSEEK | {"index_n_heads": 2, "index_head_dim": 8, "index_topk": 4,
                        "num_hidden_layers": 6, "index_topk_freq": 3},
        ),
        "qwen3-next-biased": ("Qwen3Next", MODELS["qwen3-next"][1] | {"attention_bias": True}),
        "glm4-lite": ("Glm4MoeLite", DEEPSEEK),
        "qwen2-plain": ("Qwen2Moe", MODELS["qwen2"][1] | {"qkv_bias": False}),
        "gpt-oss-plain": ("GptOss", MODELS["gpt-oss"][1] | {"attention_bias": False}),
        "granite": ("GraniteMoe", moe), "flex": ("FlexOlmo", COMMON | {"num_experts": 8}),
        "granite-shared": ("GraniteMoeShared", moe | {"shared_intermediate_size": 12}),
        "phi": ("Phimoe", moe | {"attention_bias": True, "lm_head_bias": True}),
        "ernie": (
            "Ernie4_5_Moe",
            COMMON | {"moe_num_experts": 8, "moe_k": 2, "moe_intermediate_size": 8,
                      "moe_num_shared_experts": 2, "num_hidden_layers": 6,
                      "moe_layer_interval": 2, "moe_layer_end_index": 4},
        ),
        "dots": ("Dots1", DEEPSEEK | {"attention_bias": True}),
        "exaone": (
            "ExaoneMoe",
            COMMON | {"num_experts": 8, "moe_intermediate_size": 8, "num_shared_experts": 2},
        ),
        "solar": ("SolarOpen", DEEPSEEK | {"head_dim": 8, "attention_bias": True}),
        "hunyuan": (
            "HunYuanMoEV1", COMMON | {"num_experts": 8, "moe_topk": [2] * 3, "head_dim": 8}
        ),
        "tied": ("Llama", COMMON | {"tie_word_embeddings": True, "attention_bias": True}),
    }  # fmt: skip
    wrong = {}
    for name, (kind, kwargs) in kinds.items():
        if not hasattr(transformers, f"{kind}Config"):  # of a later transformers
            continue
        config = getattr(transformers, f"{kind}Config")(**kwargs)
        with torch.device("meta"):
            model = getattr(transformers, f"{kind}ForCausalLM")(config)
        expected = sum(p.numel() for p in model.parameters())
        # Corrections of the router's scores are buffers in transformers.
        expected += sum(b.numel() for n, b in model.named_buffers() if n.endswith("bias"))
        counted = ModelShape.from_config(config.to_dict()).n_parameters
        if counted != expected:
            wrong[name] = (counted, expected)
    assert wrong == {}


@pytest.mark.parametrize("step", [1, 2])
def test_llama_4_counts_and_chunks(step):
    pytest.importorskip("transformers")
    from tests.moe_costmodel.tiny_models import COMMON

    found, content = built(
        COMMON | {"num_hidden_layers": 6}, "llama4_text", num_local_experts=8, head_dim=8,
        intermediate_size_mlp=40, interleave_moe_layer_step=step, attention_chunk_size=16,
    )  # fmt: skip
    shape = ModelShape.from_config({"model_type": "llama4", "text_config": content})
    assert shape.n_parameters == found
    assert shape.n_moe_layers == 6 // step
    windows = {block.attention.window: block.n_layers for block in shape.blocks}
    assert step == 2 or windows == {16: 5, 0: 1}
    # Configs of the hub have neither of the lists that transformers derives.
    derived = ("layer_types", "moe_layers", "no_rope_layers")
    bare = {name: value for name, value in content.items() if name not in derived}
    assert ModelShape.from_config(bare) == shape


def test_ernie_shares_its_embedding_if_the_config_does_not_say():
    config = {
        "model_type": "ernie4_5_moe", "hidden_size": 16, "intermediate_size": 24,
        "num_hidden_layers": 2, "num_attention_heads": 2, "vocab_size": 50, "moe_num_experts": 4,
        "moe_k": 2, "moe_intermediate_size": 8, "num_key_value_heads": 2,
        "moe_num_shared_experts": 0,
    }  # fmt: skip
    assert ModelShape.from_config(config).tied
    assert not ModelShape.from_config(config | {"tie_word_embeddings": False}).tied


GLM5 = DEEPSEEK_V3 | {
    "model_type": "glm_moe_dsa", "num_hidden_layers": 8, "index_n_heads": 32,
    "index_head_dim": 128, "index_topk": 2048,
}  # fmt: skip


@pytest.mark.parametrize(
    ("fields", "n_shared"),
    [
        ({}, 0),
        ({"index_topk_freq": 4, "index_skip_topk_offset": 3}, 4),  # FFFSSSFS
        ({"index_topk_freq": 2}, 3),  # FFSFSFSF
        ({"index_topk_pattern": "FFFSSSFS"}, 4),
        ({"index_topk_pattern": "FSSSSSSS", "indexer_types": ["full"] * 7 + ["shared"]}, 1),
    ],
)
def test_layers_that_reuse_a_choice_have_no_indexer(fields, n_shared):
    shape, every = ModelShape.from_config(GLM5 | fields), ModelShape.from_config(GLM5)
    # Queries of the indexer come from the latent; its keys are cached, 128 values a token.
    one = 32 * 128 * 1536 + 128 * 7168 + 32 * 7168 + 2 * 128
    assert every.n_parameters - shape.n_parameters == n_shared * one
    assert every.kv_bytes_per_token() - shape.kv_bytes_per_token() == n_shared * 128 * 2
    assert all(block.attention.index_topk == 2048 for block in shape.blocks)
    assert (shape.n_layers, shape.n_dense_layers) == (8, 3)


def test_a_damaged_pattern_of_indexers_is_named():
    with pytest.raises(ValueError, match=r"'index_topk_pattern\[1\]'.*full, shared.*X"):
        ModelShape.from_config(GLM5 | {"index_topk_pattern": "FXFSSSFS"})
    with pytest.raises(ValueError, match=r"'indexer_types'.*list of 8 texts"):
        ModelShape.from_config(GLM5 | {"indexer_types": ["full"]})


def test_the_text_part_of_a_model_that_speaks_is_read():
    inner = {"text_config": QWEN3_30B | {"model_type": "qwen3_omni_moe_text"}}
    config = {"model_type": "qwen3_omni_moe", "thinker_config": inner}
    assert ModelShape.from_config(config).blocks == ModelShape.from_config(QWEN3_30B).blocks
    del inner["text_config"]["vocab_size"]
    with pytest.raises(ValueError, match=r"'thinker_config\.text_config\.vocab_size'"):
        ModelShape.from_config(config)


def test_experts_of_a_token_are_the_same_in_all_layers():
    sizes = ("hidden_size", "intermediate_size", "num_attention_heads", "vocab_size", "num_experts")
    config = {"model_type": "hunyuan_v1_moe", "moe_topk": [2, 1]} | dict.fromkeys(sizes, 8)
    with pytest.raises(ValueError, match=r"'moe_topk'.*list of equal ones.*\[2, 1\]"):
        ModelShape.from_config(config | {"num_hidden_layers": 2})
    listed = config | {"num_hidden_layers": 2, "moe_topk": [2, 2], "moe_intermediate_size": [4, 4]}
    assert ModelShape.from_config(listed).experts.d_ffn == 4
    ernie = listed | {"model_type": "ernie4_5_moe", "moe_num_shared_experts": 0, "use_bias": True}
    with pytest.raises(ValueError, match=r"'use_bias'.*false"):
        ModelShape.from_config(ernie | {"num_key_value_heads": 8})
