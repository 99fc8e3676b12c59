"""Plans as JSON files; the reader checks every field."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from moe_costmodel._arrays import Ints
from moe_costmodel._checks import InvalidParameter, first_where
from moe_costmodel._fields import array_in, known_in, made_in, named_in, of_numpy, place_of
from moe_costmodel.gating.rules import GateRule
from moe_costmodel.objectives import Predicted
from moe_costmodel.offloading.policies import Admission
from moe_costmodel.offloading.rule import OffloadRule
from moe_costmodel.placement.placement import Placement
from moe_costmodel.shapes import MAX_EXPERTS, LayerShape
from moela.files.fields import object_in, text_in, whole_in
from moela.files.guard import brief, check_size, invalid_file
from moela.files.text import read_json

if TYPE_CHECKING:
    from moe_costmodel.plans.plan import Plan

__all__ = ["FORMAT", "load", "save", "to_dict"]

FORMAT = "moe-plan/1"
# Far above any deployment; a damaged file that claims more would need terabytes.
MAX_DEVICES = MAX_LAYERS = MAX_SLOTS = 65_536
_TEXT = ("model", "mode", "policy", "quality_kind")
_COUNTS = {"batch_size": 2**31, "n_devices": MAX_DEVICES, "devices_per_node": MAX_DEVICES}
_RULES = {"k_min": MAX_EXPERTS, "value": MAX_EXPERTS}
_REQUIRED = (
    "format", "model", "shape", "mode", "batch_size", "n_devices", "physical_to_logical_map",
    "capacities", "policy", "gates", "devices_per_node", "layers",
)  # fmt: skip
_OPTIONAL = ("offload", "start", "objectives", "quality_kind", "outside", "provenance", "versions")


def to_dict(plan: Plan) -> dict[str, object]:
    """Return a plan as plain values."""
    outside = {"outside": list(plan.outside)} if plan.outside else {}
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
        **_offloaded(plan),
        "capacities": plan.capacities.tolist(),
        "physical_to_logical_map": plan.placement.physical_to_logical.tolist(),
        "objectives": {name: asdict(value) for name, value in plan.objectives.items()},
        "quality_kind": plan.quality_kind,
        **outside,
        "provenance": dict(plan.provenance),
        "versions": dict(plan.versions),
    }


def _offloaded(plan: Plan) -> dict[str, object]:
    """Return the fields of a plan with a rule for misses; files of other plans are as before."""
    fields: dict[str, object] = {}
    if plan.offload is not None:
        rule = asdict(plan.offload)
        # JSON has no infinity; no number means no limit.
        if math.isinf(plan.offload.admission.per_step):
            del rule["admission"]["per_step"]
        fields["offload"] = rule
    if plan.start is not None:
        fields["start"] = plan.start.tolist()
    return fields


def _offload_in(path: str | Path, content: dict[str, Any]) -> dict[str, object]:
    """Return the parameters of a plan that :func:`_offloaded` wrote."""
    found: dict[str, object] = {}
    if content.get("offload") is not None:
        rule = dict(object_in(path, "offload", content["offload"]))
        if "admission" in rule:
            rule["admission"] = made_in(path, "offload.admission", rule["admission"], Admission)
        made = made_in(path, "offload", rule, OffloadRule)
        if content["policy"] != made.policy:
            expected = f"{made.policy!r}, that of 'offload' (change both)"
            raise invalid_file(path, brief(content["policy"]), expected, "policy")
        found["offload"] = made
    if content.get("start") is not None:
        found["start"] = array_in(path, "start", content["start"], ndim=(2,))
    return found


def save(plan: Plan, path: str | Path) -> Path:
    """Write a plan as JSON, one line a field."""
    path = Path(path)
    content = to_dict(plan).items()
    lines = [f" {json.dumps(k)}: {json.dumps(v, default=of_numpy)}" for k, v in content]
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
    return path


def load(path: str | Path, make: Callable[..., Plan]) -> Plan:
    """Read what :func:`save` wrote; `make` is the class, which imports this module.

    Raises
    ------
    ValueError
        If the file is not a plan. The message names the file, the field, the expected value and
        the actual one.
    """
    parameters = _parameters(path, read_json(path))
    return named_in(path, "", lambda: make(**parameters))


def _parameters(path: str | Path, value: object) -> dict[str, Any]:
    """Return the parameters of the plan in a file's content."""
    form = value.get("format", FORMAT) if isinstance(value, dict) else FORMAT
    if form != FORMAT:
        raise invalid_file(path, brief(form), repr(FORMAT), "format")
    content = known_in(path, "", value, _REQUIRED, _OPTIONAL)
    as_they_are: dict[str, object] = {
        name: text_in(path, name, content[name]) for name in _TEXT if name in content
    }
    as_they_are |= {
        name: whole_in(path, name, content[name], 1, most) for name, most in _COUNTS.items()
    }
    for name in ("provenance", "versions"):
        if name in content:
            items = object_in(path, name, content[name]).items()
            as_they_are[name] = {
                key: text_in(path, place_of(name, key), item) for key, item in items
            }
    if "outside" in content:
        reasons = content["outside"]
        if not isinstance(reasons, list):
            raise invalid_file(path, brief(reasons), "a list of texts", "outside")
        as_they_are["outside"] = tuple(
            text_in(path, f"outside[{i}]", reason) for i, reason in enumerate(reasons)
        )
    shape = LayerShape.from_dict(content["shape"], source=path, field="shape")
    placement = _placement(path, content, shape.n_experts)
    gates, layers = (_row_per_layer(path, name, content, placement) for name in ("gates", "layers"))
    del as_they_are["n_devices"]
    return (
        as_they_are
        | _offload_in(path, content)
        | {
            "shape": shape,
            "placement": placement,
            "capacities": array_in(
                path, "capacities", content["capacities"], ndim=(2,), whole=True
            ),
            "gates": tuple(
                None if rule is None else made_in(path, f"gates[{i}]", rule, GateRule, _RULES)
                for i, rule in enumerate(gates)
            ),
            "layers": tuple(
                whole_in(path, f"layers[{i}]", layer, 0, MAX_LAYERS)
                for i, layer in enumerate(layers)
            ),
            "objectives": {
                name: made_in(path, f"objectives.{name}", predicted, Predicted)
                for name, predicted in object_in(
                    path, "objectives", content.get("objectives", {})
                ).items()
            },
        }
    )


def _placement(path: str | Path, content: dict[str, Any], n_experts: int) -> Placement:
    """Return the placement of a file, which must be of `n_experts` experts."""
    name, n_devices = "physical_to_logical_map", content["n_devices"]
    slots: Ints = array_in(path, name, content[name], ndim=(2,), whole=True)
    n_layers, n_slots = slots.shape
    fewest = max(n_experts, n_devices)
    if not fewest <= n_slots <= MAX_SLOTS or n_layers > MAX_LAYERS:
        expected = f"at most {MAX_LAYERS} rows of {fewest} to {MAX_SLOTS} slots"
        raise invalid_file(path, f"{n_layers} rows of {n_slots}", expected, name)
    if wrong := first_where(slots, (slots < 0) | (slots >= n_experts)):
        raise invalid_file(path, wrong, f"experts in 0 .. {n_experts - 1}", name)
    if n_slots % n_devices:
        raise invalid_file(path, n_devices, f"a divisor of the {n_slots} slots", "n_devices")
    # A plan counts the copies of each expert on each device.
    check_size(path, 8 * n_layers * n_experts * n_devices, "arrays", name)
    try:
        return Placement(slots, n_devices)
    except InvalidParameter as error:
        raise invalid_file(path, error.got, error.expected, name) from error


def _row_per_layer(
    path: str | Path, name: str, content: dict[str, Any], placement: Placement
) -> list[object]:
    rows, n_layers = content[name], placement.n_layers
    if not isinstance(rows, list) or len(rows) != n_layers:
        got = f"{len(rows)} of them" if isinstance(rows, list) else brief(rows)
        raise invalid_file(path, got, f"a list, one entry for each of {n_layers} layers", name)
    return rows
