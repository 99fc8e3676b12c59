"""OffloadRule: where a miss is computed, what is uploaded, and what is prefetched."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from moe_costmodel import (
    OFFLOAD_POLICIES,
    Admission,
    ExpertStream,
    MissCost,
    RoutingTrace,
    offload_curves,
)
from problems._arrays import Floats, Ints
from problems._checks import check_choice, check_real, setting_error

__all__ = ["DEFAULT_RULES", "OffloadRule", "charged_misses", "checked_rules"]


@dataclass(frozen=True)
class OffloadRule:
    """The treatment of misses that one design of ExpertBuffering chooses.

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

    Raises
    ------
    ValueError
        If a parameter is out of range.

    Examples
    --------
    >>> from problems.moe import OffloadRule
    >>> OffloadRule("lru", in_place=False).policy
    'lru'
    """

    policy: str = "lfu"
    admission: Admission = field(default_factory=Admission)
    in_place: bool = True
    precision: float | None = None
    recall: float = 0.0

    def __post_init__(self) -> None:
        owner = "OffloadRule"
        check_choice(owner, "policy", self.policy, tuple(OFFLOAD_POLICIES))
        if not isinstance(self.admission, Admission):
            raise setting_error(owner, "admission", "an Admission", self.admission)
        if self.precision is not None:
            precision = check_real(owner, "precision", self.precision, 0.0, above=True)
            if precision > 1.0:
                raise setting_error(owner, "precision", "at most 1", precision)
        recall = check_real(owner, "recall", self.recall, 0.0)
        if recall > 1.0 or (recall > 0.0 and self.precision is None):
            raise setting_error(owner, "recall", "at most 1, and 0 without a precision", recall)

    def __str__(self) -> str:
        parts = [f"{self.policy}, upload {self.admission}"]
        parts.append("misses in place" if self.in_place else "misses copied")
        if self.precision is not None:
            parts.append(f"prefetch of {self.recall:.0%} at a precision of {self.precision:.0%}")
        return "; ".join(parts)

    def seconds(self, misses: Ints, uploads: Ints, cost: MissCost, hidden: float) -> Floats:
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


STATIC = OffloadRule(admission=Admission(per_step=0))
DEFAULT_RULES = (
    STATIC,
    OffloadRule("lru", in_place=False),
    OffloadRule("lru"),
    OffloadRule(admission=Admission(after=4)),
    OffloadRule(admission=Admission(margin=6.0)),
    OffloadRule("decay", Admission(margin=6.0)),
)


def charged_misses(
    streams: Sequence[Sequence[ExpertStream]],
    rules: Sequence[OffloadRule],
    n_capacities: int,
    cost: MissCost,
    unit: float,
    start: Floats | None,
) -> NDArray[np.float32]:
    """Return the cost of each step in units, [n_rules, n_layers, n_devices, n_capacities, n_steps].

    Parameters
    ----------
    streams : list of list of ExpertStream
        ``streams[layer][device]``.
    start : float array [n_layers, n_experts of a device], or None
        Uses of the experts that are resident at first, if there is a single device.
    """
    n_layers, n_devices = len(streams), len(streams[0])
    n_steps = len(streams[0][0].bounds) - 1
    out = np.zeros((len(rules), n_layers, n_devices, n_capacities, n_steps), dtype=np.float32)
    capacities = np.arange(1, n_capacities + 1)
    hidden = cost.hidden / n_layers
    by_policy: dict[str, list[int]] = {}
    for i, rule in enumerate(rules):
        by_policy.setdefault(rule.policy, []).append(i)
    for layer, row in enumerate(streams):
        for device, stream in enumerate(row):
            if not stream.n_experts:
                continue
            for policy, numbers in by_policy.items():
                curves = offload_curves(
                    [stream], capacities, policies=[policy],
                    admissions=[rules[i].admission for i in numbers],
                    start=None if start is None else start[layer : layer + 1], per_step=True,
                )[policy]  # fmt: skip
                assert curves.step_misses is not None
                assert curves.step_uploads is not None
                for place, i in enumerate(numbers):
                    seconds = rules[i].seconds(
                        curves.step_misses[:, 0, :, place], curves.step_uploads[:, 0, :, place],
                        cost, hidden,
                    )  # fmt: skip
                    out[i, layer, device] = (seconds / unit).T
    return out


def checked_rules(
    cost: MissCost | None,
    rules: Sequence[OffloadRule] | None,
    miss_seconds: float | None,
    policies: Sequence[str] | None,
    start: RoutingTrace | None,
) -> tuple[OffloadRule, ...]:
    """Return the rules of a problem with a cost, none of one without; check what excludes it."""
    owner = "ExpertBuffering"
    if cost is None:
        for name, value in (("rules", rules), ("start", start)):
            if value is not None:
                raise setting_error(owner, name, "None if there is no cost", value)
        return ()
    if miss_seconds is not None:
        raise setting_error(owner, "miss_seconds", "None if there is a cost", miss_seconds)
    if policies is not None:
        raise setting_error(owner, "policies", "None if there is a cost (use rules)", policies)
    # A static list without first contents would stay empty.
    listed = DEFAULT_RULES[start is None :] if rules is None else tuple(rules)
    good = all(isinstance(rule, OffloadRule) for rule in listed)
    if not listed or not good or len(set(listed)) < len(listed):
        raise setting_error(owner, "rules", "different OffloadRules, at least one", rules)
    return listed
