"""RuleCost: the time that it takes to apply a gate rule to the choices of a step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import nnls

from moe_costmodel.measure.measurements import Record

__all__ = ["RuleCost"]


@dataclass(frozen=True)
class RuleCost:
    """Seconds of a gate rule on one layer.

    Attributes
    ----------
    per_step : float
        Seconds per step.
    per_choice : float
        Seconds per choice of the router, k for each token.

    Examples
    --------
    >>> from moe_costmodel.latency.rule_cost import RuleCost
    >>> round(RuleCost(per_step=2e-5, per_choice=1e-8).seconds(tokens=100, k=4), 9)
    2.4e-05
    """

    per_step: float = 0.0
    per_choice: float = 0.0

    @classmethod
    def fit(cls, records: Sequence[Record]) -> RuleCost:
        """Fit to records of kind "rule" by non-negative least squares on relative errors."""
        rows = [(r.at["tokens"] * r.shape.k, r.seconds) for r in records if r.shape is not None]
        choices, seconds = np.array(rows, dtype=np.float64).T
        terms = np.stack([np.ones_like(choices), choices / choices.max()], axis=1)
        (per_step, per_choice), _ = nnls(terms / seconds[:, None], np.ones_like(seconds))
        return cls(float(per_step), float(per_choice / choices.max()))

    def seconds(self, tokens: float, k: int) -> float:
        """Return the seconds of a step of `tokens` tokens with `k` choices each."""
        return self.per_step + self.per_choice * tokens * k
