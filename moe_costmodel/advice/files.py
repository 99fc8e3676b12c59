"""Files and command lines of engines, from advice."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from moe_costmodel.plans.engines.export import Export
from moe_costmodel.plans.engines.registry import engine_command
from moe_costmodel.plans.engines.settings import ServerSettings
from moe_costmodel.plans.export_files import write_location
from moe_costmodel.silicon.layout import Layout

if TYPE_CHECKING:
    from moe_costmodel.advice.recommendation import Recommendation, TraceAdvice

__all__ = ["write_advice"]


def write_advice(advice: TraceAdvice, folder: Path, model: str) -> dict[str, str]:
    """Write the files of all adopted recommendations; return command lines by engine."""
    folder.mkdir(parents=True, exist_ok=True)
    commands: dict[str, str] = {}
    chosen: dict[int, Recommendation] = {}
    for item in advice.adopted:
        if item.placement is not None:
            chosen[item.n_devices] = item  # redundant experts come after placements without
        if item.offload is not None:
            commands["KTransformers, 1 device"] = _offload(item, advice, folder, model).command
    for item in chosen.values():
        for export in _placement(item, advice, folder, model):
            commands[f"{export.engine}, {item.n_devices} devices"] = export.command
    return commands


def _placement(item: Recommendation, advice: TraceAdvice, folder: Path, model: str) -> list[Export]:
    """Write a placement for SGLang, TensorRT-LLM and vLLM; return how each is started.

    vLLM reads no placement, but places redundant experts by itself.
    """
    placement, n = item.placement, item.n_devices
    assert placement is not None
    settings = ServerSettings(
        model=model,
        layout=Layout(dp=n, moe_ep=n),
        redundant_experts=placement.n_replicas,
        n_experts=placement.n_experts,
        k=advice.k or 0,
        n_moe_layers=len(advice.layers),
    )
    found = []
    for engine in ("sglang", "trtllm", "vllm"):
        name = f"{engine}_{n}"
        path, _ = write_location(placement, advice.layers, engine, folder / name)
        if engine != "vllm" or placement.n_replicas:
            found.append(
                engine_command(replace(settings, location=path), engine, folder, name=name)
            )
    return found


def _offload(item: Recommendation, advice: TraceAdvice, folder: Path, model: str) -> Export:
    """Write the experts to keep, and their uses as KTransformers reads them.

    Its strategy "frequency" keeps the most used experts of a recorder's file (KTransformers,
    doc/en/kt-kernel/experts-sched-Tutorial.md). Without torch, that file is left out.
    """
    plan = item.offload
    assert plan is not None
    content = {"layers": list(advice.layers), "residents": plan.residents()}
    path, uses = folder / "residents.json", folder / "uses.pt"
    path.write_text(json.dumps(content) + "\n", encoding="utf-8", newline="\n")
    settings = ServerSettings(
        model=model,
        layout=Layout(),
        n_experts=plan.start.shape[1],
        resident_experts=int(np.median(plan.slots)),
    )
    export = engine_command(settings, "ktransformers", folder)
    try:
        import torch
    except ImportError:
        return export
    counts = np.zeros((1, advice.layers[-1] + 1, plan.start.shape[1]), dtype=np.int64)
    counts[0, list(advice.layers)] = np.round(plan.start * 1e6)
    torch.save({"logical_count": torch.from_numpy(counts)}, uses)
    flags = ["frequency" if word == "uniform" else word for word in export.flags]
    return replace(export, flags=(*flags, "--init-expert-location", str(uses)))
