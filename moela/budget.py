"""How many evaluations a termination still allows."""

from __future__ import annotations

from typing import Any

from pymoo.core.termination import TerminateIfAll
from pymoo.termination.max_eval import MaximumFunctionCallTermination


def evaluations_left(termination: Any, n_eval: int) -> float:
    """Count the evaluations left until a pymoo termination ends the run on their number, else inf.

    Nested terminations end the run together with the first of them, so the smallest limit counts;
    those under pymoo's `TerminateIfAll` do not, since others may keep the run going.
    """
    if isinstance(termination, MaximumFunctionCallTermination):
        limit = termination.n_max_evals
        return float("inf") if limit is None else float(limit) - n_eval
    if isinstance(termination, TerminateIfAll):
        return float("inf")
    nested = [evaluations_left(inner, n_eval) for inner in getattr(termination, "criteria", ())]
    return min(nested, default=float("inf"))
