"""Engines by name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from moe_costmodel._checks import one_of
from moe_costmodel.plans.engines.export import Export
from moe_costmodel.plans.engines.one_machine import ktransformers, llamacpp
from moe_costmodel.plans.engines.served import served_notes
from moe_costmodel.plans.engines.settings import ServerSettings
from moe_costmodel.plans.engines.sglang import sglang
from moe_costmodel.plans.engines.tensorrt_llm import tensorrt_llm
from moe_costmodel.plans.engines.vllm import vllm

__all__ = ["ENGINES", "engine_command"]

ENGINES = ("sglang", "vllm", "trtllm", "llamacpp", "ktransformers")
_FLAGS_ONLY = {
    "sglang": sglang, "vllm": vllm, "llamacpp": llamacpp, "ktransformers": ktransformers
}  # fmt: skip


def engine_command(
    settings: ServerSettings, engine: str, folder: str | Path = ".", *, name: str = "server"
) -> Export:
    """Return the whole command line that starts an engine with the settings of a plan.

    Parameters
    ----------
    settings : ServerSettings
        Settings of one replica.
    engine : {"sglang", "vllm", "trtllm", "llamacpp", "ktransformers"}
        The engine; "trtllm" is TensorRT-LLM.
    folder : str or Path
        Folder into which a file of options is written, for TensorRT-LLM; made if there is none.
    name : str
        Name of that file, without its ending.

    Returns
    -------
    Export
        Its `command` is the command line, its `notes` say what the engine cannot express, and
        whether it is known to serve the architecture.

    Raises
    ------
    ValueError
        If the engine is unknown, or cannot express the settings at all. The message says what to
        export to instead.

    Examples
    --------
    >>> from moe_costmodel import Layout, ServerSettings, engine_command
    >>> settings = ServerSettings(model="org/model", layout=Layout(dp=4, moe_ep=4), sequences=128)
    >>> print(engine_command(settings, "vllm").command)  # doctest: +NORMALIZE_WHITESPACE
    vllm serve org/model --tensor-parallel-size 1 --data-parallel-size 4 --enable-expert-parallel
    --max-num-seqs 32 --gpu-memory-utilization 0.9
    """
    one_of("engine_command", "engine", engine, ENGINES)
    if engine == "trtllm":
        export = tensorrt_llm(settings, Path(folder) / f"{name}.yaml")
    else:
        export = _FLAGS_ONLY[engine](settings)
    return replace(export, notes=(*served_notes(engine, settings.architecture), *export.notes))
