"""Advice on experts that do not fit: which to keep, and whether to build a buffer."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from moe_costmodel._arrays import Floats
from moe_costmodel.advice.recommendation import Recommendation
from moe_costmodel.advice.traffic import smallest_steps
from moe_costmodel.advice.windows import (
    FEWEST_STEPS,
    MOST_WINDOWS,
    gain_on,
    interval_of,
    window_slices,
)
from moe_costmodel.objectives import Predicted
from moe_costmodel.offloading.cost import MissCost
from moe_costmodel.offloading.planner import (
    STATIC,
    OffloadPlan,
    equal_slots,
    layer_streams,
    plan_offload,
    replay_slots,
)
from moe_costmodel.offloading.policies import Admission
from moe_costmodel.traces.trace import RoutingTrace

__all__ = ["buffer_advice"]


def buffer_advice(
    trace: RoutingTrace, others: Sequence[RoutingTrace], slots: int | None, cost: MissCost | None
) -> tuple[list[Recommendation], str]:
    """Return advice on one device whose fast memory holds `slots` experts of a layer.

    Returns
    -------
    recommendations : list of Recommendation
    unknown : str
        Reason why there is none, or an empty text.
    """
    if trace.is_load_only and len(trace.loads()) < 2 * FEWEST_STEPS:
        return [], (
            "Which experts meet in a step, which expert buffers depend on: the trace holds sums "
            "over steps. Record each token's choices."
        )
    halves = trace.split() if smallest_steps(trace) > 1 else None
    fewest = 0 if halves is None else min(map(smallest_steps, halves))
    if halves is None or fewest < FEWEST_STEPS:
        return [], (
            f"Which experts to keep: a half of the trace has only {fewest} steps, and each needs "
            f"at least {FEWEST_STEPS} to show how steps differ. Record more."
        )
    slots = max(1, trace.n_experts // 2) if slots is None else slots
    if slots >= trace.n_experts:
        why = f"All {trace.n_experts} experts of a layer fit."
        return [Recommendation("expert buffer", 1, False, "No buffer.", why)], ""
    cost = cost or MissCost.published()
    first, second = halves
    plan = plan_offload(first, slots=slots * trace.n_layers, cost=cost)
    rows = _Rows(plan, second, slots, cost)
    crossed = _cross_validated(first, slots, cost)
    gain = _gain(crossed, lambda some: (some.plan, some.unfitted))
    scored = {"second half": gain_on(rows.plan, rows.unfitted)}
    for other in others:
        if other.is_load_only == trace.is_load_only:
            there = _Rows(plan, other, slots, cost)
            scored[other.source] = gain_on(there.plan, there.unfitted)
    adopt = gain.low > 0 and min(scored.values()) > 0
    final = plan_offload(trace, slots=slots * trace.n_layers, cost=cost)
    setting = (
        f"If only {slots} of {trace.n_experts} experts of a layer fit: keep the listed experts "
        f"({str(final).splitlines()[0]})."
    )
    static = gain_on(rows.plan, rows.static)
    why = (
        "Compared with the first experts by id, in milliseconds a step on the second half: "
        f"{rows.unfitted.mean() * 1e3:.2f} for those, {rows.static.mean() * 1e3:.2f} for a list "
        f"fitted on the first half, {rows.plan.mean() * 1e3:.2f} for the plan."
    )
    if abs(static) < 0.01:
        why += " The list alone is as good, so there is no need to build more."
    found = [Recommendation("expert buffer", 1, adopt, setting, why, gain, scored, None, final)]
    lru = _gain(crossed, lambda some: (some.lru, some.static))
    if lru.low <= 0:
        words = "thrashes" if lru.value < 0 else "gains nothing that is certain"
        found.append(
            Recommendation(
                "LRU cache", 1, False, "Every miss is uploaded.",
                f"It {words}, compared with the list: {rows.lru.mean() * 1e3:.2f} ms a step on the "
                "second half.",
                lru,
            )
        )  # fmt: skip
    return found, ""


def _cross_validated(trace: RoutingTrace, slots: int, cost: MissCost) -> list[_Rows]:
    """Return the steps of each half of a trace under what the other half fits."""
    early, late = trace.split()
    n_slots = slots * trace.n_layers
    return [
        _Rows(plan_offload(fitted, slots=n_slots, cost=cost), scored, slots, cost)
        for fitted, scored in ((late, early), (early, late))
    ]


def _gain(parts: Sequence[_Rows], compared: Callable[[_Rows], tuple[Floats, Floats]]) -> Predicted:
    """Return the mean share of the time that is saved over all windows, with its interval.

    `compared` returns the seconds of the steps of a part with a setting, and without it.
    """
    gains = []
    for new, old in map(compared, parts):
        windows = window_slices(len(new), MOST_WINDOWS // 2)
        gains += [gain_on(new[window], old[window]) for window in windows]
    return interval_of(np.array(gains), of_mean=True)


class _Rows:
    """Seconds of each step of some traffic under four rules."""

    def __init__(self, plan: OffloadPlan, trace: RoutingTrace, slots: int, cost: MissCost) -> None:
        streams = layer_streams(trace, 1)
        n_layers, n_experts = plan.start.shape
        equal = equal_slots(n_layers, n_experts, slots * n_layers)
        by_id = np.tile(np.arange(n_experts, 0, -1.0), (n_layers, 1))

        def seconds(policy: str, rule: Admission, start: Floats) -> Floats:
            misses, uploads = replay_slots(streams, equal, policy, [rule], start, 0.0, 1024.0)
            return cost.step_seconds(misses[:, 0], uploads[:, 0])

        self.unfitted = seconds("lfu", STATIC, by_id)
        self.static = seconds("lfu", STATIC, plan.start)
        self.lru = seconds("lru", Admission(), plan.start)
        self.plan = cost.step_seconds(*plan.replay(trace))
