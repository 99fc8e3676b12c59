"""OffloadRule: where a miss is computed, what is uploaded, and what is prefetched."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from moe_costmodel._arrays import Floats
from moe_costmodel._checks import check_number, invalid, one_of, require
from moe_costmodel.buffering.replay import ExpertStream
from moe_costmodel.offloading.cost import MissCost
from moe_costmodel.offloading.policies import OFFLOAD_POLICIES, Admission
from moe_costmodel.offloading.replay import offload_curves

__all__ = ["OffloadRule", "charged_seconds"]


@dataclass(frozen=True)
class OffloadRule:
    """The treatment of misses in a deployment whose experts do not fit.

    Parameters
    ----------
    policy : str
        Eviction policy, one of :data:`moe_costmodel.OFFLOAD_POLICIES`.
    admission : Admission
        Which misses are uploaded; ``Admission(per_step=0)`` keeps a static list.
    in_place : bool
        Whether a miss is computed where its weights lie. Otherwise it is copied first, and costs an
        upload, whether or not it stays.
    precision : float, optional
        Share of a predictor's prefetched experts that the step needs. None: no prefetch.
    recall : float
        Share of the misses that the predictor names in time.
    half_life, start_weight : float
        As for :func:`moe_costmodel.offload_curves`.

    Raises
    ------
    ValueError
        If a parameter is out of range.

    Examples
    --------
    >>> from moe_costmodel import OffloadRule
    >>> OffloadRule("lru", in_place=False).policy
    'lru'
    """

    policy: str = "lfu"
    admission: Admission = field(default_factory=Admission)
    in_place: bool = True
    precision: float | None = None
    recall: float = 0.0
    half_life: float = 1024.0
    start_weight: float = 0.0

    def __post_init__(self) -> None:
        owner = "OffloadRule"
        one_of(owner, "policy", self.policy, tuple(OFFLOAD_POLICIES))
        if not isinstance(self.admission, Admission):
            raise invalid(owner, "admission", repr(self.admission), "an Admission")
        if self.admission.margin > 0 and self.policy not in ("lfu", "decay"):
            expected = "without a margin for policies other than decay, lfu"
            raise invalid(owner, "admission", self.admission, expected)
        if not isinstance(self.in_place, bool):
            raise invalid(owner, "in_place", repr(self.in_place), "True or False")
        if self.precision is not None:
            precision = check_number(owner, "precision", self.precision)
            require(owner, "precision", precision, 0 < precision <= 1, "above 0 and at most 1")
        recall = check_number(owner, "recall", self.recall)
        good = 0 <= recall <= 1 and (recall == 0 or self.precision is not None)
        require(owner, "recall", recall, good, "from 0 to 1, and 0 without a precision")
        half_life = check_number(owner, "half_life", self.half_life)
        require(owner, "half_life", half_life, half_life >= 1, "at least 1")
        weight = check_number(owner, "start_weight", self.start_weight)
        require(owner, "start_weight", weight, weight >= 0, "at least 0")

    @property
    def is_static(self) -> bool:
        """Whether the first contents stay."""
        return self.admission.per_step == 0

    def __str__(self) -> str:
        parts = [f"{self.policy}, upload {self.admission}"]
        parts.append("misses in place" if self.in_place else "misses copied")
        if self.precision is not None:
            parts.append(f"prefetch of {self.recall:.0%} at a precision of {self.precision:.0%}")
        if self.policy == "decay" and self.half_life != 1024.0:
            parts.append(f"half-life {self.half_life:g} steps")
        if self.start_weight:
            parts.append(f"first counts of {self.start_weight:g} steps")
        return "; ".join(parts)

    def seconds(
        self, misses: NDArray[np.integer], uploads: NDArray[np.integer], cost: MissCost,
        hidden: float,
    ) -> Floats:  # fmt: skip
        """Return the seconds that misses and uploads add, of which `hidden` of copies are free."""
        missed, copies = misses.astype(np.float64), uploads.astype(np.float64)
        if self.precision is not None:
            copies += missed * self.recall / self.precision
            missed *= 1.0 - self.recall
        if not self.in_place:
            # A miss that is uploaded is copied once.
            copies += missed - np.minimum(missed, uploads)
            missed = np.zeros_like(missed)
        return cost.per_miss * missed + np.maximum(0.0, cost.per_upload * copies - hidden)


def charged_seconds(
    stream: ExpertStream, rule: OffloadRule, capacities: ArrayLike, cost: MissCost, hidden: float,
    start: Floats | None = None,
) -> Floats:  # fmt: skip
    """Replay a layer, and return what misses and uploads add to each step.

    Parameters
    ----------
    stream : ExpertStream
    rule : OffloadRule
    capacities : array_like of shape (n_capacities,), integer
    cost : MissCost
    hidden : float
        Seconds of uploads that a step of the layer hides.
    start : ndarray of shape (n_experts,), optional
        Uses of the experts that are resident at first, by default none.

    Returns
    -------
    ndarray of shape (n_capacities, n_steps)
        Seconds.
    """
    curves = offload_curves(
        [stream], capacities, policies=[rule.policy], admissions=[rule.admission],
        start=None if start is None else start[None], start_weight=rule.start_weight,
        half_life=rule.half_life, per_step=True,
    )[rule.policy]  # fmt: skip
    assert curves.step_misses is not None
    assert curves.step_uploads is not None
    misses, uploads = curves.step_misses[:, 0, :, 0], curves.step_uploads[:, 0, :, 0]
    return rule.seconds(misses, uploads, cost, hidden).T
