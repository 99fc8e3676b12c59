"""Plans as JSON files; the reader checks every field."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from moe_costmodel._arrays import Ints
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
_REQUIRED = (
    "format",
    "model",
    "shape",
    "mode",
    "batch_size",
    "n_devices",
    "physical_to_logical_map",
    "capacities",
    "policy",
    "gates",
    "devices_per_node",
    "layers",
)
_OPTIONAL = ("objectives", "quality_kind", "provenance", "versions")


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
    """Read what :func:`save` wrote.

    Parameters
    ----------
    path : path
    make : callable
        Builds the plan from its parameters: the class, which imports this module.

    Raises
    ------
    ValueError
        If the file is not a plan. The message names the file, the field, the expected value and
        the actual one.
    """
    source = str(path)
    try:
        content = json.loads(Path(path).read_bytes())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{source}: must be JSON. Got {error} instead.") from error
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
    if content.get("format") != FORMAT:
        raise _fault(source, "format", repr(FORMAT), repr(content.get("format")))
    for name in _REQUIRED:
        if name not in content:
            raise _fault(source, name, "present", f"only {sorted(content)}")
    unknown = sorted(set(content) - {*_REQUIRED, *_OPTIONAL})
    if unknown:
        raise ValueError(
            f"{source}: fields must be among {sorted({*_REQUIRED, *_OPTIONAL})}. Got {unknown} too."
        )
    for name in _TEXT:
        if not isinstance(content.get(name, ""), str):
            raise _fault(source, name, "text", repr(content[name]))
    for name in ("batch_size", "n_devices", "devices_per_node"):
        value = content[name]
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise _fault(source, name, "a positive integer", repr(value))
    if content["n_devices"] > MAX_DEVICES:
        raise _fault(source, "n_devices", f"at most {MAX_DEVICES}", content["n_devices"])
    shape = _shape(content["shape"], source)
    slots = _table(content["physical_to_logical_map"], "physical_to_logical_map", source)
    if slots.shape[1] < shape.n_experts or content["n_devices"] > slots.shape[1]:
        raise _fault(
            source,
            "physical_to_logical_map",
            f"rows of at least {max(shape.n_experts, content['n_devices'])} slots",
            f"rows of {slots.shape[1]}",
        )
    if slots.max() >= shape.n_experts:
        place = tuple(int(i) for i in np.argwhere(slots >= shape.n_experts)[0])
        raise _fault(
            source,
            "physical_to_logical_map",
            f"experts in 0 .. {shape.n_experts - 1}",
            f"{slots[place]} at {place}",
        )
    layers = content["layers"]
    if not isinstance(layers, list):
        raise _fault(source, "layers", "a list of layer numbers", repr(layers))
    return {
        "model": content["model"],
        "shape": shape,
        "mode": content["mode"],
        "batch_size": content["batch_size"],
        "placement": Placement(slots, content["n_devices"]),
        "capacities": _table(content["capacities"], "capacities", source),
        "policy": content["policy"],
        "gates": _gates(content["gates"], source),
        "devices_per_node": content["devices_per_node"],
        "layers": tuple(layers),
        "objectives": _objectives(content.get("objectives", {}), source),
        "quality_kind": content.get("quality_kind", "gate mass lost"),
        "provenance": content.get("provenance", {}),
        "versions": content.get("versions", {}),
    }


def _fault(source: str, name: str, expected: str, got: object) -> ValueError:
    return ValueError(f"{source}: field '{name}' must be {expected}. Got {got} instead.")


def _shape(content: Any, source: str) -> LayerShape:
    try:
        return LayerShape(**dict(content))
    except (TypeError, ValueError) as error:
        raise _fault(source, "shape", "a layer's sizes", f"{content!r} ({error})") from error


def _table(content: Any, name: str, source: str) -> Ints:
    expected = "a table of integers, one row per layer, all of one length"
    if not isinstance(content, list) or not content:
        raise _fault(source, name, expected, type(content).__name__)
    for i, row in enumerate(content):
        if not isinstance(row, list) or len(row) != len(content[0]) or not row:
            raise _fault(source, f"{name}[{i}]", f"a row of {expected}", repr(row)[:60])
        for j, value in enumerate(row):
            if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << 31:
                raise _fault(source, f"{name}[{i}][{j}]", "an integer, 0 or more", repr(value)[:60])
    return np.array(content, dtype=np.int64)


def _gates(content: Any, source: str) -> tuple[GateRule | None, ...]:
    if not isinstance(content, list) or not content:
        raise _fault(source, "gates", "a list, one rule or null per layer", repr(content)[:60])
    rules: list[GateRule | None] = []
    for i, rule in enumerate(content):
        try:
            rules.append(None if rule is None else GateRule(**dict(rule)))
        except (TypeError, ValueError) as error:
            raise _fault(
                source, f"gates[{i}]", "a rule (kind, value, k_min) or null", f"{rule!r} ({error})"
            ) from error
    return tuple(rules)


def _objectives(content: Any, source: str) -> dict[str, Predicted]:
    if not isinstance(content, dict):
        raise _fault(source, "objectives", "an object", repr(content)[:60])
    out = {}
    for name, value in content.items():
        try:
            out[name] = Predicted(**dict(value))
        except (TypeError, ValueError) as error:
            raise _fault(
                source, f"objectives.{name}", "value, low and high", f"{value!r} ({error})"
            ) from error
    return out
