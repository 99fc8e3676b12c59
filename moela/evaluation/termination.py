"""Ending a run after a time that it has really been running."""

from __future__ import annotations

import time
from typing import Any

from pymoo.core.termination import Termination
from pymoo.util.misc import time_to_int


class ElapsedTime(Termination):
    """Terminate after so much running time, whatever happened in between.

    pymoo's ``("time", ...)`` compares the clock on the wall with the start of the run, so that a
    run which was interrupted overnight is over when it is continued. Here only the time spent
    running counts: it goes on from where it stood in a copy, after a pickle, and, with a
    :class:`moela.Evaluator` that has a store, when the same call is made again in a new process.

    Parameters
    ----------
    max_time : float or str
        Seconds, or ``"hh:mm:ss"``.

    Attributes
    ----------
    elapsed : float
        Seconds spent running so far.

    Raises
    ------
    ValueError
        The time is not positive.

    Examples
    --------
    >>> from pymoo.optimize import minimize
    >>> from pymoo.problems import get_problem
    >>> from moela import MOELA, ElapsedTime
    >>> res = minimize(get_problem("zdt1"), MOELA(), ElapsedTime("00:00:01"), seed=1)
    >>> res.algorithm.termination.elapsed >= 1
    True
    """

    def __init__(self, max_time: float | str) -> None:
        super().__init__()
        self.max_time = float(time_to_int(max_time) if isinstance(max_time, str) else max_time)
        if not self.max_time > 0:
            raise ValueError(
                "The 'max_time' parameter of ElapsedTime must be a positive number of seconds or "
                f"'hh:mm:ss'. Got {max_time!r} instead."
            )
        self.elapsed = 0.0
        self._since: float | None = None

    def has_terminated(self) -> bool:
        """Return whether the time is over; asking starts the clock if it stands."""
        if self._since is None:
            self._since = time.monotonic()
        return super().has_terminated()

    def _update(self, algorithm: Any) -> float:
        now = time.monotonic()
        if self._since is not None:
            self.elapsed += now - self._since
        self._since = now
        # An evaluator that answers from a store knows how long the run took to get there.
        self.elapsed = max(self.elapsed, getattr(algorithm.evaluator, "elapsed", 0.0))
        return self.elapsed / self.max_time

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_since": None}


def evaluation_budget(termination: Any) -> int | None:
    """Return the number of evaluations at which a termination ends the run, None if it has none.

    Looks into collections that end a run as soon as one criterion does.
    """
    from pymoo.core.termination import TerminateIfAll

    if termination is None or isinstance(termination, TerminateIfAll):
        return None
    own = getattr(termination, "n_max_evals", None)
    found = [own] if own is not None and own != float("inf") else []
    for criterion in getattr(termination, "criteria", ()):
        inner = evaluation_budget(criterion)
        if inner is not None:
            found.append(inner)
    return int(min(found)) if found else None
