"""The command lines of llama.cpp and KTransformers, which compute experts on a CPU, too."""

from __future__ import annotations

import math
from collections.abc import Sequence

from moe_costmodel.plans.engines.export import Export, numbered, refusal
from moe_costmodel.plans.engines.settings import ServerSettings
from moe_costmodel.plans.engines.sglang import PROGRAM, sglang_words

__all__ = ["blocks_on_cpu", "ktransformers", "llamacpp"]


def _require_whole_experts(settings: ServerSettings, engine: str, remedy: str) -> None:
    """Raise an error if experts or sequences are divided over GPUs."""
    layout = settings.layout
    if layout.moe_ep > 1 or layout.dp > 1 or settings.role != "both":
        expected = "without expert or data parallelism, for both phases"
        raise refusal(engine, expected, f"{layout}, {settings.role}", remedy)


def blocks_on_cpu(moe_layers: Sequence[int], number: int) -> int:
    """Return the ``--n-cpu-moe`` that leaves the experts of the first MoE layers on the CPU.

    llama.cpp counts all blocks of a model from the first on, also those without experts.

    Parameters
    ----------
    moe_layers : sequence of int
        Numbers of the layers with experts within the model, ascending.
    number : int
        How many of them are computed on the CPU.
    """
    return moe_layers[number - 1] + 1 if number else 0


def llamacpp(settings: ServerSettings) -> Export:
    """Return the command line of `llama-server`; a ValueError says what it cannot express."""
    engines = "export to SGLang, vLLM or TensorRT-LLM"
    _require_whole_experts(settings, "llama.cpp", engines)
    layout, notes = settings.layout, settings.common_notes()
    flags = ["--model", settings.model, "--n-gpu-layers", "999"]
    flags += numbered(
        [
            ("--parallel", settings.sequences),
            # The context is divided among the sequences.
            ("--ctx-size", settings.context * max(settings.sequences, 1)),
            ("--batch-size", settings.chunk_tokens),
            ("--ubatch-size", settings.chunk_tokens),
        ]
    )
    if layout.n_gpus > 1:
        flags += ["--split-mode", "row" if layout.tp > 1 else "layer"]
        flags += ["--tensor-split", ",".join(["1"] * layout.n_gpus)]
    if settings.kv_dtype == "fp8":
        flags += ["--cache-type-k", "q8_0", "--cache-type-v", "q8_0"]
    if settings.is_paged:
        more, words = _cached(settings)
        flags, notes = flags + more, notes + words
    if not settings.model.endswith(".gguf"):
        notes.append("--model must be a GGUF file: convert the model with convert_hf_to_gguf.py")
    return Export("llama.cpp", tuple(flags), tuple(notes), None, ("llama-server",))


def _cached(settings: ServerSettings) -> tuple[list[str], list[str]]:
    """Return the flags that keep some experts on the GPU, and notes."""
    share = settings.resident_experts / settings.n_slots
    on_cpu = settings.n_moe_layers - int(share * settings.n_moe_layers)
    rest = blocks_on_cpu(settings.moe_layers or range(settings.n_moe_layers), on_cpu)
    unknown = "" if settings.moe_layers else "; add the number of dense layers that come first"
    if not settings.expert_bytes:
        return ["--n-cpu-moe", str(rest)], [
            f"llama.cpp keeps whole layers: the experts of the first {on_cpu} layers that have any "
            f"are computed on the CPU{unknown}"
        ]
    held = settings.resident_experts * settings.n_moe_layers * settings.expert_bytes
    return ["--cpu-moe", "--moe-cache-mib", str(math.ceil(held / 2**20))], [
        "--moe-cache-mib is newer than llama-cpp-python 0.3.36; an older llama.cpp keeps whole "
        f"layers instead: --n-cpu-moe {rest}{unknown}"
    ]


def ktransformers(settings: ServerSettings) -> Export:
    """Return the command line of KTransformers, which brings its own SGLang (`sglang-kt`).

    A ValueError says what it cannot express.
    """
    _require_whole_experts(settings, "KTransformers", "export to SGLang")
    flags, notes = sglang_words(settings), settings.common_notes()
    resident = settings.resident_experts if settings.is_paged else settings.n_experts
    flags += ["--kt-weight-path", settings.model]
    flags += ["--kt-num-gpu-experts", str(resident), "--kt-expert-placement-strategy", "uniform"]
    notes.append(
        "KTransformers computes the other experts on the CPU and does not copy them in; set "
        "--kt-cpuinfer to the number of physical cores, --kt-threadpool-count to that of NUMA "
        "nodes, and --kt-weight-path and --kt-method to the weights for the CPU"
    )
    return Export("KTransformers", tuple(flags), tuple(notes), None, PROGRAM)
