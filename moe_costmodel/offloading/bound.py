"""A lower bound on the cost of misses and uploads: no plan, not even one that knows the future."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.optimize import minimize_scalar

from moe_costmodel._arrays import Ints
from moe_costmodel.buffering.replay import ExpertStream
from moe_costmodel.offloading.cost import MissCost
from moela.compilation.jit import cached_njit

__all__ = ["least_seconds"]


@cached_njit(nogil=True)
def _cheapest(
    ids: Ints, bounds: Ints, n_experts: int, miss: float, upload: float, rent: float
) -> float:
    """Return the least cost of one layer if a resident expert costs `rent` in every step.

    Without the limit on slots, experts are separable. For each, a dynamic program over its uses
    keeps the cheapest cost of being in fast memory after a use, and of not being there.
    """
    inside, outside = np.zeros(n_experts), np.zeros(n_experts)
    last = np.zeros(n_experts, dtype=np.int64)
    for step in range(len(bounds) - 1):
        for i in range(bounds[step], bounds[step + 1]):
            expert = ids[i]
            left = min(outside[expert], inside[expert])
            kept = inside[expert] + rent * (step - last[expert])
            # Uploaded right before the use, or kept since the last one.
            hit = min(kept, left + upload + rent)
            missed = left + miss
            inside[expert] = min(hit, missed + upload)
            outside[expert] = min(missed, hit)
            last[expert] = step
    return np.minimum(inside, outside).sum()


def least_seconds(streams: Sequence[ExpertStream], slots: int, cost: MissCost) -> float:
    """Return a lower bound on the mean seconds of a step with `slots` slots in all.

    The bound is the Lagrangian dual of the plan that knows the future: every slot costs a rent in
    every step, and slots * rent is subtracted. It holds for every policy, admission, prefetch and
    division of the slots among layers, also for one that changes, and whatever the slots hold at
    first. Uploads that a step hides are taken as free, so the bound is low for a cost with `hidden`
    time.

    Parameters
    ----------
    streams : sequence of ExpertStream
        One for each layer.
    slots : int
        Experts of all layers together that fit.
    cost : MissCost

    Returns
    -------
    float

    Examples
    --------
    >>> from moe_costmodel import MissCost, RoutingTrace, least_seconds
    >>> from moe_costmodel.offloading.planner import layer_streams
    >>> streams, cost = layer_streams(RoutingTrace.example()), MissCost.published()
    >>> cost.base < least_seconds(streams, 8, cost) < least_seconds(streams, 4, cost)
    True
    """
    n_steps = len(streams[0].bounds) - 1
    upload = 0.0 if cost.hidden > 0 else cost.per_upload

    def negative(rent: float) -> float:
        total = sum(
            _cheapest(s.ids, s.bounds, s.n_experts, cost.per_miss, upload, rent) for s in streams
        )
        return slots * rent - total / n_steps

    # The dual is concave in the rent; beyond the cost of a miss no expert is worth a slot.
    best = minimize_scalar(negative, bounds=(0.0, cost.per_miss), method="bounded",
                           options={"xatol": 1e-4 * max(cost.per_miss, 1e-300)})  # fmt: skip
    return cost.base + max(0.0, -float(best.fun))
