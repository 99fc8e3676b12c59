"""Notes on thresholds that an engine does not take: what its command runs at instead."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from moe_costmodel.objectives import OBJECTIVES, SERVING_OBJECTIVES, Objective, quantity

if TYPE_CHECKING:
    from moe_costmodel.plans.export_flags import Evaluate
    from moe_costmodel.plans.plan import Plan
    from moe_costmodel.plans.serving_plan import ServingPlan

__all__ = ["plan_notes", "serving_notes", "ungated_notes"]


def ungated_notes(
    known: Mapping[str, Objective],
    planned: Mapping[str, float],
    ungated: Mapping[str, float],
    limits: Mapping[str, float],
) -> list[str]:
    """Return notes on the objectives without thresholds, and on each limit that they miss.

    Parameters
    ----------
    known : mapping of str to Objective
        Objectives by name.
    planned, ungated : mapping of str to float
        Values of the plan, and those of the same plan without thresholds.
    limits : mapping of str to float
        Upper limits on some of them.
    """

    def words(name: str, value: float) -> str:
        return quantity(value, known[name].unit)

    changed = [
        f"{known[name].words} {words(name, value)} instead of {words(name, planned[name])}"
        for name, value in ungated.items()
        if name != "quality_loss" and words(name, value) != words(name, planned[name])
    ]
    notes = [f"without thresholds: {'; '.join(changed) or 'the same values'}"]
    notes += [
        f"without thresholds, the limit of {words(name, limit)} is missed: {known[name].words} "
        f"{words(name, ungated[name])}"
        for name, limit in limits.items()
        if name in ungated and ungated[name] > limit
    ]
    return notes


def serving_notes(plan: ServingPlan) -> list[str]:
    """Return notes on what a served model runs at without the plan's rules; none if it has none."""
    if not plan.ungated:
        return []
    planned = {name: plan.objectives[name].value for name in plan.ungated}
    return ungated_notes(SERVING_OBJECTIVES, planned, plan.ungated, plan.limits)


def plan_notes(
    plan: Plan, evaluate: Evaluate | None, limits: Mapping[str, float] | None = None
) -> list[str]:
    """Return notes on what a plan's objectives are without its thresholds; none if it has none.

    `evaluate` is a DeploymentModel's; without it, nothing is known.
    """
    if evaluate is None or not plan.has_thresholds:
        return []
    ungated = replace(plan, gates=(None,) * plan.n_layers)
    names = [name for name in OBJECTIVES if name in plan.objectives]
    planned, found = (
        {name: costs[name] for name in names} for costs in map(evaluate, (plan, ungated))
    )
    return ungated_notes(OBJECTIVES, planned, found, limits or {})
