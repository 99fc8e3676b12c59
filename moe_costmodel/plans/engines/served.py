"""Architectures that engines serve, as their packages and documentation list them."""

from __future__ import annotations

from moe_costmodel.models.families import ARCHITECTURES

__all__ = ["BY_TRANSFORMERS", "NOT_SERVED", "served_notes"]

# Known architectures without a class in SGLang 0.5.23, vLLM 0.34 and sglang-kt 0.7.2, without a
# conversion to GGUF in llama-cpp-python 0.3.36, and absent from TensorRT-LLM's list of supported
# models (docs/source/models/supported-models.md at 00b6d5a25c30).
NOT_SERVED: dict[str, frozenset[str]] = {
    "sglang": frozenset([
        "axk1", "dots1", "flex_olmo", "jamba", "minicpm5_moe", "minimax", "param2moe", "solar_open",
    ]),
    "vllm": frozenset(["dots1", "minicpm5_moe", "minimax", "solar_open"]),
    "ktransformers": frozenset([
        "axk1", "cohere2_moe", "dots1", "flex_olmo", "gemma4", "granitemoe_swa",
        "granitemoeshared", "hy_v3", "hy_v4", "jamba", "kimi_k3", "laguna", "mellum",
        "minicpm5_moe", "minimax", "param2moe", "sarvam_mla", "sarvam_moe", "solar_open",
    ]),
    "llamacpp": frozenset([
        "axk1", "flex_olmo", "longcat_flash", "minicpm5_moe", "param2moe", "sarvam_mla",
    ]),
    "trtllm": frozenset([
        "axk1", "bailing_moe", "cohere2_moe", "dots1", "ernie4_5_moe", "flex_olmo", "glm5_next",
        "granitemoe", "granitemoe_swa", "granitemoeshared", "hy_v3", "hy_v4", "jamba", "kimi_k3",
        "kimi_linear", "lfm2_moe", "longcat_flash", "mellum", "mimo_v2_flash", "minicpm5_moe",
        "minimax", "mistral4", "olmoe", "param2moe", "phimoe", "qwen2_moe", "qwen3_5",
        "sarvam_mla", "sarvam_moe", "solar_open",
    ]),
}  # fmt: skip
# Architectures for which vLLM 0.34 runs the classes of transformers.
BY_TRANSFORMERS = frozenset(["flex_olmo", "hunyuan_v1_moe", "mellum", "olmoe"])
_OTHERWISE = "it stops, or runs transformers' class if that works, and the plan's times do not hold"
_WORDS = {
    "sglang": f"SGLang 0.5.23 has no class of its own for {{}}: {_OTHERWISE}",
    "vllm": f"vLLM 0.34 has no class of its own for {{}}: {_OTHERWISE}",
    "ktransformers": f"sglang-kt 0.7.2 has no class of its own for {{}}: {_OTHERWISE}",
    "llamacpp": "llama.cpp (llama-cpp-python 0.3.36) does not convert {} to GGUF",
    "trtllm": "TensorRT-LLM does not list {} among its supported models: check that it starts",
}
_NAMES = {
    "sglang": "SGLang", "vllm": "vLLM", "ktransformers": "KTransformers",
    "llamacpp": "llama.cpp", "trtllm": "TensorRT-LLM",
}  # fmt: skip


def served_notes(engine: str, architecture: str) -> list[str]:
    """Return a note if an engine has no class for an architecture, or if that is not known.

    Parameters
    ----------
    engine : str
        Name of the engine, as in `ENGINES`.
    architecture : str
        ``model_type`` of the model's config.json; empty if unknown.

    Examples
    --------
    >>> from moe_costmodel.plans.engines.served import served_notes
    >>> served_notes("sglang", "qwen3_moe")
    []
    """
    if architecture not in ARCHITECTURES:
        what = architecture or "the model, whose architecture was not given"
        return [f"it is not known here whether {_NAMES[engine]} serves {what}"]
    if architecture in NOT_SERVED[engine]:
        return [_WORDS[engine].format(architecture)]
    if engine == "vllm" and architecture in BY_TRANSFORMERS:
        return [
            f"vLLM 0.34 runs transformers' class for {architecture}; the plan's times are those of "
            "kernels of its own"
        ]
    return []
