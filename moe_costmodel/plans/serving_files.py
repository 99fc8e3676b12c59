"""Serving plans as JSON files; the reader checks every field."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from moe_costmodel._arrays import Ints
from moe_costmodel._checks import InvalidParameter
from moe_costmodel._fields import array_in, known_in, made_in, named_in, of_numpy
from moe_costmodel.gating.rules import GateRule
from moe_costmodel.models.attention import Attention
from moe_costmodel.models.shape import Block, ExpertShape, ModelShape
from moe_costmodel.objectives import SERVING_OBJECTIVES, Predicted
from moe_costmodel.placement.placement import Placement
from moe_costmodel.shapes import MAX_EXPERTS
from moe_costmodel.silicon.layout import Layout
from moela.files.fields import number_in, object_in, text_in, whole_in
from moela.files.guard import brief, check_size, invalid_file
from moela.files.text import read_json

if TYPE_CHECKING:
    from moe_costmodel.plans.serving_plan import ServingPlan, ServingPool

__all__ = ["FORMAT", "load", "save", "to_dict"]

FORMAT = "moe-serving-plan/1"
_MOST = 2**31
_TEXT = ("gpu", "backend", "mode", "kv_dtype")
_COUNTS = ("n_gpus", "input_tokens", "output_tokens")
_REQUIRED = ("format", "model", *_TEXT, *_COUNTS, "pools", "gates", "objectives")
_OPTIONAL = ("ungated", "limits", "kernels", "outside", "notes")
_POOL = ("role", "layout", "replicas", "concurrency", "max_num_batched_tokens")
_POOL_OPTIONAL = ("redundant_experts", "physical_to_logical_map")
_RULES = {"k_min": MAX_EXPERTS, "value": MAX_EXPERTS}
_Item = TypeVar("_Item")


def to_dict(plan: ServingPlan) -> dict[str, object]:
    """Return a plan as plain values."""
    model = asdict(plan.shape)
    model["dtypes"] = dict(plan.shape.dtypes)
    return {
        "format": FORMAT,
        "model": model,
        **{name: getattr(plan, name) for name in (*_TEXT, *_COUNTS)},
        "pools": [_of_pool(pool) for pool in plan.pools],
        "gates": [None if rule is None else asdict(rule) for rule in plan.gates],
        "objectives": {name: asdict(value) for name, value in plan.objectives.items()},
        "ungated": dict(plan.ungated),
        "limits": dict(plan.limits),
        "kernels": dict(plan.kernels),
        "outside": dict(plan.outside),
        "notes": list(plan.notes),
    }


def _of_pool(pool: ServingPool) -> dict[str, object]:
    placed = pool.placement
    slots = {} if placed is None else {"physical_to_logical_map": placed.physical_to_logical}
    return {
        "role": pool.role,
        "layout": asdict(pool.layout),
        "replicas": pool.replicas,
        "concurrency": pool.concurrency,
        "max_num_batched_tokens": pool.max_num_batched_tokens,
        "redundant_experts": pool.redundant_experts,
        **{name: value.tolist() for name, value in slots.items()},
    }


def save(plan: ServingPlan, path: str | Path) -> Path:
    """Write a plan as JSON, one line a field."""
    path = Path(path)
    # JSON has no infinity; an operator without a table is marked by null.
    content = to_dict(plan)
    content["outside"] = {
        name: None if factor == float("inf") else factor for name, factor in plan.outside.items()
    }
    lines = [f" {json.dumps(k)}: {json.dumps(v, default=of_numpy)}" for k, v in content.items()]
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
    return path


def load(
    path: str | Path, make: Callable[..., ServingPlan], make_pool: Callable[..., ServingPool]
) -> ServingPlan:
    """Read what :func:`save` wrote; the makers are the classes, which import this module."""
    value = read_json(path)
    form = value.get("format", FORMAT) if isinstance(value, dict) else FORMAT
    if form != FORMAT:
        raise invalid_file(path, brief(form), repr(FORMAT), "format")
    content = known_in(path, "", value, _REQUIRED, _OPTIONAL)
    shape = _shape(path, content["model"])
    texts = {name: text_in(path, name, content[name]) for name in _TEXT}
    counts = {name: whole_in(path, name, content[name], 1, _MOST) for name in _COUNTS}
    pools = tuple(
        _pool(path, f"pools[{i}]", item, shape, make_pool)
        for i, item in enumerate(_list(path, "pools", content["pools"]))
    )
    gates = tuple(
        None if rule is None else made_in(path, f"gates[{i}]", rule, GateRule, _RULES)
        for i, rule in enumerate(_list(path, "gates", content["gates"]))
    )
    objectives = {}
    for name, item in object_in(path, "objectives", content["objectives"]).items():
        if name not in SERVING_OBJECTIVES:
            expected = f"one of {', '.join(SERVING_OBJECTIVES)}"
            raise invalid_file(path, repr(name), expected, "objectives")
        objectives[name] = made_in(path, f"objectives.{name}", item, Predicted)
    numbers = {
        field: {
            name: number_in(path, f"{field}.{name}", item)
            for name, item in object_in(path, field, content.get(field, {})).items()
        }
        for field in ("ungated", "limits")
    }
    outside = {
        name: float("inf") if item is None else number_in(path, f"outside.{name}", item, 1.0)
        for name, item in object_in(path, "outside", content.get("outside", {})).items()
    }
    kernels = {
        name: text_in(path, f"kernels.{name}", item)
        for name, item in object_in(path, "kernels", content.get("kernels", {})).items()
    }
    notes = tuple(
        text_in(path, f"notes[{i}]", item)
        for i, item in enumerate(_list(path, "notes", content.get("notes", [])))
    )
    return named_in(
        path,
        "",
        lambda: make(
            shape=shape, **texts, **counts, pools=pools, gates=gates, objectives=objectives,
            **numbers, kernels=kernels, outside=outside, notes=notes,
        ),
    )  # fmt: skip


def _list(path: str | Path, field: str, value: object) -> list[object]:
    if not isinstance(value, list):
        raise invalid_file(path, brief(value), "a list", field)
    return value


def _shape(path: str | Path, value: object) -> ModelShape:
    found = dict(object_in(path, "model", value))
    blocks = []
    for i, item in enumerate(_list(path, "model.blocks", found.get("blocks"))):
        field = f"model.blocks[{i}]"
        block = dict(object_in(path, field, item))
        block["attention"] = made_in(path, f"{field}.attention", block.get("attention"), Attention)
        if block.get("experts") is not None:
            block["experts"] = made_in(path, f"{field}.experts", block["experts"], ExpertShape)
        blocks.append(made_in(path, field, block, Block, {"n_layers": 65_536}))
    found["blocks"] = tuple(blocks)
    dtypes = object_in(path, "model.dtypes", found.get("dtypes", {})).items()
    found["dtypes"] = {name: text_in(path, f"model.dtypes.{name}", item) for name, item in dtypes}
    return made_in(path, "model", found, ModelShape)


def _pool(
    path: str | Path,
    field: str,
    value: object,
    shape: ModelShape,
    make: Callable[..., ServingPool],
) -> ServingPool:
    found = known_in(path, field, value, _POOL, _POOL_OPTIONAL)
    layout = made_in(path, f"{field}.layout", found["layout"], Layout)
    counts = {
        name: whole_in(path, f"{field}.{name}", found[name], 1, _MOST)
        for name in ("replicas", "concurrency", "max_num_batched_tokens")
    }
    redundant = whole_in(
        path, f"{field}.redundant_experts", found.get("redundant_experts", 0), 0, MAX_EXPERTS
    )
    placement = None
    if "physical_to_logical_map" in found:
        place = f"{field}.physical_to_logical_map"
        slots: Ints = array_in(path, place, found["physical_to_logical_map"], ndim=(2,), whole=True)
        experts = shape.experts.n_experts if shape.experts else 0
        if slots.min() < 0 or slots.max() >= experts:
            expected = f"experts in 0 .. {experts - 1}"
            raise invalid_file(path, f"{slots.min()} .. {slots.max()}", expected, place)
        check_size(path, 8 * slots.shape[0] * experts * layout.moe_ep, "arrays", place)
        try:
            placement = Placement(slots, layout.moe_ep)
        except InvalidParameter as error:
            raise invalid_file(path, error.got, error.expected, place) from error
    role = text_in(path, f"{field}.role", found["role"])
    return named_in(
        path,
        field,
        lambda: make(
            role=role, layout=layout, **counts, redundant_experts=redundant, placement=placement
        ),
    )
