"""The command line of vLLM, with the flags of version 0.34."""

from __future__ import annotations

import json

from moe_costmodel.plans.engines.export import Export, keeps_all, numbered, on_each_machine, refusal
from moe_costmodel.plans.engines.settings import ServerSettings

__all__ = ["EPLB_MODELS", "vllm"]

# Architectures whose models in vLLM 0.34 can place experts more than once (`MixtureOfExperts`).
EPLB_MODELS = frozenset([
    "afmoe", "axk1", "deepseek_v2", "deepseek_v3", "deepseek_v32", "deepseek_v4", "ernie4_5_moe",
    "gemma4", "glm4_moe", "glm4_moe_lite", "glm5_next", "glm_moe_dsa", "kimi_k2", "kimi_linear",
    "lfm2_moe", "llama4_text", "mimo_v2_flash", "mixtral", "nemotron_h", "param2moe",
    "qwen3_5_moe", "qwen3_moe", "qwen3_next", "sarvam_mla", "step3p5",
])  # fmt: skip


def vllm(settings: ServerSettings) -> Export:
    """Return vLLM's command line; a ValueError says which of the settings it cannot express."""
    layout = settings.layout
    if layout.moe_ep > 1 and layout.moe_tp > 1:
        expected = "whose experts are divided by expert or by tensor parallelism, not by both"
        raise refusal("vLLM", expected, str(layout), "export to SGLang or TensorRT-LLM")
    flags = ["--tensor-parallel-size", str(layout.tp)]
    sizes = [("--data-parallel-size", layout.dp), ("--pipeline-parallel-size", layout.pp)]
    flags += numbered(sizes, above=1)
    if layout.moe_ep > 1:
        flags += ["--enable-expert-parallel"]
    chunk = settings.chunk_tokens
    flags += numbered(
        [
            # Both numbers are of one data-parallel rank.
            ("--max-num-seqs", settings.sequences_per_rank),
            ("--max-num-batched-tokens", chunk and max(chunk, settings.sequences_per_rank)),
            ("--max-model-len", settings.context),
        ]
    )
    flags += ["--gpu-memory-utilization", f"{settings.memory_fraction:.3g}"]
    if settings.kv_dtype == "fp8":
        flags += ["--kv-cache-dtype", "fp8"]
    notes = settings.common_notes()
    balances = settings.architecture in {"", *EPLB_MODELS}
    if settings.redundant_experts and balances and layout.moe_ep == 1:
        expected = "whose experts are divided by expert parallelism if some have copies"
        raise refusal("vLLM", expected, str(layout), "take a layout with ep, or no copies")
    if settings.redundant_experts and balances:
        number = {"num_redundant_experts": settings.redundant_experts}
        flags += ["--enable-eplb", "--eplb-config", json.dumps(number)]
    elif settings.redundant_experts:
        notes.append(
            f"vLLM 0.34 has no redundant experts for {settings.architecture}: the plan's "
            f"{settings.redundant_experts} in each layer are lost, so its times do not hold"
        )
    if settings.location is not None:
        then = ", and with --enable-eplb rearranges it on its own" if balances else ""
        notes.append(
            f"no released vLLM reads {settings.location} (expert_map_path is a proposal): it "
            f"starts from its own placement{then}"
        )
    if settings.is_paged:
        notes.append(keeps_all("vLLM"))
    if settings.role != "both":
        role = {"kv_connector": "NixlConnector", "kv_role": _ROLES[settings.role]}
        flags += ["--kv-transfer-config", json.dumps(role)]
        notes.append("requests go through a proxy that sends each prompt to the prefill side first")
    of_nodes, note = _nodes(settings)
    flags += of_nodes
    notes += [note] if note else []
    program = ("vllm", "serve", settings.model)
    return Export("vLLM", tuple(flags), tuple(notes), settings.location, program)


_ROLES = {"prefill": "kv_producer", "decode": "kv_consumer"}


def _nodes(settings: ServerSettings) -> tuple[list[str], str]:
    """Return the flags of a replica on several machines, and a note on how to start it there."""
    layout = settings.layout
    width = layout.tp * layout.pp  # GPUs of a data-parallel rank
    if layout.n_gpus <= settings.gpus_per_node:
        return [], ""
    apart = ["--data-parallel-address", "HEAD", "--data-parallel-rpc-port", "13345"]
    headless = "; add --headless on all but the first"
    if layout.dp == 1 or width > settings.gpus_per_node:
        fewest = -(-width // settings.gpus_per_node)
        n = layout.dp * next(m for m in range(fewest, width + 1) if width % m == 0)
        flags = ["--nnodes", str(n), "--node-rank", "0", "--master-addr", "HEAD"]
        return flags + (apart if layout.dp > 1 else []), on_each_machine(n) + headless
    n = -(-layout.dp // (settings.gpus_per_node // width))
    local = -(-layout.dp // n)
    starts = list(range(0, layout.dp, local))
    last = layout.dp - starts[-1]
    fewer = f", on the last with --data-parallel-size-local {last}" if last < local else ""
    flags = ["--data-parallel-size-local", str(local), "--data-parallel-start-rank", "0", *apart]
    ranks = f"--data-parallel-start-rank {', '.join(map(str, starts))}{fewer}"
    return flags, on_each_machine(len(starts), ranks) + headless
