"""Policies by which offloaded experts leave their slots, and rules by which they are admitted."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from moe_costmodel._checks import check_number, count, invalid, require

__all__ = ["OFFLOAD_POLICIES", "Admission", "check_admissions"]

OFFLOAD_POLICIES: dict[str, str] = {
    "lru": "least recently used",
    "lfu": "least frequently used so far, the least recent of equals",
    "inactive-lfu": "the least frequent of the experts that the step does not need",
    "decay": "least frequently used, with counts that lose half their weight in `half_life` steps",
    "min": "the expert needed last in the future (Belady, 1966): a bound, not an online policy",
    "fifo": "first in, first out",
    "least-stale": "first in, first out among the experts that the step does not need (SpecMD, "
    "arXiv 2602.03921, within a layer)",
    "paper": "last in, first out among the experts that the step does not need (arXiv 2303.06182)",
}
_COUNTING = frozenset(["lfu", "decay"])
_MOST_MISSES = 64


@dataclass(frozen=True)
class Admission:
    """The rule that decides which missed experts are uploaded to fast memory.

    Parameters
    ----------
    after : int
        The miss at which an expert is uploaded, counted since it was last resident: 1 uploads at
        every miss, 2 at every second one. At most 64.
    margin : float
        Uses by which an expert must lead the one that leaves; policies "lfu" and "decay" only.
    per_step : float
        Uploads of a layer in a step at most. Below 1, one in every ``1 / per_step`` steps; 0 for a
        static list.
    opens : int
        Step in which uploads begin: until then the first contents stay.

    Raises
    ------
    ValueError
        If a parameter is out of range.

    Examples
    --------
    >>> from moe_costmodel import Admission
    >>> Admission(after=2, per_step=0.5)
    Admission(after=2, margin=0.0, per_step=0.5, opens=0)
    """

    after: int = 1
    margin: float = 0.0
    per_step: float = math.inf
    opens: int = 0

    def __post_init__(self) -> None:
        count("Admission", "after", self.after)
        expected = f"an integer of at most {_MOST_MISSES}"
        require("Admission", "after", self.after, self.after <= _MOST_MISSES, expected)
        margin = check_number("Admission", "margin", self.margin)
        require("Admission", "margin", self.margin, margin >= 0, "at least 0")
        if self.per_step != math.inf:
            rate = check_number("Admission", "per_step", self.per_step, "a number of at least 0")
            require("Admission", "per_step", self.per_step, rate >= 0, "at least 0")
        count("Admission", "opens", self.opens, at_least=0)

    def __str__(self) -> str:
        if self.per_step == 0:
            return "static list"
        parts = ["every miss" if self.after == 1 else f"at the {_ordinal(self.after)} miss"]
        if self.margin:
            parts.append(f"if {self.margin:g} uses ahead")
        if self.per_step >= 1 and self.per_step != math.inf:
            parts.append(f"at most {self.per_step:g} a layer and step")
        elif self.per_step < 1:
            parts.append(f"one in {1 / self.per_step:.3g} steps of a layer")
        if self.opens:
            parts.append(f"from step {self.opens} on")
        return ", ".join(parts)


def _ordinal(n: int) -> str:
    ending = "th" if n % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(n % 10, "th")
    return f"{n}{ending}"


def check_admissions(owner: str, policies: Sequence[str], admissions: Sequence[Admission]) -> None:
    """Raise a ValueError unless all admissions can be replayed under the policies."""
    require(owner, "admissions", admissions, len(admissions) > 0, "at least one Admission")
    for rule in admissions:
        require(owner, "admissions", rule, isinstance(rule, Admission), "a list of Admission")
        if rule.margin > 0 and not _COUNTING.issuperset(policies):
            expected = f"without a margin for policies other than {', '.join(sorted(_COUNTING))}"
            raise invalid(owner, "admissions", rule, expected)
