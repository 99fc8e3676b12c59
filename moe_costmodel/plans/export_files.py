"""Exports: a plan as files of serving engines, with notes on what each cannot express.

SGLang reads the placement from ``--init-expert-location`` (JSON with
``physical_to_logical_map``), TensorRT-LLM from the YAML of its load balancer (``num_slots`` and
``initial_global_assignments``). vLLM has only a proposal, ``expert_map_path``, so its file is
marked as one. The engines that take flags are in :mod:`moe_costmodel.plans.export_flags`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from moe_costmodel._checks import count, require
from moe_costmodel.objectives import quantity
from moe_costmodel.plans.engines.export import NOT_EXPORTED, Export, refusal

if TYPE_CHECKING:
    from moe_costmodel.placement.placement import Placement
    from moe_costmodel.plans.plan import Plan

__all__ = [
    "check_n_layers",
    "is_moved",
    "lost",
    "to_sglang",
    "to_tensorrt_llm",
    "to_vllm",
    "write_location",
]

_MOST_CELLS = 2**25  # of a file that is written, which takes about 200 MB


def lost(plan: Plan, knobs: Sequence[str]) -> list[str]:
    """Return notes on the decisions of a plan that an engine without these knobs ignores."""
    notes = []
    if "buffer" in knobs and plan.is_buffered:
        kept = int(plan.capacities.sum(axis=0).max()) * plan.shape.expert_bytes
        full = plan.n_layers * plan.slots_per_device * plan.shape.expert_bytes
        notes.append(
            f"the engine keeps every placed expert on the device: {quantity(full, 'bytes')} "
            f"instead of the plan's {quantity(kept, 'bytes')}; check that it fits"
        )
    if "thresholds" in knobs and plan.has_thresholds:
        notes.append(NOT_EXPORTED)
    return notes


def lru_notes(engine: str, plan: Plan, *, copies: bool) -> list[str]:
    """Return notes on a plan's buffers in an engine whose own are least recently used.

    `copies` tells whether the engine copies a missing expert before it runs.
    """
    rule, notes = plan.offload, []
    if plan.policy != "lru":
        notes.append(f"{engine} evicts the least recently used expert; the plan: {plan.policy}")
    if copies != (rule is None or not rule.in_place):
        fate = "copies a missing expert to the GPU" if copies else "computes misses on the CPU"
        other = "computed where they lie" if copies else "copied"
        notes.append(f"{engine} {fate}; the plan's times are those of misses that are {other}")
    if rule is not None:
        if rule.is_static or rule.admission.after > 1 or rule.admission.margin:
            notes.append(f"{engine} uploads every miss; the plan: {rule.admission}")
        if rule.precision is not None:
            notes.append(f"{engine} is not told what a predictor names; nothing is prefetched")
    return notes


def _paged(plan: Plan) -> tuple[list[str], list[str]]:
    """Return SGLang's flags for buffers on one device, and notes on what they cannot express."""
    low, high = int(plan.capacities.min()), int(plan.capacities.max())
    resident = int(plan.capacities.sum()) // plan.n_layers
    notes = lru_notes("SGLang", plan, copies=True)
    if low < high:
        notes.append(
            f"one number for all layers: {resident} resident experts, which the plan's memory "
            f"holds, instead of {low} to {high}"
        )
    flags = ["--enable-paged-experts", "--paged-experts-num-resident", str(resident)]
    return flags, notes


def _write(path: Path, text: str) -> None:
    # The same bytes on every system: plans are made on one and served on another.
    path.write_text(text + "\n", encoding="utf-8", newline="\n")


def twice(placement: Placement, layers: Sequence[int]) -> list[str]:
    """Return notes on copies of an expert on one device, which take memory for nothing."""
    found = np.argwhere(placement.on_device() > 1)
    if not len(found):
        return []
    layer, expert, device = (int(i) for i in found[0])
    return [
        f"{len(found)} times a device holds an expert more than once (expert {expert} on device "
        f"{device}, layer {layers[layer]}, for one), which takes memory and balances nothing"
    ]


def check_n_layers(owner: str, layers: Sequence[int], n_layers: int | None) -> None:
    """Raise a ValueError if a model of `n_layers` layers does not have all of `layers`."""
    if n_layers is not None:
        number = count(owner, "n_layers", n_layers)
        expected = f"above {layers[-1]}, the number of the plan's last layer (from 0)"
        require(owner, "n_layers", n_layers, number > layers[-1], expected)


def write_sglang(
    placement: Placement, layers: Sequence[int], path: Path, n_layers: int | None = None
) -> list[str]:
    """Write the map of experts that SGLang reads, and return notes on it.

    `layers` are the numbers of the placement's layers within the model, `n_layers` all of these.
    """
    slots, last = placement.physical_to_logical, layers[-1]
    n_rows = last + 1 if n_layers is None else n_layers
    if n_rows * placement.n_slots > _MOST_CELLS:
        got = f"layer {last}, {placement.n_slots} slots a row"
        expected = f"whose map, a row per layer of the model, has at most {_MOST_CELLS:,} numbers"
        raise refusal("SGLang", expected, got, "number the layers from 0")
    filler = (np.arange(placement.n_slots) % placement.n_experts).tolist()
    by_number = dict(zip(layers, slots.tolist(), strict=True))
    rows = [by_number.get(layer, filler) for layer in range(n_rows)]
    _write(path, json.dumps({"physical_to_logical_map": rows}))
    dense = len(rows) - placement.n_layers
    if not dense:
        return twice(placement, layers)
    below = f" below {last}" if n_rows == last + 1 else ""
    return [
        *twice(placement, layers),
        f"{dense} layers{below} are not in the plan (dense ones); their rows are in order of ids",
    ]


def to_sglang(plan: Plan, path: str | Path, n_layers: int | None = None) -> Export:
    """Write the placement as SGLang's ``--init-expert-location`` (JSON).

    SGLang indexes the map by the number of the layer within the model, so dense layers have a row,
    too (experts in order of their ids, and the first ones again). `n_layers` is the number of all
    layers of the model, for models that end in dense ones. Attention is data-parallel. Buffers on
    one device become ``--enable-paged-experts`` (SGLang 0.5.23: one GPU, least recently used).
    """
    check_n_layers("Plan.to_sglang", plan.layers, n_layers)
    path, n = Path(path), str(plan.n_devices)
    paged = plan.is_buffered and plan.n_devices == 1
    notes = write_sglang(plan.placement, plan.layers, path, n_layers)
    notes += lost(plan, ("thresholds",) if paged else ("buffer", "thresholds"))
    flags = ["--init-expert-location", str(path), "--tp-size", n, "--ep-size", n]
    if plan.n_devices > 1:
        flags += ["--attn-dp-size", n]
    if paged:
        of_buffers, more = _paged(plan)
        flags += of_buffers
        notes += more
    if plan.placement.n_replicas:
        flags += ["--ep-num-redundant-experts", str(plan.placement.n_replicas)]
    return Export("SGLang", tuple(flags), tuple(notes), path)


def to_vllm(plan: Plan, path: str | Path) -> Export:
    """Write the placement as a proposal of an expert map for vLLM.

    vLLM has no such option yet (an open proposal names it ``expert_map_path``), so the file says
    that it is a proposal. Its own balancer starts from its own placement.
    """
    path = Path(path)
    write_vllm(plan.placement, plan.layers, path)
    flags = ["--enable-expert-parallel"]
    if plan.placement.n_replicas:
        settings = {"num_redundant_experts": plan.placement.n_replicas}
        flags += ["--enable-eplb", "--eplb-config", json.dumps(settings)]
    notes = [
        "the map is a proposal that no released vLLM reads (expert_map_path); until one does, "
        "vLLM starts from its own placement, and with --enable-eplb rearranges it on its own",
        *twice(plan.placement, plan.layers),
        *lost(plan, ("buffer", "thresholds")),
    ]
    return Export("vLLM (proposal)", tuple(flags), tuple(notes), path)


def write_vllm(placement: Placement, layers: Sequence[int], path: Path) -> None:
    """Write the proposal of an expert map for vLLM."""
    content = {
        "status": "proposal: no released vLLM reads this file",
        "num_redundant_experts": placement.n_replicas,
        "num_devices": placement.n_devices,
        "layers": list(layers),
        "physical_to_logical_map": placement.physical_to_logical.tolist(),
    }
    _write(path, json.dumps(content))


def to_tensorrt_llm(plan: Plan, path: str | Path) -> Export:
    """Write the placement as TensorRT-LLM's load-balancer configuration (YAML)."""
    path, n = Path(path), str(plan.n_devices)
    write_tensorrt_llm(plan.placement, plan.layers, path)
    notes = [*twice(plan.placement, plan.layers), *lost(plan, ("buffer", "thresholds"))]
    return Export(
        "TensorRT-LLM",
        ("--tp_size", n, "--ep_size", n),
        (f"name the file in moe_config.load_balancer: {path}", *notes),
        path,
    )


def write_tensorrt_llm(placement: Placement, layers: Sequence[int], path: Path) -> None:
    """Write the configuration of TensorRT-LLM's load balancer."""
    lines = [f"num_slots: {placement.n_slots}", "initial_global_assignments:"]
    for number, row in zip(layers, placement.physical_to_logical.tolist(), strict=True):
        lines.append(f"  {number}: [{', '.join(str(expert) for expert in row)}]")
    # Offline balancing: 0 means that the assignment is never updated while it serves.
    lines.append("layer_updates_per_iter: 0")
    _write(path, "\n".join(lines))


def is_moved(placement: Placement) -> bool:
    """Tell whether a placement differs from the order of ids, which engines begin with."""
    slots = placement.physical_to_logical
    return bool((slots != np.arange(slots.shape[1]) % placement.n_experts).any())


def write_location(
    placement: Placement,
    layers: Sequence[int],
    engine: str,
    stem: Path,
    n_layers: int | None = None,
) -> tuple[Path, list[str]]:
    """Write a placement as an engine reads it; return the file, and notes.

    `stem` is the path of the file without its ending; its folder is made if there is none.
    """
    stem.parent.mkdir(parents=True, exist_ok=True)
    if engine == "sglang":
        path = stem.with_name(f"{stem.name}_experts.json")
        return path, write_sglang(placement, layers, path, n_layers)
    if engine == "vllm":
        path = stem.with_name(f"{stem.name}_experts.json")
        write_vllm(placement, layers, path)
    else:
        path = stem.with_name(f"{stem.name}_experts.yaml")
        write_tensorrt_llm(placement, layers, path)
    return path, twice(placement, layers)
