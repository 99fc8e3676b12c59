"""Files and command lines of engines, from advice."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from moe_costmodel.plans.plan import Plan
from moe_costmodel.shapes import LayerShape

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
            commands |= _offload(item, advice, folder, model)
    for item in chosen.values():
        commands |= _placement(item, advice, folder, model)
    return commands


def _plan(item: Recommendation, layers: tuple[int, ...], k: int) -> Plan:
    """Return a plan of the placement alone; exports use none of the widths."""
    placement = item.placement
    assert placement is not None
    shape = LayerShape(n_experts=placement.n_experts, k=k, d_model=1, d_ffn=1)
    return Plan(model="advice", shape=shape, mode="decode", placement=placement, layers=layers)


def _placement(
    item: Recommendation, advice: TraceAdvice, folder: Path, model: str
) -> dict[str, str]:
    """Write the placement for SGLang, vLLM and TensorRT-LLM; return command lines."""
    plan, n = _plan(item, advice.layers, advice.k or 1), item.n_devices
    sglang = plan.to_sglang(folder / f"sglang-{n}.json")
    vllm = plan.to_vllm(folder / f"vllm-{n}.json")
    tensorrt = plan.to_tensorrt_llm(folder / f"tensorrt-llm-{n}.yaml")
    options = folder / f"tensorrt-llm-{n}-options.yaml"
    _write(options, f"moe_config:\n  load_balancer: {json.dumps(str(tensorrt.path))}")
    parallel = ["--tp-size", str(n), *sglang.flags]
    commands = {
        f"SGLang, {n} devices": [
            "python", "-m", "sglang.launch_server", "--model-path", model, *parallel
        ],
        f"TensorRT-LLM, {n} devices": [
            "trtllm-serve", model, "--tp_size", str(n), "--ep_size", str(n),
            "--extra_llm_api_options", str(options),
        ],
    }  # fmt: skip
    if plan.placement.n_replicas:
        key = f"vLLM, {n} devices (places the redundant experts by itself)"
        commands[key] = ["vllm", "serve", model, "--tensor-parallel-size", str(n), *vllm.flags]
    return {name: shlex.join(words) for name, words in commands.items()}


def _offload(item: Recommendation, advice: TraceAdvice, folder: Path, model: str) -> dict[str, str]:
    """Write the experts to keep; return KTransformers' command line.

    Its strategy "frequency" keeps the most used experts of a recorder's file (KTransformers,
    doc/en/kt-kernel/experts-sched-Tutorial.md). The file is left out if there is no torch.
    """
    plan = item.offload
    assert plan is not None
    path, uses = folder / "residents.json", folder / "uses.pt"
    _write(path, json.dumps({"layers": advice.layers, "residents": plan.residents()}))
    words = [
        "python", "-m", "sglang.launch_server", "--model", model, "--kt-weight-path", model,
        "--kt-num-gpu-experts", str(int(np.median(plan.slots))),
    ]  # fmt: skip
    try:
        import torch
    except ImportError:
        key = f"KTransformers, 1 device (experts to keep: {path}; its file of uses needs torch)"
        return {key: shlex.join(words)}
    counts = np.zeros((1, advice.layers[-1] + 1, plan.start.shape[1]), dtype=np.int64)
    counts[0, list(advice.layers)] = np.round(plan.start * 1e6)
    torch.save({"logical_count": torch.from_numpy(counts)}, uses)
    words += ["--kt-expert-placement-strategy", "frequency", "--init-expert-location", str(uses)]
    return {f"KTransformers, 1 device (experts to keep: {path})": shlex.join(words)}


def _write(path: Path, text: str) -> None:
    path.write_text(text + "\n", encoding="utf-8", newline="\n")
