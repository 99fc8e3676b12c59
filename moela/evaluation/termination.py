"""Terminations: by the time that a run has been running, and the budgets that they set."""

from __future__ import annotations

import math
import time
from datetime import timedelta
from typing import cast

import numpy as np
from pymoo.core.algorithm import Algorithm
from pymoo.core.termination import TerminateIfAll, Termination
from pymoo.termination import get_termination

from moela._checks import instance
from moela._spelling import spelled
from moela.quality.durations import Duration, required_seconds

_EXPECTED = (
    'a pair such as ("n_eval", 1000), ("n_gen", 50) or ("time", "00:30:00"), '
    'moela.ElapsedTime("8h"), or an object of a Termination class of pymoo'
)
_COUNTED = ("n_eval", "n_evals", "n_gen", "n_iter")
LEAST_BUDGET = "The termination must allow at least one evaluation."


class ElapsedTime(Termination):
    """Terminate after this much running time; interruptions do not count.

    pymoo's ``("time", ...)`` counts from the start of the run, so that a run which was interrupted
    overnight ends as soon as it is continued. This termination counts only the time spent running.
    The count continues in a copy, after a pickle, and, with a :class:`moela.Evaluator` that has a
    store, when the same call is made again in a new process.

    Parameters
    ----------
    max_time : float, str or timedelta
        Seconds, or a text such as ``"90s"``, ``"30 min"``, ``"1h30m"``, ``"2d"`` or ``"01:30:00"``.

    Attributes
    ----------
    elapsed : float
        Seconds spent running so far.

    Raises
    ------
    ValueError
        The time is not positive, or cannot be read.

    Examples
    --------
    >>> from pymoo.optimize import minimize
    >>> from pymoo.problems import get_problem
    >>> from moela import MOELA, ElapsedTime
    >>> res = minimize(get_problem("zdt1"), MOELA(), ElapsedTime("1s"), seed=1)
    >>> res.algorithm.termination.elapsed >= 1
    True
    """

    def __init__(self, max_time: Duration) -> None:
        super().__init__()
        endless = isinstance(max_time, float) and max_time == math.inf
        self.max_time = (
            math.inf if endless else required_seconds("max_time", max_time, "ElapsedTime")
        )
        self.elapsed = 0.0
        self._since: float | None = None

    def has_terminated(self) -> bool:
        """Return whether the time is over; the first call starts the clock."""
        if self._since is None:
            self._since = time.monotonic()
        return super().has_terminated()

    def _update(self, algorithm: Algorithm) -> float:
        now = time.monotonic()
        if self._since is not None:
            self.elapsed += now - self._since
        self._since = now
        # An evaluator that answers from a store knows how long the run took before.
        self.elapsed = max(self.elapsed, getattr(algorithm.evaluator, "elapsed", 0.0))
        return self.elapsed / self.max_time

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_since": None}


def check_termination(owner: str, given: object) -> None:
    """Raise a ValueError unless a termination is one that pymoo's algorithms take, or None.

    A class in place of an object is a TypeError.
    """
    instance(owner, "termination", given)
    if given is None or isinstance(given, Termination):
        return
    try:
        if not isinstance(given, str | tuple | list):
            raise TypeError
        name, *values = [given] if isinstance(given, str) else given
        miscounted = name in _COUNTED and (len(values) != 1 or not _is_count(values[0]))
        limit = getattr(get_termination(name, *values), "max_time", math.inf)
        if miscounted or not limit > 0:
            raise ValueError
    except Exception:  # pymoo raises many kinds
        raise ValueError(
            f"The 'termination' parameter of {owner} must be {_EXPECTED}. Got {spelled(given)} "
            f"instead{_advice(given)}."
        ) from None


def _is_count(value: object) -> bool:
    """Return whether pymoo takes a value as a number of evaluations or generations."""
    number = isinstance(value, int | float | np.integer | np.floating)
    return value is None or (number and not isinstance(value, bool))


def _advice(given: object) -> str:
    """Return what to write instead of a termination that is none, if that is clear."""
    if isinstance(given, int | np.integer) and not isinstance(given, bool):
        return f'; write ("n_eval", {given})'
    time_given = given[1] if isinstance(given, tuple) and given[:-1] == ("time",) else given
    if not isinstance(time_given, str | timedelta):
        return ""
    try:
        required_seconds("termination", time_given)
    except (TypeError, ValueError):
        return ""
    return f"; write moela.ElapsedTime({spelled(time_given)})"


def out_of_time(termination: Termination) -> bool:
    """Return whether an `ElapsedTime`, alone or in a collection, has come to its end."""
    criteria = (termination, *_criteria(termination))
    return any(isinstance(c, ElapsedTime) and c.elapsed >= c.max_time for c in criteria)


def _criteria(termination: Termination) -> tuple[Termination, ...]:
    """Return the criteria that a termination consists of."""
    # pymoo's TerminationCollection has another name for them than its other collections.
    names = ("criteria", "terminations")
    return tuple(each for name in names for each in getattr(termination, name, ()))


def evaluation_budget(termination: Termination | None) -> int | None:
    """Return the number of evaluations at which a termination ends the run, None if it has none.

    A collection of criteria counts if the first criterion that is met ends the run.
    """
    if termination is None or isinstance(termination, TerminateIfAll):
        return None
    budgets = [getattr(termination, "n_max_evals", None)]
    budgets += map(evaluation_budget, _criteria(termination))
    known = [budget for budget in budgets if budget is not None and budget != math.inf]
    if any(math.isnan(budget) for budget in known):
        raise ValueError(f"{LEAST_BUDGET} Got n_eval = nan instead.")
    return int(min(known)) if known else None


def planned_budget(algorithm: Algorithm) -> int | None:
    """Return the number of evaluations with which the run of an algorithm began.

    None if its termination names none. A run that is resumed from a store with a larger budget
    keeps the one that it began with, so that it makes the same designs again.
    """
    planned = getattr(algorithm.evaluator, "planned", None)
    if planned is None:
        return evaluation_budget(algorithm.termination)
    return cast("int | None", planned(algorithm.problem, algorithm))
