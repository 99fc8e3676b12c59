"""Fields without which a config.json does not tell the sizes of its model.

transformers has a number of its own for each of them. A file that leaves one out would be read as
a model without that part, so it is refused instead.
"""

from __future__ import annotations

from moe_costmodel.models.fields import ConfigFields
from moela.files.guard import invalid_file

__all__ = ["check_complete"]

_DENSE = "first_k_dense_replace|mlp_layer_types"
_KV = "num_key_value_heads"
_DEEPSEEK = ("q_lora_rank", "n_shared_experts", _DENSE)
_INDEXED = (*_DEEPSEEK, "index_n_heads", "index_head_dim", "index_topk")
_SHARED_WIDTH = "shared_expert_intermediate_size"
_NEEDED: dict[str, tuple[str, ...]] = {
    "afmoe": ("head_dim", "num_shared_experts"),
    "axk1": _DEEPSEEK,
    "cohere2_moe": ("head_dim", "num_shared_experts"),
    "deepseek_v2": ("q_lora_rank", "n_shared_experts"),
    "deepseek_v3": _DEEPSEEK, "kimi_k2": _DEEPSEEK, "glm4_moe_lite": _DEEPSEEK,
    "deepseek_v32": _INDEXED, "glm_moe_dsa": _INDEXED, "glm5_next": _INDEXED,
    "dots1": (_KV,),
    "ernie4_5_moe": (_KV, "moe_num_shared_experts"),
    "exaone_moe": (_KV, "num_shared_experts", _DENSE, "layer_types"),
    "gemma4": (_KV, "head_dim", "layer_types"),
    "glm4_moe": (_KV, "n_shared_experts", _DENSE, "attention_bias"),
    "gpt_oss": (_KV, "head_dim"),
    "granitemoe_swa": ("shared_intermediate_size", "layer_types"),
    "granitemoehybrid": ("num_local_experts", "shared_intermediate_size"),
    "hy_v3": (_KV, "head_dim", "num_shared_experts"),
    "hy_v4": (*_INDEXED, "indexer_types"),
    "jamba": (_KV,),
    "kimi_linear": ("num_shared_experts|n_shared_experts", _DENSE, "layer_types"),
    "laguna": (_KV, "head_dim", _SHARED_WIDTH, "layer_types", _DENSE),
    "lfm2_moe": (_KV,),
    "longcat_flash": ("q_lora_rank",),
    "llama4_text": (_KV,),
    "mellum": (_KV, "head_dim", "layer_types", _DENSE),
    "mimo_v2_flash": (_KV, "head_dim", "v_head_dim", "mlp_layer_types"),
    "minicpm5_moe": (_KV, "head_dim", "n_shared_experts", _DENSE, "attention_bias"),
    "minimax": (_KV,),
    "minimax_m2": (_KV, "head_dim"),
    "minimax_m3": (_KV, "head_dim", "shared_intermediate_size"),
    "mistral": (_KV, "sliding_window"),
    "mistral4": ("q_lora_rank", "n_shared_experts"),
    "mixtral": (_KV,),
    "nemotron_h": (_KV, "head_dim"),
    "param2moe": (_KV, "head_dim", "use_qk_norm", "n_shared_experts|num_shared_experts", _DENSE),
    "phimoe": (_KV,),
    "qwen2": (_KV,),
    "qwen2_moe": (_KV, _SHARED_WIDTH),
    "qwen3": (_KV, "head_dim"),
    "qwen3_5": (_KV, "head_dim"),
    "qwen3_5_moe": (_KV, "head_dim", _SHARED_WIDTH),
    "qwen3_moe": (_KV,),
    "qwen3_next": (_KV, "head_dim", _SHARED_WIDTH),
    "sarvam_mla": ("n_shared_experts|num_shared_experts", _DENSE),
    "sarvam_moe": (_KV, "head_dim", "use_qk_norm", "n_shared_experts|num_shared_experts", _DENSE),
    "solar_open": (_KV, "head_dim", "n_shared_experts"),
    "step3p5": (_KV, "head_dim", "share_expert_dim", "layer_types"),
}  # fmt: skip
# Biases that no released model of the architecture has, and that are counted in none of its parts.
_BIASES = ("use_bias", "mlp_bias", "attention_bias", "mamba_proj_bias")
_WITHOUT: dict[str, tuple[str, ...]] = {
    "afmoe": ("attention_bias",),
    "bailing_moe": ("use_bias",),
    "ernie4_5_moe": ("use_bias",),
    "nemotron_h": _BIASES,
}


def check_complete(name: str, fields: ConfigFields) -> None:
    """Check that a config, in usual words, tells everything that its architecture leaves open.

    A field may be null. A ValueError names the first one that is missing, or that says what cannot
    be read.
    """
    for names in _NEEDED.get(name, ()):
        first, *others = names.split("|")
        if not {first, *others} & set(fields.content):
            more = f" (or {', '.join(others)})" if others else ""
            expected = f"present{more}: without it the sizes of {name} are not known"
            raise invalid_file(fields.source, "no such field", expected, fields.place(first))
    for bias in _WITHOUT.get(name, ()):
        if fields.flag(bias):
            expected = "false, as in all released models of this architecture"
            raise invalid_file(fields.source, "true", expected, fields.place(bias))
