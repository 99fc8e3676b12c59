"""Restarts: the state of one restart, and the test for stagnation."""

from __future__ import annotations

import math
from copy import copy

import numpy as np
from pymoo.core.problem import Problem

from moela._arrays import Bools, Floats
from moela.core.archive import Archive
from moela.core.operators import Operators, makes_permutations
from moela.core.scaling import Normalization
from moela.core.volume import DirectionalVolume
from moela.search.starts import Visits

# Stagnation is tested each time the number of evaluations has grown by this factor.
_STEP = 1.1
# A restart stagnates if the last third of its evaluations has brought at most 3 % of the
# hypervolume gained since its initial designs, and if at most 5 % of them entered the archive:
# where more do, a front is being filled in.
_RECENT, _LEAST_GAIN, _LEAST_ENTERED = 1.0 / 3.0, 0.03, 0.05
# Evaluations of feasible designs before the first test: at least so many for each initial design,
# and for each variable that may be changed by itself. Where few changes of a design improve it, as
# in a set cover, the right one may not be among the first.
_PER_INITIAL, _PER_VARIABLE = 10, 30
# Factor on the least number of evaluations if restarting has gained less than staying did.
_REGRET = 3
# Hypervolume is estimated in a normalization that differs by at most this share of the extents, so
# that a large archive is not looked at whenever an extreme design is found. Up to so many designs,
# it does not differ.
_MOST_MOVED, _MANY = 0.01, 256
# The volume of a box that is larger counts as this, so that sums of gains stay finite.
_LARGEST, _MOST_EXPONENT = 2.0**900, 1000


def least_evaluations(problem: Problem, operators: Operators, n_initial: int) -> int:
    """Return the number of evaluations before a restart may stagnate, with so many first designs.

    A permutation has no variable to be changed by itself, and a problem's own `neighbors` need not.
    """
    least = _PER_INITIAL * n_initial
    if operators.permutes or makes_permutations(operators.sampling):
        return least
    return least if hasattr(problem, "neighbors") else max(least, _PER_VARIABLE * problem.n_var)


class Restart:
    """State of one restart: its archive since the initial designs, and the scales for it.

    The first test for stagnation comes after `min_evaluations`.
    """

    def __init__(
        self,
        archive: Archive,
        normalization: Normalization,
        volume: DirectionalVolume,
        min_evaluations: int,
    ) -> None:
        self.archive, self.normalization, self.volume = archive, normalization, volume
        self.volume_scale = normalization  # in which `volume` holds the archive
        self.visits = Visits(archive)
        self.min_evaluations = min_evaluations
        self._most_infeasible = float("inf")
        self.n_entered = 0  # designs that have entered the archive
        self._knows_feasible = False  # the normalization is that of feasible designs
        self.n_infeasible = 0  # designs taken that violate constraints
        self._left: tuple[int, Floats, int, Floats] | None = None
        self.begin(0)

    def fresh(self, n_eval: int) -> Restart:
        """Return an empty restart with the same reference point, to begin after `n_eval`.

        If it finds no feasible design, it stagnates after as many evaluations again.
        """
        n_obj = self.archive.F.shape[1]
        archive = Archive(n_obj, self.archive.max_size)
        fresh = Restart(
            archive, self.normalization.fresh(), self.volume.empty(), self.min_evaluations
        )
        fresh._most_infeasible = n_eval
        fresh.begin(n_eval)
        return fresh

    def take(self, F: Floats, CV: Floats, accepted: Bools, *, first: bool = False) -> Floats:
        """Account for designs [b] that the archive has just accepted or rejected.

        Of the `first` ones, infeasible ones count for the normalization, too. Returns the estimated
        hypervolume gained by each [b], in working units, so that gains add up although
        the normalization changes.
        """
        n_accepted = int(np.count_nonzero(accepted))
        self.n_entered += n_accepted
        self.n_infeasible += int((CV > 0).sum())
        if first:
            changed = self.normalization.update(F, self.archive)
        else:
            changed = self.normalization.update_feasible(F, CV, self.archive)
        if self.n_infeasible and not self._knows_feasible and self.archive.feasible:
            # Infeasible designs may be far better than all feasible ones.
            self._knows_feasible = changed = True
            self.normalization.forget_infeasible(self.archive)
        if changed and self._has_moved():
            self.volume_scale = copy(self.normalization)
            n_before = max(len(self.archive) - n_accepted, 0)
            self.volume.reset(self.archive.working_F[:n_before], self.volume_scale)
        gains = np.zeros(len(F))
        useful = accepted & (CV <= 0)
        if useful.any():
            gains[useful] = self._unit() * self.volume.add(F[useful], self.volume_scale)
        return gains

    def _unit(self) -> float:
        """Return the volume of the box between ideal and nadir, in working units."""
        # By exponents, since partial products of extents of 1e300 and 1e-300 are out of range.
        scale = self.volume_scale
        product, exponent = 1.0, 0
        for extent in (scale.nadir - scale.ideal).tolist():
            mantissa, e = math.frexp(extent)
            product, exponent = product * mantissa, exponent + e
        return min(math.ldexp(product, min(exponent, _MOST_EXPONENT)), _LARGEST)

    def _has_moved(self) -> bool:
        """Return whether the normalization differs much from that of the estimate."""
        now, then = self.normalization, self.volume_scale
        if len(self.archive) <= _MANY or then is now:
            return True
        moved = np.maximum(abs(now.ideal - then.ideal), abs(now.nadir - then.nadir))
        # Not `>`, since infinite extents leave no number.
        return not bool((moved <= _MOST_MOVED * (then.nadir - then.ideal)).all())

    def begin(self, n_eval: int) -> None:
        """Measure gains from here on, after `n_eval` evaluations of the run."""
        self._begun_at, self._next_test = n_eval, 1.0
        self._history = [(0, self.n_entered, self._feasible_front())]
        self._infeasible_before = self.n_infeasible

    def stagnates(self, n_eval: int) -> bool:
        """Return whether the restart has stagnated after `n_eval` evaluations of the run."""
        n = n_eval - self._begun_at
        if n < self._next_test:
            return False
        self._next_test = n * _STEP
        self._history.append((n, self.n_entered, self._feasible_front()))
        if not self.archive.feasible:
            return n >= self._most_infeasible
        # Infeasible designs cannot enter: if few are feasible, a front takes longer to grow.
        n_infeasible = self.n_infeasible - self._infeasible_before
        if n - n_infeasible < self.min_evaluations:
            return False
        n_then, entered_then, front_then = [
            entry for entry in self._history if entry[0] <= (1.0 - _RECENT) * n
        ][-1]
        if self.n_entered - entered_then > _LEAST_ENTERED * (n - n_then):
            return False
        # All fronts in the present normalization; they were found in others.
        front = self.archive.working_F
        initial, then, now = self._volumes(self._history[0][2], front_then, front)
        stagnant = now - then <= _LEAST_GAIN * (now - initial)
        if stagnant:
            self._compare_with_last_leave(n_eval)
            self._left = n_eval, front, n_eval - n + n_then, front_then
        return stagnant

    def _compare_with_last_leave(self, n_eval: int) -> None:
        """Stay longer from now on if leaving has gained less than staying had until then."""
        if self._left is None:
            return
        n_left, front_left, n_before, front_before = self._left
        before, left, now = self._volumes(front_before, front_left, self.archive.working_F)
        if (now - left) / (n_eval - n_left) < (left - before) / (n_left - n_before):
            self.min_evaluations *= _REGRET

    def _feasible_front(self) -> Floats:
        front = self.archive.working_F
        return front if self.archive.feasible else front[:0]

    def _volumes(self, *fronts: Floats) -> list[float]:
        return [self.volume.of(F, self.normalization) for F in fronts]
