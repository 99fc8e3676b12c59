"""The command line of TensorRT-LLM (`trtllm-serve`), and its YAML of further options."""

from __future__ import annotations

from pathlib import Path

from moe_costmodel.plans.engines.export import Export, keeps_all, numbered, refusal
from moe_costmodel.plans.engines.settings import ServerSettings

__all__ = ["tensorrt_llm"]


def tensorrt_llm(settings: ServerSettings, path: str | Path) -> Export:
    """Write the YAML of `trtllm-serve`, and return its command line.

    Parameters
    ----------
    settings : ServerSettings
    path : str or Path
        File to write.

    Returns
    -------
    Export

    Raises
    ------
    ValueError
        If TensorRT-LLM cannot express the settings.
    """
    layout, path = settings.layout, Path(path)
    if layout.dp > 1 and layout.tp > 1:
        expected = "whose attention is divided by tensor or by data parallelism, not by both"
        remedy = "export to SGLang or vLLM"
        raise refusal("TensorRT-LLM", expected, str(layout), remedy)
    flags = ["--tp_size", str(settings.stage_gpus)]
    flags += numbered([("--ep_size", layout.moe_ep), ("--pp_size", layout.pp)], above=1)
    # Both numbers are of a step of one data-parallel rank. As many steps are under way as there are
    # pipeline stages, each with sequences of its own.
    flags += numbered([("--max_batch_size", settings.sequences_per_stage)])
    if settings.chunk_tokens:
        tokens = max(settings.chunk_tokens, settings.sequences_per_stage)
        flags += ["--max_num_tokens", str(tokens), "--enable_chunked_prefill"]
    flags += numbered([("--max_seq_len", settings.context)])
    if settings.n_nodes > 1:
        flags += ["--gpus_per_node", str(settings.gpus_per_node)]
    flags += ["--extra_llm_api_options", str(path)]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(_options(settings)) + "\n", encoding="utf-8", newline="\n")
    program = ("trtllm-serve", settings.model)
    return Export("TensorRT-LLM", tuple(flags), tuple(_notes(settings)), path, program)


def _options(settings: ServerSettings) -> list[str]:
    """Return the lines of the YAML: options that have no flag."""
    lines = ["cuda_graph_config:", "  enable_padding: true"]
    if settings.sequences:
        lines.append(f"  max_batch_size: {settings.sequences_per_stage}")
    lines += [
        "kv_cache_config:",
        f"  free_gpu_memory_fraction: {settings.free_fraction:.3g}",
        f"  dtype: {'fp8' if settings.kv_dtype == 'fp8' else 'auto'}",
    ]
    if settings.layout.dp > 1:
        lines.append("enable_attention_dp: true")
    if settings.location is not None:
        lines += ["moe_config:", f'  load_balancer: "{_quoted(str(settings.location))}"']
    elif settings.redundant_experts:
        lines += ["moe_config:", "  load_balancer:", f"    num_slots: {settings.n_slots}"]
        lines += ["    layer_updates_per_iter: 1"]
    if settings.role != "both":
        lines += ["cache_transceiver_config:", "  backend: DEFAULT"]
    if settings.role == "prefill":
        lines.append("disable_overlap_scheduler: true")
    return lines


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def _notes(settings: ServerSettings) -> list[str]:
    notes = settings.common_notes()
    if settings.is_paged:
        notes.append(keeps_all("TensorRT-LLM"))
    if settings.location is not None or settings.redundant_experts:
        notes.append(
            "older versions stop with 'MoE Load Balance is only supported in WideEPMoE': add "
            "`backend: WIDEEP` below moe_config for them"
        )
    if settings.role != "both":
        notes.append(
            "requests go through `trtllm-serve disaggregated -c FILE`, whose file lists the "
            "addresses of both sides (context_servers, generation_servers)"
        )
    if settings.n_nodes > 1:
        notes.append(
            f"start it under MPI with one process for each of {settings.layout.n_gpus} GPUs: put "
            "`trtllm-llmapi-launch` in front of it in `srun` or `mpirun`"
        )
    return notes
