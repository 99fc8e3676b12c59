"""Allocation of evaluations to the parts of an algorithm, by what each has gained so far."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from pymoo.core.problem import Problem

from moela._arrays import Bools
from moela.core.decomposition import MANY_OBJECTIVES
from moela.core.operators import any_real
from moela.core.units import Units
from moela.search.settings import check_shares

# An evaluation counts half as much as one of the same part about 70 evaluations later.
_FADE = 0.99
# Evaluations of every part before any share moves, and limits of the factor on a share.
_MIN_SPENT = 50.0
_LEAST, _MOST = 0.1, 10.0
# Base shares where children are local optima of known objectives: the other parts find little then.
_IF_KNOWN = {"evolution": 0.8, "search": 0.13, "pareto": 0.07}


class Allocation:
    """Shares evaluations out among the parts of an algorithm.

    Each part has a base share. If the shares adapt, it is multiplied by the hypervolume gained per
    recent evaluation of that part relative to the mean over the parts, clipped to [0.1, 10]. The
    part that is furthest behind its share is next (stride scheduling, Waldspurger and Weihl 1995).
    Parts without a base share, or with zero, get no evaluations. Once objectives are `known`, the
    same parts have other base shares.
    """

    def __init__(
        self,
        base: Mapping[str, float],
        *,
        adapt: bool,
        base_if_known: Mapping[str, float] | None = None,
        known: Callable[[], bool] = bool,
    ) -> None:
        self._base, self._base_if_known = _normalized(base), _normalized(base_if_known or base)
        self.known, self.adapt = known, adapt
        self._passed = dict.fromkeys(self._base, 0.0)
        self._gain = dict.fromkeys(self._base, 0.0)
        self._spent = dict.fromkeys(self._base, 0.0)

    @property
    def base(self) -> dict[str, float]:
        """The base shares by part; they sum to 1."""
        return self._base_if_known if self.known() else self._base

    @property
    def shares(self) -> dict[str, float]:
        """The current shares by part; they sum to 1."""
        base = self.base
        if not self.adapt or min(self._spent.values()) < _MIN_SPENT:
            return base
        rate = {part: self._gain[part] / self._spent[part] for part in base}
        mean = sum(base[part] * rate[part] for part in base)
        if mean <= 0.0:
            return base
        adapted = {part: base[part] * min(max(rate[part] / mean, _LEAST), _MOST) for part in base}
        total = sum(adapted.values())
        return {part: share / total for part, share in adapted.items()}

    def in_turn(self) -> list[str]:
        """Return the parts, the one that is furthest behind its share first."""
        return sorted(self._passed, key=lambda part: self._passed[part])

    def charge(self, part: str, n: int) -> None:
        """Count n evaluations requested by a part."""
        if part in self.base:
            self._passed[part] += n / self.shares[part]

    def reward(self, part: str, n: int, gain: float) -> None:
        """Add the hypervolume that n evaluations of a part have gained."""
        if part in self.base and n:
            fade = _FADE**n
            self._gain[part] = fade * self._gain[part] + gain
            self._spent[part] = fade * self._spent[part] + n


def _normalized(base: Mapping[str, float]) -> dict[str, float]:
    """Return the shares above 0, divided by their sum."""
    total = sum(base.values())
    return {part: share / total for part, share in base.items() if share > 0}


def evolves_alone(problem: Problem) -> bool:
    """Return whether evolution is given all evaluations: with many objectives, and no neighbors.

    Searches of real variables descend to the corners of a front. With them, runs of 10,000
    evaluations of DTLZ2 with eight objectives had 98 % of the hypervolume.
    """
    return problem.n_obj >= MANY_OBJECTIVES and not hasattr(problem, "neighbors")


def allocation_for(
    problem: Problem, shares: Mapping[str, float] | None, known: Callable[[], bool] = bool
) -> Allocation:
    """Return the allocation that a phase begins with: these fixed shares, or adaptive ones.

    Adaptive ones begin with the problem's `search_shares` if it has any.

    `known` tells whether the objectives are known, so that children are local optima.
    """
    if shares is not None:
        return Allocation(shares, adapt=False)
    stated = getattr(problem, "search_shares", None)
    if stated is not None:
        base = check_shares(type(problem).__name__, "search_shares", stated)
        return Allocation(base, adapt=True)
    if evolves_alone(problem):
        return Allocation({"evolution": 1.0}, adapt=False)
    if not hasattr(problem, "neighbors"):
        # Steps of real variables do not leave the valley that they begin in.
        search = 0.03 if any_real(problem) else 0.1
        return Allocation({"evolution": 1.0 - search, "search": search}, adapt=True)
    # With many objectives nearly every neighbor is non-dominated, which then says little.
    base = {"evolution": 0.15, "search": 0.55, "pareto": 0.3}
    if problem.n_obj > 3:
        base = {"evolution": 0.1, "search": 0.65, "pareto": 0.25}
    return Allocation(base, adapt=True, base_if_known=_IF_KNOWN, known=known)


def add_to_log(
    log: dict[str, dict[str, float]],
    masks: Mapping[str, Bools],
    accepted: Bools,
    gained: Mapping[str, float],
    units: Units,
) -> None:
    """Count evaluations, archived designs [b] and hypervolume by the part that asked for them.

    `gained` is in working units, the log in those of the objectives.
    """
    for name, mine in masks.items():
        if name in log:  # else asked for by others
            entry = log[name]
            entry["n_eval"] += int(np.count_nonzero(mine))
            entry["accepted"] += int(np.count_nonzero(accepted & mine))
            entry["hypervolume"] += units.volume(gained[name])
