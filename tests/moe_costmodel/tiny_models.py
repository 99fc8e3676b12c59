"""Tiny, randomly initialized Hugging Face models of every family, without downloads."""

import pytest
import torch
import transformers

COMMON = {
    "vocab_size": 50,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "num_experts_per_tok": 2,
    "max_position_embeddings": 64,
    "bos_token_id": None,
    "eos_token_id": None,
    "pad_token_id": None,
}
DEEPSEEK = COMMON | {
    "first_k_dense_replace": 1,
    "n_routed_experts": 8,
    "n_shared_experts": 1,
    "moe_intermediate_size": 8,
    "kv_lora_rank": 8,
    "q_lora_rank": 8,
    "qk_rope_head_dim": 4,
    "qk_nope_head_dim": 4,
    "v_head_dim": 8,
    "n_group": 2,
    "topk_group": 1,
}
QWEN = {"num_experts": 8, "moe_intermediate_size": 8}
MODELS = {
    "mixtral": ("Mixtral", COMMON | {"num_local_experts": 8}, "mlp.gate", [0, 1, 2]),
    "olmoe": ("Olmoe", COMMON | {"num_experts": 8}, "mlp.gate", [0, 1, 2]),
    "qwen2": (
        "Qwen2Moe",
        COMMON | QWEN | {"shared_expert_intermediate_size": 8, "mlp_only_layers": [1]},
        "mlp.gate",
        [0, 2],
    ),
    "qwen3": ("Qwen3Moe", COMMON | QWEN | {"head_dim": 8}, "mlp.gate", [0, 1, 2]),
    "deepseek2": ("DeepseekV2", DEEPSEEK, "mlp.gate", [1, 2]),
    "deepseek3": ("DeepseekV3", DEEPSEEK, "mlp.gate", [1, 2]),
    "qwen3-next": (
        "Qwen3Next",
        COMMON
        | QWEN
        | {
            "head_dim": 8,
            "shared_expert_intermediate_size": 8,
            "layer_types": ["linear_attention", "linear_attention", "full_attention"],
            "linear_num_key_heads": 2,
            "linear_num_value_heads": 2,
            "linear_key_head_dim": 8,
            "linear_value_head_dim": 8,
        },
        "mlp.gate",
        [0, 1, 2],
    ),
    # Its family has no entry of its own; its routers return the same values as those of others.
    "glm4": ("Glm4Moe", DEEPSEEK | {"head_dim": 8}, "mlp.gate", [1, 2]),
    "gpt-oss": (
        "GptOss",
        COMMON | {"num_local_experts": 8, "head_dim": 8},
        "mlp.router",
        [0, 1, 2],
    ),
}


# Models whose choices are read elsewhere than in the triple that a router returns.
OTHERS = {
    "llama4": (
        "Llama4",
        COMMON | {"num_local_experts": 8, "head_dim": 8, "intermediate_size_mlp": 24},
        "feed_forward.router",
        [0, 1, 2],
    ),
    "dbrx": (
        "Dbrx",
        {
            "d_model": 16, "n_heads": 2, "n_layers": 3, "vocab_size": 50, "max_seq_len": 64,
            "attn_config": {"kv_n_heads": 2, "clip_qkv": 8.0, "rope_theta": 1e4},
            "ffn_config": {
                "ffn_hidden_size": 24, "moe_num_experts": 8, "moe_top_k": 2, "hidden_size": 16
            },
        },
        "ffn.experts",
        [0, 1, 2],
    ),
    "hunyuan": ("HunYuanMoEV1", COMMON | {"num_experts": 8, "moe_topk": 2, "head_dim": 8},
                "mlp.experts", [0, 1, 2]),
    "gemma4": (
        "Gemma4",
        COMMON
        | {
            "num_experts": 8, "moe_intermediate_size": 8, "top_k_experts": 2, "head_dim": 8,
            "enable_moe_block": True, "hidden_size_per_layer_input": 0, "global_head_dim": 8,
            "num_global_key_value_heads": 2, "num_kv_shared_layers": 0,
            "layer_types": ["sliding_attention", "sliding_attention", "full_attention"],
        },
        "experts",
        [0, 1, 2],
    ),
    "nemotron": (
        "NemotronH",
        COMMON
        | {
            # transformers 5.25 takes the length of its cache from the first layer.
            "layers_block_type": ["attention", "moe", "moe"], "n_routed_experts": 8, "head_dim": 8,
            "moe_intermediate_size": 8, "moe_shared_expert_intermediate_size": 8, "n_group": 1,
            "topk_group": 1, "mamba_num_heads": 4, "mamba_head_dim": 8, "n_groups": 1,
            "ssm_state_size": 8,
        },
        "mixer.gate",
        [1, 2],
    ),
}  # fmt: skip


def switch():
    """Return an encoder-decoder model with top-1 routing and capacities."""
    torch.manual_seed(0)
    config = transformers.SwitchTransformersConfig(
        vocab_size=50, d_model=16, d_kv=8, d_ff=24, num_layers=4, num_decoder_layers=4, num_heads=2,
        num_experts=6, num_sparse_encoder_layers=2, num_sparse_decoder_layers=2, expert_capacity=2,
        decoder_start_token_id=0, eos_token_id=None,
    )  # fmt: skip
    return transformers.SwitchTransformersForConditionalGeneration(config).eval()


def nllb():
    """Return an encoder-decoder model with top-2 routing."""
    torch.manual_seed(0)
    config = transformers.NllbMoeConfig(
        vocab_size=50, d_model=16, encoder_layers=4, decoder_layers=4, encoder_ffn_dim=24,
        decoder_ffn_dim=24, encoder_attention_heads=2, decoder_attention_heads=2,
        encoder_sparse_step=2, decoder_sparse_step=2, num_experts=6, expert_capacity=64,
        max_position_embeddings=64,
    )  # fmt: skip
    return transformers.NllbMoeForConditionalGeneration(config).eval()


def build(name):
    """Return a decoder of a family, with random weights."""
    family, settings, *_ = (MODELS | OTHERS)[name]
    kinds = (f"{family}TextConfig", f"{family}Config")
    kind = next((kind for kind in kinds if hasattr(transformers, kind)), None)
    if kind is None:
        pytest.skip(f"transformers {transformers.__version__} has no {family}")
    torch.manual_seed(0)
    config = getattr(transformers, kind)(**settings)
    model = getattr(transformers, f"{family}ForCausalLM")(config)
    for key, parameter in model.named_parameters():
        torch.nn.init.normal_(parameter, std=0.3)
        if key.endswith("per_expert_scale"):  # a factor of weights, which are positive
            parameter.data.abs_()
    return model.eval()


def ids(*shape):
    return torch.randint(1, 50, shape, generator=torch.Generator().manual_seed(1))
