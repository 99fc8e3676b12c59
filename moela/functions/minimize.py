"""`moela.minimize`: optimize a plain function, or a pymoo problem, in one call."""

from __future__ import annotations

import copy
import logging
import os
from collections.abc import Mapping
from contextlib import nullcontext
from datetime import timedelta
from typing import Literal, TypeAlias

import numpy as np
from pymoo.core.algorithm import Algorithm
from pymoo.core.population import Population
from pymoo.core.problem import Problem

from moela._checks import count, require
from moela.asynchronous import loop
from moela.asynchronous.evaluator import ArrivalEvaluator
from moela.core.algorithm import ArchiveAlgorithm
from moela.evaluation.evaluator import Evaluator
from moela.evaluation.interrupts import Interrupts, given_advice
from moela.evaluation.runners.outcome import OK
from moela.evaluation.settings import check_store
from moela.evaluation.storage.errors import StoreMismatchError
from moela.evaluation.termination import out_of_time
from moela.functions import algorithms
from moela.functions.announcement import advice_of, announce, ready
from moela.functions.driving import (
    Callback,
    RunSoFar,
    chunk_size,
    drive,
    takes_batches,
    termination_of,
)
from moela.functions.failures import (
    all_failed,
    begins_anew,
    in_other_words,
    named_as_passed,
    of_same_problem,
)
from moela.functions.known import KnownResults, known_results
from moela.functions.model.calls import checked_call, takes_one
from moela.functions.model.goals import ConstraintSpec, ObjectiveSpec
from moela.functions.model.problem import PlainFunction, RefPoint
from moela.functions.model.problem import problem as make_problem
from moela.functions.model.reading import warnings_of
from moela.functions.results.result import MinimizeResult
from moela.functions.starts import beyond_budget, digest_of, filled, start_designs
from moela.heartbeat.working import working
from moela.quality.durations import seconds
from moela.quality.words import amount, of_kind

AlgorithmChoice: TypeAlias = "str | Algorithm | type[Algorithm]"

_LOG = logging.getLogger(__name__)
# If this many first evaluations all fail, or all of a shorter run, the run ends with an error.
_ALL_FAILED = 10
_ON_MISMATCH: tuple[Literal["raise", "new"], ...] = ("raise", "new")

# Results that an earlier version has pickled name the class so.
_Run = RunSoFar


@checked_call
def minimize(
    function: PlainFunction | Problem,
    *,
    variables: Mapping[str, object] | None = None,
    objectives: ObjectiveSpec | None = None,
    constraints: ConstraintSpec | None = None,
    n_eval: int | None = None,
    time_limit: float | str | timedelta | None = None,
    seed: int | None = 1,
    n_jobs: int | None = None,
    store: str | os.PathLike[str] | None = None,
    on_error: Literal["raise", "infeasible"] = "raise",
    timeout: float | str | timedelta | None = None,
    retries: int = 0,
    start: object = None,
    known: object = None,
    ref_point: RefPoint | None = None,
    vectorized: bool = False,
    noisy: bool = False,
    version: str | float | None = None,
    algorithm: AlgorithmChoice | None = None,
    batch_size: int | None = None,
    backend: str | None = None,
    asynchronous: bool = False,
    callback: Callback | None = None,
    progress: bool | None = None,
    verbose: bool = True,
) -> MinimizeResult:
    """Find the best trade-offs between the objectives of a plain function.

    Ctrl-C ends the run after the batch in hand and returns the result so far; a second one stops at
    once. With a `store`, the same call goes on where a run was stopped or killed.

    Parameters
    ----------
    function : callable or pymoo Problem
        Takes a dictionary of the variables and returns a dictionary with a number for each
        objective and constraint, or these numbers in order. It may return more, which is kept. A
        pymoo Problem brings its own variables, objectives and constraints.
    variables : dict by name
        ``(0.01, 0.06)`` is a real variable, ``(5, 25)`` an integer with both bounds included, a
        list a choice, `bool` a boolean. See also `moela.real`, `moela.integer`, `moela.choice`,
        `moela.boolean` and `moela.permutation`.
    objectives : list of str, str, or dict of "min" or "max" by name
        Outputs to minimize or maximize. With one objective, pymoo's differential evolution (or its
        genetic algorithm for booleans and permutations) is used, and the result has a `best`.
    constraints : dict of (low, high) by name, optional
        Bounds of outputs; None leaves a side open. ``(x, x)`` means equal to x within 0.01 % of x
        (within 0.0001 if x is 0).
    n_eval : int, optional
        Number of evaluations, failed ones included. A design that the run has evaluated before is
        answered from memory and does not count, unless `noisy`. The run ends earlier if all designs
        are known, or if none of the last 2,000 of the algorithm was new. Needed without a
        `time_limit`.
    time_limit : float, str or timedelta, optional
        Time after which the run ends: seconds, "90 min", "8h", "01:30:00". With one worker, or
        worker processes, the evaluations in progress are finished; with other backends and with
        `vectorized`, the batch in hand is, up to fifty designs. With a `store`, only the time
        spent running counts.
    seed : int or None
        The same seed gives the same result; None draws one.
    n_jobs : int, optional
        Worker processes; -1 means one per core. MOELA evaluates four to fifty designs at a
        time; for more than four workers, set `batch_size` to a multiple of their number.
    store : str or Path, optional
        SQLite file in which every evaluation is recorded as it ends.
    on_error : {"raise", "infeasible"}
        Whether a failed evaluation ends the run with an EvaluationError, or counts as an infeasible
        design.
    timeout : float, str or timedelta, optional
        Time after which an evaluation is killed and counts as failed, as for `time_limit`.
    retries : int
        How often a failed evaluation is tried again.
    start : dict, iterable of dict, DataFrame, MinimizeResult, or path of a .csv file, optional
        Designs to evaluate first; also a front or candidates of it. Random ones are added if they
        are few. A warning says how many there are beyond `n_eval`.
    known : dict, DataFrame, MinimizeResult, path of a .csv file or a store, or list, optional
        Results that you already have, of this function: also of runs with other objectives, limits
        or bounds. They cost no evaluation, and the algorithm learns from them. They come first in
        the result, and may be on its front. Of a store, all runs are taken. Results that lack an
        objective or a constraint or lie outside of the variables' ranges are left out, and a
        warning counts them; if none is left, an error says why. Failed evaluations stay failed with
        ``on_error="infeasible"``, else they are left out. Of equal designs, the last one counts,
        and a warning says if others differ; with `noisy`, the result keeps all of them, and the
        algorithm learns from the last one.
        MOELA evaluates no known design again. Algorithms of pymoo begin with the best known
        designs, and may evaluate a known one again. A `store` gets new evaluations only: to resume
        the run bit for bit, pass the same results again. With other results, a new run begins.
    ref_point : dict by name or sequence, optional
        A value of each objective to beat, in the order of `objectives`.
    vectorized : bool
        Whether the function takes a dictionary of arrays [n] and returns one. It gets a whole batch
        at a time, or with several workers up to 16 designs. A run in a store may be continued with
        another `n_jobs`.
    noisy : bool
        Whether the same design may have other results next time. Known designs are then evaluated
        again, instead of answered from memory or store.
    version : str or number, optional
        A text to change when the results of the function change for a reason that its code does not
        show, so that a store does not mix old results with new ones. 2 is the same as "2".
    algorithm : str, Algorithm or class, optional
        "moela" (default), "nsga2", "nsga3", "moead", "ga", "de", or any algorithm of pymoo.
    batch_size : int, optional
        Designs per batch of MOELA.
    backend : str, optional
        Of `moela.Evaluator`: "threads", "dask", "ray", ...
    asynchronous : bool
        Whether workers never wait for each other: a new design is asked for as soon as one of them
        is free. Use it with several workers if evaluations take unequal times. The result depends
        on the order in which evaluations end; with a `store`, the same call and number of workers
        repeat that order. With one objective, pymoo's genetic algorithm is the default then.
    callback : callable, optional
        Called after each batch with the result so far. If it returns True, the run ends; if False
        or None, it goes on.
    progress : bool, optional
        Progress bar; by default one is shown if standard error is a terminal.
    verbose : bool
        Whether to print first how each variable was understood.

    Returns
    -------
    MinimizeResult

    Raises
    ------
    TypeError, ValueError
        A parameter is not what it must be; the message says what was expected and what came.
    EvaluationError
        An evaluation failed and ``on_error="raise"``, or all of the first evaluations failed.
    StoreError
        The store cannot be used; the message says why.

    Examples
    --------
    >>> import moela
    >>> def beam(d):
    ...     stiffness = {"steel": 210, "pine": 9}[d["material"]] * d["width"] * d["height"] ** 3
    ...     mass = {"steel": 7.8, "pine": 0.5}[d["material"]] * d["width"] * d["height"]
    ...     return {"mass": mass, "sag": 1e6 / stiffness}
    >>> result = moela.minimize(
    ...     beam,
    ...     variables={"width": (1, 20), "height": (1.0, 30.0), "material": ["steel", "pine"]},
    ...     objectives=["mass", "sag"],
    ...     n_eval=200,
    ...     verbose=False,
    ... )
    >>> len(result.front) > 10
    True
    """
    given = {
        "variables": variables, "objectives": objectives, "constraints": constraints,
        "ref_point": ref_point, "version": version, "vectorized": vectorized or None,
    }  # fmt: skip
    problem = _problem(function, given)
    limit, timeout = seconds("time_limit", time_limit), seconds("timeout", timeout)
    budget = None if n_eval is None else count("minimize", "n_eval", n_eval)
    _check(seed, store, callback, budget, limit)
    given_results = known_results(
        problem, known, keep_failures=on_error == "infeasible", store=store, noisy=noisy
    )
    begin = start_designs(problem, start)
    with named_as_passed():
        first = begin if given_results is None else given_results.first_designs(begin, None)
        chosen = algorithms.choose(algorithm, problem, first, batch_size, asynchronous=asynchronous)
    _begin_with(chosen, problem, begin, given_results, seed)
    require("minimize", "asynchronous", asynchronous, isinstance(asynchronous, bool), "a boolean")
    if asynchronous:
        loop.prepare(chosen)
    advice = advice_of(store)
    before = [] if given_results is None else given_results.individuals
    run = RunSoFar(problem, callback, min(_ALL_FAILED, budget or _ALL_FAILED), before, noisy=noisy)

    def make_evaluator(on_mismatch: Literal["raise", "new"]) -> Evaluator:
        kind = ArrivalEvaluator if asynchronous else Evaluator
        with named_as_passed():
            return kind(
                n_jobs, backend, chunk_size(problem, n_jobs), store=store, on_error=on_error,
                retries=retries, timeout=timeout, dedupe=not noisy, on_mismatch=on_mismatch,
                progress=progress, callback=run.keep,
            )  # fmt: skip

    make_evaluator("raise")  # to refuse a setting before anything is printed
    ready()
    if verbose:
        announce(problem, chosen, budget, limit, seed, n_jobs, store, len(before))
    notes = warnings_of(getattr(problem, "variables", {}))
    notes += [given_results.note] if given_results is not None and given_results.note else []
    for note in [*notes, *beyond_budget(problem, begin, budget)]:
        _LOG.warning(note)
    signs = nullcontext() if progress is False else working("optimizing")
    with signs, Interrupts(advice) as interrupts:
        for on_mismatch in _ON_MISMATCH:
            evaluator = make_evaluator(on_mismatch)
            evaluator.interrupts, evaluator.counts_repeats = interrupts, noisy
            evaluator.keeps_chunks, evaluator.time_limit = not takes_batches(problem), limit
            solver = copy.deepcopy(chosen)
            try:
                solver.setup(
                    problem,
                    termination=termination_of(budget, limit),
                    seed=None if seed is None else int(seed),
                    evaluator=evaluator,
                )
                stopped = drive(solver, evaluator, run, interrupts)
            except AssertionError as error:
                raise algorithms.unsuitable(solver, problem, error) from error
            except StoreMismatchError as error:
                # Another algorithm or seed uses what the store holds of the same problem.
                if on_mismatch == "new" or not of_same_problem(error):
                    raise in_other_words(error, store) from None
                _LOG.warning(begins_anew(error))
            else:
                break
    # The callback may be a function that cannot be pickled, and the result needs it no more.
    evaluator.callback = None
    of = f"{run.n:,} of " if budget and stopped else ""
    ending = f"after {of}{amount(budget if budget and stopped else run.n, 'evaluation')}"
    if stopped:
        how = stopped
    elif budget and run.n >= budget:
        how = "done"
    else:
        how = "time is over" if out_of_time(solver.termination) else "no new design was found"
    ending = f"{how} {ending}" + run.beside
    if not stopped or given_advice() is not None:  # the command line says it itself
        advice = ""
    result = run.result(solver, ending, advice)
    if run.n and not any(ind.data.get("status", OK) == OK for ind in run.individuals):
        raise all_failed(problem, run.individuals)
    return result


def _begin_with(
    algorithm: Algorithm,
    problem: Problem,
    begin: Population | None,
    known: KnownResults | None,
    seed: int | None,
) -> None:
    """Let an algorithm of pymoo begin with a whole population, and a store tell what was given."""
    # Settings, which the identity of a run in a store includes.
    if known is not None:
        algorithm.known_results = known.digest
    if begin is not None:
        algorithm.start_designs = digest_of(begin)
    if isinstance(algorithm, ArchiveAlgorithm) or (begin is None and known is None):
        return
    size = int(getattr(algorithm, "pop_size", None) or 0)
    if known is not None:
        begin = known.first_designs(begin, size or len(known) + len(begin or ()))
    assert begin is not None
    algorithm.initialization.sampling = filled(problem, begin, size or len(begin), seed)


def _problem(function: object, given: Mapping[str, object]) -> Problem:
    """Return the problem to solve, made of a function if it is none."""
    if isinstance(function, type) and issubclass(function, Problem):
        raise TypeError(
            f"The 'function' parameter of minimize must be a function or a pymoo Problem. Got the "
            f"class {function.__name__} instead; make an object of it: {function.__name__}(...)."
        )
    if isinstance(function, Problem):
        if not hasattr(function, "n_obj"):
            kind = type(function).__name__
            raise TypeError(
                f"The 'function' parameter of minimize must be a pymoo Problem that knows its "
                f"variables and objectives. Got a {kind} without; call super().__init__(n_var=..., "
                f"n_obj=..., xl=..., xu=...) in {kind}.__init__."
            )
        for name, value in given.items():
            if value is not None:
                raise TypeError(
                    f"The '{name}' parameter of minimize must be left out for a pymoo Problem, "
                    f"which brings its own. Got {of_kind(value)}; remove it."
                )
        return function
    for name in ("variables", "objectives"):
        if given[name] is None and callable(function):
            example = "{'height': (0.01, 0.06)}" if name == "variables" else "['mass', 'rise']"
            raise TypeError(
                f"The '{name}' parameter of minimize is needed with a function: {name}={example}. "
                "Got none."
            )
    settings = {name: value for name, value in given.items() if value is not None}
    return make_problem(function, **settings)  # type: ignore[arg-type]


def _check(
    seed: object, store: object, callback: object, budget: int | None, limit: float | None
) -> None:
    whole = isinstance(seed, int | np.integer) and not isinstance(seed, bool) and int(seed) >= 0
    require("minimize", "seed", seed, seed is None or whole, "an integer of at least 0, or None")
    if callback is not None and not callable(callback):
        raise TypeError(
            "The 'callback' parameter of minimize must be a function that takes the result so far. "
            f"Got {of_kind(callback)} instead."
        )
    if callback is not None and not takes_one(callback):
        raise TypeError(
            "The 'callback' parameter of minimize must take one argument, the result so far. Got "
            f"{of_kind(callback)}; write def {getattr(callback, '__name__', 'callback')}(result):."
        )
    if budget is None and limit is None:
        raise ValueError(
            "The 'n_eval' parameter of minimize must be the number of evaluations, or 'time_limit' "
            "the time to spend: n_eval=600 or time_limit='8h'. Got neither."
        )
    check_store("minimize", store)
