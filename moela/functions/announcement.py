"""Words that `moela.minimize` prints first: how it understood the call, and how to go on."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from pymoo.core.algorithm import Algorithm
from pymoo.core.problem import Problem

from moela.evaluation.interrupts import given_advice, store_advice
from moela.functions.model.function_problem import FunctionProblem
from moela.heartbeat.streams import say
from moela.quality.durations import shown_seconds
from moela.quality.words import amount
from moela.search.moela import MOELA

# Designs that MOELA evaluates at a time by default, at least.
_BATCH = 5

_READY: ContextVar[Callable[[], object] | None] = ContextVar("ready", default=None)


@contextmanager
def once_ready(action: Callable[[], object]) -> Iterator[None]:
    """Make `moela.minimize` do this once its arguments are checked, before it evaluates."""
    token = _READY.set(action)
    try:
        yield
    finally:
        _READY.reset(token)


def ready() -> None:
    """Do what the caller of `once_ready` wants done before the first evaluation."""
    if (action := _READY.get()) is not None:
        _READY.set(None)  # a function may itself call `moela.minimize`
        action()


def announce(
    problem: Problem,
    algorithm: Algorithm,
    budget: int | None,
    limit: float | None,
    seed: int | None,
    n_jobs: int | None,
    store: object,
    n_known: int = 0,
) -> None:
    """Print how the call was understood."""
    parts = [] if budget is None else [f"{budget:,} evaluations"]
    parts += [] if limit is None else [f"at most {shown_seconds(limit)}"]
    parts[0] += f" with {type(algorithm).__name__}"
    parts += [amount(n_known, "known result")] if n_known else []
    parts += [f"seed {'drawn' if seed is None else seed}"]
    parts += [] if n_jobs in (None, 1) else [f"{n_jobs} workers" if n_jobs != -1 else "all cores"]
    parts += [] if store is None else [f"store {store}"]
    if isinstance(algorithm, MOELA) and algorithm.batch_size is None and (n_jobs or 1) > _BATCH:
        parts.append(
            f"of which {_BATCH} work at a time: pass batch_size={n_jobs} to keep all of them busy"
        )
    say(sys.stdout, _understanding(problem) + "\n  " + ", ".join(parts) + "\n")


def advice_of(store: object) -> str:
    """Return how to go on after a run that was stopped."""
    if (given := given_advice()) is not None:
        return given
    if store is None:
        return (
            "To go on from a result, pass known=result; to be able to resume, pass store='run.db' "
            "next time."
        )
    return store_advice(store)  # type: ignore[arg-type]


def _understanding(problem: Problem) -> str:
    if isinstance(problem, FunctionProblem):
        return problem.describe()
    return (
        f"{problem.name()}: {problem.n_var} variables, {problem.n_obj} objectives, "
        f"{problem.n_constr} constraints"
    )
