"""Advice on gate thresholds: what they save in measured time, and what they drop."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from moe_costmodel.advice.recommendation import Recommendation
from moe_costmodel.advice.windows import window_slices
from moe_costmodel.gating.quality import gate_mass
from moe_costmodel.gating.rules import GateRule
from moe_costmodel.objectives import Predicted
from moe_costmodel.traces.trace import RoutingTrace

if TYPE_CHECKING:
    from moe_costmodel.deployment.model import DeploymentModel

__all__ = ["threshold_advice"]

_WORTH = 0.01
"""Share of the step that a threshold must save at least."""
_MOST_LOST = 0.1  # of the gate mass, of rules that are looked at


def threshold_advice(
    trace: RoutingTrace, deployment: DeploymentModel | None
) -> tuple[list[Recommendation], str]:
    """Return advice on thresholds, and the reason why there is none, or an empty text."""
    if trace.is_load_only or not trace.has_weights:
        return [], "Whether thresholds pay: the trace has no gate weights, which rules compare."
    if trace.n_tokens < 2:
        return [], "Whether thresholds pay: the trace has one token, and at least 2 are needed."
    second = trace.split()[1]
    rules = [GateRule("top-p", p) for p in (0.95, 0.9, 0.85, 0.8)]
    rules += [GateRule("top-k", float(k)) for k in range(max(1, trace.k - 2), trace.k)]
    if deployment is None:
        kept = gate_mass(second, rules[1])
        why = (
            f"No kernel times are given, and skipped choices save time only if kernels show it. "
            f"On the second half, {kept}."
        )
        return [Recommendation("thresholds", 1, False, "No thresholds.", why)], ""
    there = deployment.on(second)
    batch_size = min(16, there.max_batch_size)
    best: tuple[float, GateRule, Predicted] | None = None
    without = there.evaluate(there.decision(batch_size=batch_size)).step_seconds
    for rule in rules:
        lost = float(there.quality_loss(rule).mean())
        if deployment.quality is None and lost > _MOST_LOST:
            continue
        gated = there.evaluate(there.decision(batch_size=batch_size, gates=rule)).step_seconds
        gains = [
            1.0 - float(gated[w].sum() / without[w].sum()) for w in window_slices(len(without))
        ]
        value = 1.0 - float(gated.sum() / without.sum())
        gain = Predicted(value, min([*gains, value]), max([*gains, value]))
        if best is None or value > best[0]:
            best = value, rule, gain
    if best is None:
        why = f"Each rule drops over {_MOST_LOST:.0%} of the gate mass."
        return [Recommendation("thresholds", 1, False, "No thresholds.", why)], ""
    value, rule, gain = best
    kept = gate_mass(second, rule)
    loss = float(np.mean(there.quality_loss(rule)))
    why = f"With measured kernel times; {kept}; {loss:.3g} {deployment.quality_kind}."
    adopt = gain.low > _WORTH and deployment.quality is not None
    if gain.low <= _WORTH:
        why += (
            f" It saves less than {_WORTH:.0%} in some windows: applying a rule takes time, and "
            "fewer choices are not fewer experts."
        )
    elif not adopt:
        why += " Gate mass is not quality: measure the loss (measured_loss) before setting it."
    return [Recommendation("thresholds", 1, adopt, f"{rule} in all layers.", why, gain)], ""
