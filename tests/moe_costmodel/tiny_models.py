"""Tiny randomly initialized Hugging Face models of every family; nothing is downloaded."""

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
    # Not of a family that is named, but its routers answer alike.
    "glm4": ("Glm4Moe", DEEPSEEK | {"head_dim": 8}, "mlp.gate", [1, 2]),
    "gpt-oss": (
        "GptOss",
        COMMON | {"num_local_experts": 8, "head_dim": 8},
        "mlp.router",
        [0, 1, 2],
    ),
}


def build(name):
    family, settings, *_ = MODELS[name]
    torch.manual_seed(0)
    config = getattr(transformers, f"{family}Config")(**settings)
    model = getattr(transformers, f"{family}ForCausalLM")(config)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return model.eval()


def ids(*shape):
    return torch.randint(1, 50, shape, generator=torch.Generator().manual_seed(1))
