"""Descriptions of a plan: one line, a table, a page."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from moe_costmodel.objectives import OBJECTIVES, Predicted, quantity

if TYPE_CHECKING:
    from moe_costmodel.offloading.rule import OffloadRule
    from moe_costmodel.plans.plan import Plan

__all__ = ["explain", "summary", "table"]


def summary(plan: Plan) -> str:
    """Return a plan in one line."""
    parts = [
        f"{plan.model}: {plan.mode} in steps of {plan.batch_size} on {plan.n_devices} device"
        + "s" * (plan.n_devices > 1)
    ]
    if plan.n_nodes > 1:
        parts[0] += f" of {plan.n_nodes} nodes"
    if plan.placement.n_replicas:
        parts.append(f"{plan.placement.n_replicas} replicas per layer")
    if plan.is_buffered:
        low, high = int(plan.capacities.min()), int(plan.capacities.max())
        kept = f"{low}" if low == high else f"{low} to {high}"
        parts.append(
            f"{kept} of {plan.slots_per_device} experts resident ({plan.offload or plan.policy})"
        )
    if plan.has_thresholds:
        parts.append(f"thresholds in {sum(rule is not None for rule in plan.gates)} layers")
    for name in ("tokens_per_s", "step_p99_s", "memory_bytes", "quality_loss"):
        if name in plan.objectives:
            parts.append(f"{name} {quantity(plan.objectives[name].value, OBJECTIVES[name].unit)}")
    if plan.outside:
        parts.append("times are extrapolated")
    return "; ".join(parts)


def table(plan: Plan) -> str:
    """Return a plan as a table: its settings layer by layer, and its objectives."""
    lines = [
        summary(plan),
        f"  {'layer':>5}  {'gate':<20}  {'resident per device':<24}  replicated",
    ]
    copies = plan.placement.copies
    for i, number in enumerate(plan.layers):
        row = plan.capacities[i]
        resident = str(row[0]) if (row == row[0]).all() else " ".join(str(c) for c in row)
        lines.append(
            f"  {number:>5}  {'all' if plan.gates[i] is None else str(plan.gates[i]):<20}  "
            f"{resident:<24}  {int((copies[i] > 1).sum())}"
        )
    if plan.objectives:
        lines.append(f"  {'objective':<18} {'predicted':>17}  interval")
        lines += [f"  {name:<18} {_line(name, p)}" for name, p in plan.objectives.items()]
        lines += [f"  times are extrapolated: {reason}" for reason in plan.outside]
    return "\n".join(lines)


def _line(name: str, predicted: Predicted) -> str:
    unit = OBJECTIVES[name].unit
    value, low, high = (quantity(v, unit) for v in (predicted.value, predicted.low, predicted.high))
    return f"{value:>17}  {low} .. {high}"


def explain(plan: Plan) -> str:
    """Return a page in plain words: settings, predictions with intervals, and their sources."""
    s = plan.shape
    lines = [
        f"Plan for {plan.model}",
        "",
        f"The model has {plan.n_layers} MoE layers of {s.n_experts} experts "
        f"({quantity(s.expert_bytes, 'bytes')} each, {s.dtype}); a token goes to {s.k}.",
        f"It is served on {plan.n_devices} device{'s' if plan.n_devices > 1 else ''}"
        + (f" on {plan.n_nodes} nodes" if plan.n_nodes > 1 else "")
        + _batch_words(plan),
        "",
        "What to set",
        *_placement_words(plan),
        *_buffer_words(plan),
        *_gate_words(plan),
    ]
    if plan.objectives:
        lines += ["", "What to expect"]
        for name, p in plan.objectives.items():
            o = OBJECTIVES[name]
            if not p.low and not p.high:
                continue
            words = f"{o.words} ({plan.quality_kind})" if name == "quality_loss" else o.words
            value, low, high = (quantity(v, o.unit) for v in (p.value, p.low, p.high))
            span = f", between {low} and {high}" if low != high else ""
            lines.append(f"- {words}: {value}{span}.")
        lines.append(
            "The intervals span the windows of traffic that were evaluated (the two halves of a "
            "single window), widened by the error of the cost model on layers that it was not "
            "fitted to. They do not cover other traffic: plan.check(trace, deployment=model) "
            "evaluates the plan on it."
        )
        lines += [f"Times are extrapolated: {reason}." for reason in plan.outside]
        if plan.quality_kind == "gate mass lost" and plan.has_thresholds:
            lines.append(
                "Gate mass is not quality: measure the loss of the model under these thresholds "
                "before serving with them."
            )
    if plan.provenance:
        lines += ["", "Where this is from"]
        lines += [f"- {name}: {value}" for name, value in sorted(plan.provenance.items())]
    return "\n".join(lines)


def _batch_words(plan: Plan) -> str:
    if plan.mode != "decode":
        return f", prompts in steps of {plan.batch_size} token{'s' if plan.batch_size > 1 else ''}."
    if plan.batch_size == 1:
        return ", one sequence decoded at a time, with one token per step."
    return f", {plan.batch_size} sequences decoded together, with one token of each per step."


def _placement_words(plan: Plan) -> list[str]:
    if plan.n_devices == 1:
        return ["- All experts are on the one device."]
    replicas = plan.placement.n_replicas
    each = f"- Each device holds {plan.slots_per_device} experts of every layer"
    if not replicas:
        return [each + ", none of them twice."]
    extra = replicas / plan.n_devices * plan.n_layers * plan.shape.expert_bytes
    most = [
        (number, [int(e) for e in (-copies).argsort(kind="stable")[:3] if copies[e] > 1])
        for number, copies in zip(plan.layers[:3], plan.placement.copies[:3], strict=True)
    ]
    busiest = [f"layer {number}: {', '.join(map(str, experts))}" for number, experts in most]
    words = "is a replica of a busy expert" if replicas == 1 else "are replicas of busy experts"
    return [
        each + f"; {replicas} of a layer's slots {words}, which takes "
        f"{quantity(extra, 'bytes')} a device. Most copied: {'; '.join(busiest)}"
        + (", ..." if plan.n_layers > 3 else ".")
    ]


def _buffer_words(plan: Plan) -> list[str]:
    if not plan.is_buffered:
        return ["- All placed experts stay in fast memory; no buffer."]
    kept = plan.capacities.sum(axis=0) * plan.shape.expert_bytes
    full = plan.n_layers * plan.slots_per_device * plan.shape.expert_bytes
    low, high = int(plan.capacities.min()), int(plan.capacities.max())
    some = f"{low} to {high} (mean {plan.capacities.mean():.1f})" if low < high else f"{low}"
    others = f"copies the others in when they are needed, policy '{plan.policy}'"
    if plan.offload is not None and plan.offload.in_place:
        others = "computes the others where their weights lie"
    lines = [
        f"- A device keeps {some} of its "
        f"{plan.slots_per_device} experts of a layer in fast memory and {others}: at most "
        f"{quantity(float(kept.max()), 'bytes')} instead of {quantity(full, 'bytes')}."
    ]
    return lines if plan.offload is None else [*lines, *_offload_words(plan, plan.offload)]


def _offload_words(plan: Plan, rule: OffloadRule) -> list[str]:
    lines = []
    if plan.start is not None:
        lines.append("- Buffers begin with the experts that were used most ('start').")
    if rule.is_static:
        lines.append("- Nothing is uploaded: the first contents stay.")
    else:
        lines.append(f"- Uploads: {rule.admission}; policy '{rule.policy}'.")
    if rule.precision is not None:
        lines.append(
            f"- A predictor prefetches {rule.recall:.0%} of the misses; {rule.precision:.0%} of "
            "what it prefetches is needed. Measure yours before you rely on that."
        )
    return lines


def _gate_words(plan: Plan) -> list[str]:
    if not plan.has_thresholds:
        return ["- Every token is computed by all experts that its router chose."]
    rules = Counter("all choices" if r is None else str(r) for r in plan.gates)
    words = "; ".join(f"{rule} in {n} layer{'s' * (n > 1)}" for rule, n in rules.most_common(6))
    more = f"; and {len(rules) - 6} more" if len(rules) > 6 else ""
    return [f"- Choices that a threshold drops are not computed: {words}{more}."]
