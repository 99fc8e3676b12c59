"""Certainty of predictions: why times are extrapolated, ratios of their error, and intervals."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from moe_costmodel.deployment.layers import Steps
from moe_costmodel.latency.steps.whole_steps import whole_error, whole_ratios
from moe_costmodel.objectives import OBJECTIVES, Predicted
from moe_costmodel.plans.decision import Decision

if TYPE_CHECKING:
    from moe_costmodel.deployment.model import DeploymentModel

__all__ = ["Errors", "certainty", "predicted"]

Errors = tuple[tuple[float, float], tuple[float, float], tuple[float, float]]
"""Lowest and highest ratio of measured to predicted times: MoE layers, the rest, whole steps."""


def certainty(model: DeploymentModel, steps: Steps, decision: Decision) -> tuple[list[str], Errors]:
    """Return why times are extrapolated, and the ratios of their error.

    Parameters
    ----------
    model : DeploymentModel
        The model of the deployment.
    steps : Steps
        Steps of the decision's batch size.
    decision : Decision
        The deployment.
    """
    shape = replace(model.shape, n_local=decision.slots_per_device)
    layers = model.latency.outside(shape, decision.batch_size)
    context = float(np.mean(steps.context)) if model.context is None else model.context
    rest = model.rest.outside(decision.batch_size, context, mode=model.mode)
    error = model.latency.step_error(
        model.coverage, layers, tokens=decision.batch_size, is_buffered=decision.is_buffered
    )
    if decision.has_thresholds and model.latency.rule_cost is None:
        layers.append("the time of applying a gate rule was not measured")
    others = model.rest.error(model.coverage, decision.batch_size, mode=model.mode)
    of_layers, of_rest = ((min(low, 1.0), max(high, 1.0)) for low, high in (error, others))
    ratios = whole_ratios(model.latency, model.rest, model.shape, mode=model.mode)
    of_whole = whole_error(ratios, model.coverage)
    errors = of_layers, (0.5, 2.0) if rest else of_rest, of_whole
    return [*layers, *rest, *steps.notes], errors


def predicted(model: DeploymentModel, decision: Decision) -> dict[str, Predicted]:
    """Return every objective with its interval, which the halves of a single window widen."""
    whole = model.evaluate(decision)
    found = {name: whole.predicted(name) for name in OBJECTIVES}
    if model.halves is None:
        return found
    if decision.batch_size > model.halves.max_batch_size:
        lost = model.halves.quality_loss(decision.gates)
        ends = {"quality_loss": (float(lost.min()), float(lost.max()))}
    else:
        halves = model.halves.evaluate(decision)
        ends = {name: (p.low, p.high) for name in OBJECTIVES for p in (halves.predicted(name),)}
    for name, (low, high) in ends.items():
        one = found[name]
        low, high = min(one.low, low), max(one.high, high)
        found[name] = Predicted(one.value, low, high, one.worst)
    return found
