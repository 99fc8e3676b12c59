"""The command line of SGLang, with the flags of version 0.5.23."""

from __future__ import annotations

from moe_costmodel.plans.engines.export import Export, numbered, on_each_machine, refusal
from moe_costmodel.plans.engines.settings import ServerSettings

__all__ = ["LOCATION_MODELS", "location_notes", "sglang", "sglang_words"]

PROGRAM = ("python", "-m", "sglang.launch_server")
# Architectures whose models in SGLang 0.5.23 tell their expert locations
# (`get_model_config_for_expert_location`); the others ignore --init-expert-location.
LOCATION_MODELS = frozenset([
    "bailing_moe", "deepseek_v2", "deepseek_v3", "deepseek_v32", "deepseek_v4", "exaone_moe",
    "glm4_moe", "glm4_moe_lite", "glm5_next", "glm_moe_dsa", "gpt_oss", "kimi_k2",
    "longcat_flash", "mellum", "mimo_v2_flash", "minimax_m2", "minimax_m3", "nemotron_h",
    "qwen2_moe", "qwen3_5_moe", "qwen3_moe", "qwen3_next", "sarvam_mla", "sarvam_moe", "step3p5",
])  # fmt: skip


def sglang(settings: ServerSettings) -> Export:
    """Return SGLang's command line; a ValueError says which of the settings it cannot express."""
    layout = settings.layout
    flags = sglang_words(settings)
    notes = settings.common_notes()
    if layout.dp > 1:
        flags += ["--attn-dp-size", str(layout.dp)]
        notes.append(
            f"before SGLang 0.5.23, --attn-dp-size {layout.dp} is spelled --dp-size {layout.dp} "
            "--enable-dp-attention"
        )
    flags += numbered([("--ep-size", layout.moe_ep)], above=1)
    if settings.is_paged:
        flags += _paged(settings)
    else:
        flags += numbered([("--cuda-graph-max-bs-decode", settings.sequences_per_rank)])
    if settings.location is not None:
        flags += ["--init-expert-location", str(settings.location)]
        flags += ["--ep-num-redundant-experts", str(settings.redundant_experts)]
        notes += location_notes(settings.architecture)
    elif settings.redundant_experts:
        flags += ["--enable-eplb", "--ep-num-redundant-experts", str(settings.redundant_experts)]
        notes += location_notes(settings.architecture)
    if settings.role != "both":
        flags += ["--disaggregation-mode", settings.role]
        notes.append(
            "requests go through a router that knows both sides: python -m "
            "sglang_router.launch_router --pd-disaggregation --prefill URL --decode URL"
        )
    if settings.n_nodes > 1:
        flags += ["--nnodes", str(settings.n_nodes), "--node-rank", "0"]
        flags += ["--dist-init-addr", "HEAD:20000"]
        notes.append(on_each_machine(settings.n_nodes))
    return Export("SGLang", tuple(flags), tuple(notes), settings.location, PROGRAM)


def sglang_words(settings: ServerSettings) -> list[str]:
    """Return the flags that all versions of SGLang, and KTransformers' one, have."""
    layout = settings.layout
    words = ["--model-path", settings.model, "--tp-size", str(settings.stage_gpus)]
    words += numbered([("--pp-size", layout.pp)], above=1)
    words += numbered(
        [
            # Both numbers are of all data-parallel ranks; the engine divides them.
            ("--max-running-requests", settings.sequences_per_rank * layout.dp),
            ("--chunked-prefill-size", settings.chunk_tokens * layout.dp),
            ("--context-length", settings.context),
        ]
    )
    words += ["--mem-fraction-static", f"{settings.memory_fraction:.3g}"]
    if settings.kv_dtype == "fp8":
        words += ["--kv-cache-dtype", "fp8_e4m3"]
    return words


def location_notes(architecture: str) -> list[str]:
    """Return a note if a model does not read the file of a placement."""
    if architecture in LOCATION_MODELS:
        return []
    known = ", ".join(sorted(LOCATION_MODELS))
    if architecture:
        return [
            f"SGLang 0.5.23 does not read expert locations for {architecture}: the file has no "
            f"effect, and experts stay in order of their ids. It reads them for {known}"
        ]
    return [f"SGLang 0.5.23 reads expert locations for these architectures only: {known}"]


def _paged(settings: ServerSettings) -> list[str]:
    """Return the flags that keep some experts on the GPU and page the others in."""
    n_gpus = settings.layout.n_gpus
    if n_gpus > 1:
        expected = "on one GPU, since --enable-paged-experts works on one"
        raise refusal("SGLang", expected, f"{n_gpus} GPUs", "keep all experts resident")
    if settings.resident_experts < settings.k:
        expected = f"that keeps at least the {settings.k} experts of a token"
        raise refusal("SGLang", expected, settings.resident_experts, f"keep {settings.k} or more")
    resident = str(settings.resident_experts)
    return ["--enable-paged-experts", "--paged-experts-num-resident", resident]
