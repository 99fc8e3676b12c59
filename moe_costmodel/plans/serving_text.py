"""Serving plans as text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from moe_costmodel.objectives import SERVING_OBJECTIVES, beyond, quantity
from moe_costmodel.plans.ungated import serving_notes

if TYPE_CHECKING:
    from moe_costmodel.plans.serving_plan import ServingPlan, ServingPool

__all__ = ["summary", "table"]

_LEFT_OUT = 1.05  # extrapolations below are not shown


def summary(plan: ServingPlan) -> str:
    """Return a plan in one line."""
    pools = "; ".join(_pool(pool, plan.mode == "disaggregated") for pool in plan.pools)
    gated = sum(rule is not None for rule in plan.gates)
    gates = f"; rules on {gated} layers" if gated else ""
    values = ", ".join(
        f"{name} {quantity(value.value, SERVING_OBJECTIVES[name].unit)}"
        for name, value in plan.objectives.items()
    )
    return f"{plan.model} on {plan.n_gpus} {plan.gpu} ({plan.backend}): {pools}{gates}; {values}"


def _pool(pool: ServingPool, with_role: bool) -> str:
    role = f"{pool.role} " if with_role else ""
    copies = f", {pool.redundant_experts} redundant experts" if pool.redundant_experts else ""
    return (
        f"{role}{pool.replicas} x ({pool.layout}), concurrency {pool.concurrency}, "
        f"{pool.max_num_batched_tokens} tokens a step{copies}"
    )


def table(plan: ServingPlan) -> str:
    """Return a plan in lines: settings, predicted values, extrapolations, assumptions."""
    lines = [
        f"{plan.model} on {plan.n_gpus} {plan.gpu}, {plan.backend}, {plan.mode}: prompts of "
        f"{plan.input_tokens} tokens, answers of {plan.output_tokens}"
    ]
    lines += [f"  {_pool(pool, True)}" for pool in plan.pools]
    rules: dict[str, int] = {}
    for rule in plan.gates:
        name = "no rule" if rule is None else str(rule)
        rules[name] = rules.get(name, 0) + 1
    if any(rule is not None for rule in plan.gates):
        lines.append("  gates: " + ", ".join(f"{name} on {n} layers" for name, n in rules.items()))
    for name, value in plan.objectives.items():
        objective = SERVING_OBJECTIVES[name]
        low, high = (quantity(v, objective.unit) for v in (value.low, value.high))
        span = f" ({low} to {high})" if low != high else ""
        lines.append(f"  {objective.words}: {quantity(value.value, objective.unit)}{span}")
    lines += [f"  {note}" for note in serving_notes(plan)]
    far = {name: factor for name, factor in plan.outside.items() if factor > _LEFT_OUT}
    if far:
        words = "; ".join(f"{name}, {beyond(factor)}" for name, factor in far.items())
        lines.append(f"  not measured: {words}")
    return "\n".join([*lines, *(f"  note: {note}" for note in plan.notes)])
