"""Plans as JSON files; the reader checks every field."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from moe_costmodel._arrays import Ints
from moe_costmodel._checks import first_where, invalid_field, read_json
from moe_costmodel.gating.rules import GateRule
from moe_costmodel.objectives import Predicted
from moe_costmodel.placement.placement import Placement
from moe_costmodel.shapes import LayerShape

if TYPE_CHECKING:
    from moe_costmodel.plans.plan import Plan

__all__ = ["FORMAT", "load", "save", "to_dict"]

FORMAT = "moe-plan/1"
# Far above any deployment; a damaged file that claims more would need terabytes.
MAX_DEVICES = 65_536
_TEXT = ("model", "mode", "policy", "quality_kind")
_COUNTS = ("batch_size", "n_devices", "devices_per_node")
_REQUIRED = (
    "format", "model", "shape", "mode", "batch_size", "n_devices", "physical_to_logical_map",
    "capacities", "policy", "gates", "devices_per_node", "layers",
)  # fmt: skip
_OPTIONAL = ("objectives", "quality_kind", "provenance", "versions")
_Made = TypeVar("_Made")


def to_dict(plan: Plan) -> dict[str, object]:
    """Return a plan as plain values."""
    shape = {k: v for k, v in plan.shape.to_dict().items() if k != "n_local"}
    return {
        "format": FORMAT,
        "model": plan.model,
        "layers": list(plan.layers),
        "shape": shape,
        "mode": plan.mode,
        "batch_size": plan.batch_size,
        "n_devices": plan.n_devices,
        "devices_per_node": plan.devices_per_node,
        "gates": [None if rule is None else asdict(rule) for rule in plan.gates],
        "policy": plan.policy,
        "capacities": plan.capacities.tolist(),
        "physical_to_logical_map": plan.placement.physical_to_logical.tolist(),
        "objectives": {name: asdict(value) for name, value in plan.objectives.items()},
        "quality_kind": plan.quality_kind,
        "provenance": dict(plan.provenance),
        "versions": dict(plan.versions),
    }


def save(plan: Plan, path: str | Path) -> Path:
    """Write a plan as JSON, one line a field."""
    path = Path(path)
    lines = [f" {json.dumps(k)}: {json.dumps(v)}" for k, v in to_dict(plan).items()]
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    return path


def load(path: str | Path, make: Callable[..., Plan]) -> Plan:
    """Read what :func:`save` wrote; `make` is the class, which imports this module.

    Raises
    ------
    ValueError
        If the file is not a plan. The message names the file, the field, the expected value and
        the actual one.
    """
    source = str(path)
    content = read_json(Path(path))
    try:
        return make(**_parameters(content, source))
    except ValueError as error:
        message = str(error)
        if message.startswith(source):
            raise
        raise ValueError(f"{source}: {message}") from error


def _parameters(content: Any, source: str) -> dict[str, object]:
    """Return the parameters of the plan in a file's content."""
    if not isinstance(content, dict):
        raise ValueError(f"{source}: must be an object. Got {type(content).__name__} instead.")
    fault = partial(invalid_field, source)
    if content.get("format") != FORMAT:
        raise fault("format", repr(content.get("format")), repr(FORMAT))
    for name in _REQUIRED:
        if name not in content:
            raise fault(name, f"only {sorted(content)}", "present")
    unknown = sorted(set(content) - {*_REQUIRED, *_OPTIONAL})
    if unknown:
        raise ValueError(
            f"{source}: fields must be among {sorted({*_REQUIRED, *_OPTIONAL})}. Got {unknown} too."
        )
    for name in _TEXT:
        if not isinstance(content.get(name, ""), str):
            raise fault(name, repr(content[name]), "text")
    for name in _COUNTS:
        value = content[name]
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise fault(name, repr(value), "a positive integer")
    n_devices = content["n_devices"]
    if n_devices > MAX_DEVICES:
        raise fault("n_devices", n_devices, f"at most {MAX_DEVICES}")
    shape = _build(LayerShape, content["shape"], "shape", "a layer's sizes", source)
    map_name = "physical_to_logical_map"
    slots = _table(content[map_name], map_name, source)
    fewest = max(shape.n_experts, n_devices)
    if slots.shape[1] < fewest:
        raise fault(map_name, f"rows of {slots.shape[1]}", f"rows of at least {fewest} slots")
    if wrong := first_where(slots, slots >= shape.n_experts):
        raise fault(map_name, wrong, f"experts in 0 .. {shape.n_experts - 1}")
    layers, gates = content["layers"], content["gates"]
    if not isinstance(layers, list):
        raise fault("layers", repr(layers), "a list of layer numbers")
    if not isinstance(gates, list) or not gates:
        raise fault("gates", repr(gates)[:60], "a list, one rule or null per layer")
    a_rule = "a rule (kind, value, k_min) or null"
    objectives = content.get("objectives", {})
    if not isinstance(objectives, dict):
        raise fault("objectives", repr(objectives)[:60], "an object")
    as_they_are = {*_TEXT, "batch_size", "devices_per_node", "provenance", "versions"}
    return {name: value for name, value in content.items() if name in as_they_are} | {
        "shape": shape,
        "placement": Placement(slots, n_devices),
        "capacities": _table(content["capacities"], "capacities", source),
        "gates": tuple(
            None if rule is None else _build(GateRule, rule, f"gates[{i}]", a_rule, source)
            for i, rule in enumerate(gates)
        ),
        "layers": tuple(layers),
        "objectives": {
            name: _build(Predicted, value, f"objectives.{name}", "value, low and high", source)
            for name, value in objectives.items()
        },
    }


def _build(
    make: Callable[..., _Made], content: Any, name: str, expected: str, source: str
) -> _Made:
    """Return what `make` makes of an object's fields."""
    try:
        return make(**dict(content))
    except (TypeError, ValueError) as error:
        raise invalid_field(source, name, f"{content!r} ({error})", expected) from error


def _table(content: Any, name: str, source: str) -> Ints:
    fault = partial(invalid_field, source)
    expected = "a table of integers, one row per layer, all of one length"
    if not isinstance(content, list) or not content:
        raise fault(name, type(content).__name__, expected)
    for i, row in enumerate(content):
        if not isinstance(row, list) or len(row) != len(content[0]) or not row:
            raise fault(f"{name}[{i}]", repr(row)[:60], f"a row of {expected}")
        for j, value in enumerate(row):
            if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << 31:
                raise fault(f"{name}[{i}][{j}]", repr(value)[:60], "an integer, 0 or more")
    return np.array(content, dtype=np.int64)
