"""Architectures of language models: what their config.json leaves unsaid."""

from __future__ import annotations

from dataclasses import dataclass, replace

__all__ = ["ALIASES", "ARCHITECTURES", "HYBRIDS", "Architecture"]


@dataclass(frozen=True)
class Architecture:
    """Facts of an architecture that its config.json does not hold.

    `qkv_bias` and `output_bias` tell whether attention has biases; `None` stands for the config's
    ``attention_bias``. If the config has the field `bias_field`, and it is false, there are none.
    `qk_norm` is the width of the norms of queries and keys: of a head, of all heads, or none.
    """

    attention: str = "gqa"
    experts: bool = True  # the config must state their number
    qkv_bias: bool | None = None
    output_bias: bool | None = None
    bias_field: str = ""
    qk_norm: str = ""  # "head", "all"
    router_bias: bool = False  # a bias or a correction of scores per expert
    router_field: str = ""  # field that tells whether there is such a bias
    expert_biases: bool = False
    sinks: bool = False
    shared_gate: bool = False
    gated_output: bool = False
    # "number" (n_shared_experts), "width", "width by number", or "one" as wide as an expert
    shared: str = ""
    dense_width: str = "intermediate_size"  # field with the inner width of dense layers
    parallel: bool = False  # a dense part beside the experts of each layer
    gated: bool = True  # feed-forward parts have a gate
    kinds: tuple[str, ...] = ()  # further kinds of attention
    kimi_delta: bool = False  # linear attention is Kimi delta attention
    hashed: bool = False  # the first layers choose experts by a table of tokens
    streams: str = ""  # hyper-connections: "manifold", or "independent" ones (HY-4)
    collapsed: bool = False  # a product collapses their streams after the last layer
    single_parts: bool = False  # mixers and feed-forward parts are layers of their own
    heads: str = ""  # rule of the heads of each kind: "gemma4", "mimo", "step" or "laguna"
    interval: str = ""  # rule of the layers with experts: "llama4", "ernie" or "step"
    norm_biases: bool = False
    norms: tuple[int, int] = (2, 2)  # vectors of the norms of a layer, dense and with experts
    dense_first: bool = False  # first_k_dense_replace
    paired: bool = False  # each layer is two: one with experts beside its dense part, one without
    sparse_step: bool = False  # decoder_sparse_step, mlp_only_layers
    windowed: bool = False  # sliding_window counts
    tied: bool = False  # if the config does not say so


_DEEPSEEK3 = Architecture("mla", router_bias=True, shared="number", dense_first=True)
_KIMI_LINEAR = Architecture(
    "mla", router_bias=True, shared="number", dense_first=True, kimi_delta=True
)
_QWEN_NEXT = Architecture(
    qk_norm="head", shared="width", shared_gate=True, gated_output=True, sparse_step=True
)
_GLM4 = Architecture(
    output_bias=False, router_bias=True, shared="number", dense_first=True, qk_norm="optional"
)

ARCHITECTURES: dict[str, Architecture] = {
    "bailing_moe": Architecture(  # Ling and Ring, 1.5 and 2.0
        qkv_bias=True, output_bias=False, bias_field="use_qkv_bias", qk_norm="optional",
        router_field="moe_router_enable_expert_bias", shared="width by number", dense_first=True,
    ),
    "afmoe": Architecture(
        qk_norm="head", router_bias=True, shared="number", gated_output=True, dense_first=True,
        norms=(4, 4),
    ),
    "axk1": Architecture(
        "mla", router_bias=True, shared="number", dense_first=True, norms=(2, 3)
    ),
    "llama": Architecture(experts=False),
    "mistral": Architecture(experts=False, qkv_bias=False, output_bias=False, windowed=True),
    "qwen2": Architecture(experts=False, qkv_bias=True, output_bias=False),
    "qwen3": Architecture(experts=False, qk_norm="head"),
    "mistral4": Architecture("mla", shared="number", dense_first=True),
    "mixtral": Architecture(qkv_bias=False, output_bias=False, windowed=True),
    "olmoe": Architecture(qk_norm="all"),
    "qwen2_moe": Architecture(
        qkv_bias=True, output_bias=False, bias_field="qkv_bias", shared="width", shared_gate=True,
        sparse_step=True,
    ),
    "qwen3_moe": Architecture(qk_norm="head", sparse_step=True),
    "qwen3_next": _QWEN_NEXT,
    "qwen3_5_moe": _QWEN_NEXT,
    "qwen3_5": Architecture(experts=False, qk_norm="head", gated_output=True),
    "deepseek_v2": Architecture("mla", shared="number", dense_first=True),
    "deepseek_v3": _DEEPSEEK3,
    "deepseek_v32": _DEEPSEEK3,
    "deepseek_v4": Architecture(
        "compressed", router_bias=True, shared="one", hashed=True, streams="manifold",
        collapsed=True,
        kinds=("compressed_sparse_attention", "heavily_compressed_attention"),
    ),
    "kimi_k2": _DEEPSEEK3,
    "kimi_k3": _KIMI_LINEAR,
    "kimi_linear": _KIMI_LINEAR,
    "glm4_moe": _GLM4,
    "glm4_moe_lite": _DEEPSEEK3,
    "glm_moe_dsa": _DEEPSEEK3,
    "glm5_next": Architecture(
        "mla", router_bias=True, shared="number", dense_first=True, kimi_delta=True,
        streams="manifold",
    ),
    "minimax_m2": Architecture(
        qkv_bias=False, output_bias=False, qk_norm="all", router_bias=True
    ),
    "minimax_m3": Architecture(
        qkv_bias=False, output_bias=False, qk_norm="head", router_bias=True, shared="width",
        dense_width="dense_intermediate_size", dense_first=True, kinds=("minimax_m3_sparse",),
    ),
    "mimo_v2_flash": Architecture(
        router_bias=True, shared="number", dense_first=True, heads="mimo"
    ),
    "gemma4": Architecture(
        experts=False, qk_norm="head", tied=True, parallel=True, heads="gemma4",
        norms=(4, 7),
    ),
    "nemotron_h": Architecture(
        experts=False, router_bias=True, shared="nemotron", gated=False, single_parts=True,
        kinds=("mamba",),
    ),
    "dots1": Architecture(qk_norm="head", router_bias=True, shared="number", dense_first=True),
    "ernie4_5_moe": Architecture(
        qkv_bias=False, output_bias=False, router_bias=True, shared="number", interval="ernie",
        tied=True,
    ),
    "exaone_moe": Architecture(
        qkv_bias=False, output_bias=False, qk_norm="head", router_bias=True, shared="number",
        dense_first=True,
    ),
    "flex_olmo": Architecture(qk_norm="all"),
    "granitemoe": Architecture(),
    "granitemoeshared": Architecture(shared="width"),
    "granitemoe_swa": Architecture(shared="width", sinks=True),
    # Layers without experts have the shared part alone.
    "granitemoehybrid": Architecture(
        experts=False, shared="width", dense_width="shared_intermediate_size", kinds=("mamba",)
    ),
    "jamba": Architecture(qkv_bias=False, output_bias=False, kinds=("mamba1",)),
    "minimax": Architecture(qkv_bias=False, output_bias=False, kinds=("lightning",)),
    "lfm2_moe": Architecture(
        qkv_bias=False, output_bias=False, qk_norm="head", router_field="use_expert_bias",
        dense_first=True, tied=True, kinds=("conv",),
    ),
    "hy_v3": Architecture(qk_norm="head", router_bias=True, shared="number", dense_first=True),
    "hy_v4": Architecture(
        "mla", router_bias=True, shared="number", dense_first=True, sinks=True, gated_output=True,
        streams="independent", collapsed=True,
    ),
    "cohere2_moe": Architecture(
        shared="number", dense_width="prefix_dense_intermediate_size", dense_first=True, tied=True,
        norms=(1, 1),
    ),
    "laguna": Architecture(
        qk_norm="head", router_bias=True, shared="width", dense_first=True, heads="laguna"
    ),
    "longcat_flash": Architecture("mla", router_bias=True, parallel=True, paired=True),
    "mellum": Architecture(qk_norm="head", dense_first=True),
    "sarvam_mla": _DEEPSEEK3,
    "sarvam_moe": _GLM4,
    "hunyuan_v1_moe": Architecture(qk_norm="head", shared="one"),
    "llama4_text": Architecture(
        shared="one", dense_width="intermediate_size_mlp", interval="llama4"
    ),
    "phimoe": Architecture(norm_biases=True, norms=(4, 4), windowed=True),
    "step3p5": Architecture(
        qk_norm="head", router_bias=True, shared="width", interval="step", heads="step"
    ),
    "minicpm5_moe": Architecture(
        router_bias=True, shared="number", gated_output=True, dense_first=True
    ),
    "param2moe": replace(_GLM4, tied=True),
    "solar_open": Architecture(output_bias=False, router_bias=True, shared="number"),
    "gpt_oss": Architecture(
        qkv_bias=True, output_bias=True, bias_field="attention_bias", router_bias=True,
        expert_biases=True, sinks=True, windowed=True,
    ),
}  # fmt: skip

# Models of images and text hold one of these as `text_config`; others go by two names.
ALIASES = {
    "bailing_moe_v2": "bailing_moe",
    "deepseek_ref": "deepseek_v4",  # of files whose weights were converted to FP8
    "glm4v_moe_text": "glm4_moe",
    "glm5_next_text": "glm5_next",
    "hy_v4_vl_text": "hy_v4",
    "gemma4_text": "gemma4",
    "kimi_k25": "kimi_k2",
    "step3p7": "step3p5",
    "minimax_m1": "minimax",
    "minimax_text_01": "minimax",
    "minimax_m3_vl": "minimax_m3",
    "minimax_m3_vl_text": "minimax_m3",
    "qwen3_5_moe_text": "qwen3_5_moe",
    "qwen3_5_text": "qwen3_5",
    "qwen3_omni_moe_text": "qwen3_moe",
    "qwen3_vl_moe_text": "qwen3_moe",
    "qwen3_vl_moe": "qwen3_moe",
    "qwen3_vl_text": "qwen3",
    "qwen3_vl": "qwen3",
}

# Hybrids that are not read, by the kind of their layers.
HYBRIDS = {
    **dict.fromkeys(
        ("bamba", "falcon_h1", "zamba2"),
        "state-space layers",
    ),
    "lfm2": "short convolutions, but without experts,",
    "bailing_hybrid": "lightning attention of Ling-2.5",
    "dots3_note_text": "latent attention of two sizes",
    **dict.fromkeys(
        ("ernie4_5_vl_moe", "ernie4_5_vl_moe_text"), "experts of two sizes, for texts and images,"
    ),
    **dict.fromkeys(
        ("inkling_text", "inkling2_text", "inkling2_loop_text"), "convolutions inside of attention"
    ),
    "jetmoe": "a choice of attention heads for each token",
    "longcat_flash_ngram": "embeddings of several tokens",
    "mistral_large4_text": "layers that attend to the latents of another layer",
    "muse_spark_text": "products before and after their experts",
    "qwen4_exp_text": "embeddings of several tokens",
    "zaya": "convolutions inside of attention",
}
