"""One run of an algorithm on a problem, with everything that it evaluated and what that took."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import moocore
import numpy as np
from numpy.typing import NDArray
from pymoo.core.algorithm import Algorithm
from pymoo.core.evaluator import Evaluator as PymooEvaluator
from pymoo.core.individual import Individual, calc_cv
from pymoo.core.problem import Problem
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from moela._arrays import rows
from moela.evaluation.runners.outcome import OK, SKIPPED

Arrays = dict[str, NDArray[Any]]


@dataclass
class Clock:
    """Seconds of wall time and of CPU time, added up."""

    wall: float = 0.0
    cpu: float = 0.0

    @contextmanager
    def running(self) -> Iterator[None]:
        """Add the time that the block takes."""
        wall, cpu = time.perf_counter(), time.process_time()
        try:
            yield
        finally:
            self.wall += time.perf_counter() - wall
            self.cpu += time.process_time() - cpu


@contextmanager
def timed_evaluations(problem: Problem) -> Iterator[Clock]:
    """Time every call of `problem.evaluate` while the block runs."""
    clock, evaluate = Clock(), problem.evaluate

    def timed(*args: Any, **kwargs: Any) -> Any:
        with clock.running():
            return evaluate(*args, **kwargs)

    problem.evaluate = timed
    try:
        yield clock
    finally:
        del problem.evaluate


@dataclass
class Evaluated:
    """Everything evaluated, in order.

    Attributes
    ----------
    X : list of designs, [n]
    F, G, H : lists of float arrays, [n][M], [n][n_ieq_constr], [n][n_eq_constr]
        NaN where an evaluation failed.
    """

    X: list[Any] = field(default_factory=list)
    F: list[Any] = field(default_factory=list)
    G: list[Any] = field(default_factory=list)
    H: list[Any] = field(default_factory=list)

    def arrays(self, problem: Problem, budget: int) -> Arrays:
        """Return the first `budget` evaluations as arrays, and their front with its designs.

        Returns
        -------
        dict
            ``F`` [n, M]; ``CV`` [n], ``G`` [n, n_ieq_constr] and ``H`` [n, n_eq_constr] where the
            problem has such constraints; ``front_F`` [k, M] and ``front_X`` [k, n_var], the
            feasible non-dominated ones. Designs of mixed variables are JSON texts [k].
        """
        n = min(len(self.F), budget)
        out: Arrays = {"F": np.array(self.F[:n], dtype=float).reshape(n, problem.n_obj)}
        feasible = np.isfinite(out["F"]).all(axis=1)
        if problem.has_constraints():
            G = np.array(self.G[:n], dtype=float).reshape(n, problem.n_ieq_constr)
            H = np.array(self.H[:n], dtype=float).reshape(n, problem.n_eq_constr)
            CV = np.array([calc_cv(G=g, H=h) for g, h in zip(G, H, strict=True)]).reshape(n)
            out |= {"CV": CV, "G": G, "H": H}
            feasible &= CV <= 0
        index = np.flatnonzero(feasible)
        if len(index):
            index = index[moocore.is_nondominated(out["F"][index])]
        out["front_F"] = out["F"][index]
        out["front_X"] = _designs([self.X[i] for i in index], problem)
        return out


def _designs(X: list[Any], problem: Problem) -> NDArray[Any]:
    if len(X) == 0:
        return np.empty((0, problem.n_var))
    if isinstance(X[0], dict):
        return np.array([json.dumps(x, default=_plain) for x in X])
    return np.array([np.asarray(x) for x in X])


def _plain(value: Any) -> Any:
    # numpy's scalars, which is what pymoo puts into dictionaries.
    return value.item()


class RecordingEvaluator(PymooEvaluator):
    """An evaluator that hands everything to another and writes down what was answered.

    Parameters
    ----------
    inner : pymoo Evaluator, optional
        What evaluates: a plain one of pymoo's by default, a `moela.Evaluator` as well.

    Attributes
    ----------
    evaluated : Evaluated
    answering : Clock
        Time in the inner evaluator.
    recording : Clock
        Time that the writing down took, which no other run would have spent.
    """

    def __init__(self, inner: PymooEvaluator | None = None) -> None:
        self.inner = PymooEvaluator() if inner is None else inner
        super().__init__()
        self.evaluated = Evaluated()
        self.answering = Clock()
        self.recording = Clock()

    @property
    def n_eval(self) -> int:
        """Evaluations counted by the inner evaluator."""
        return int(self.inner.n_eval)

    @n_eval.setter
    def n_eval(self, value: int) -> None:
        self.inner.n_eval = value

    def eval(
        self,
        problem: Problem,
        pop: Any,
        skip_already_evaluated: bool | None = None,
        evaluate_values_of: list[str] | None = None,
        count_evals: bool = True,
        **kwargs: Any,
    ) -> Any:
        """Evaluate as the inner evaluator does; see pymoo's `Evaluator.eval`."""
        with self.recording.running():
            names = evaluate_values_of or self.inner.evaluate_values_of
            skip = skip_already_evaluated
            skip = self.inner.skip_already_evaluated if skip is None else skip
            new = [
                ind
                for ind in ([pop] if isinstance(pop, Individual) else pop)
                if not skip or not all(name in ind.evaluated for name in names)
            ]
        with self.answering.running():
            answer = self.inner.eval(
                problem, pop, skip_already_evaluated, evaluate_values_of, count_evals, **kwargs
            )
        with self.recording.running():
            for ind in new:
                self._write(ind, problem)
        return answer

    def _write(self, ind: Individual, problem: Problem) -> None:
        status = ind.data.get("status", OK)
        if status == SKIPPED:
            return
        record = self.evaluated
        values = [ind.F, ind.G, ind.H]
        if status != OK:
            sizes = (problem.n_obj, problem.n_ieq_constr, problem.n_eq_constr)
            values = [np.full(size, np.nan) for size in sizes]
        record.X.append(ind.X)
        for part, value in zip((record.F, record.G, record.H), values, strict=True):
            part.append(value)


@dataclass(frozen=True)
class External:
    """A runner of an optimizer that isn't a pymoo algorithm, to be compared with such.

    Attributes
    ----------
    run : callable
        ``run(problem, n_eval, seed, **settings) -> (X, F)`` or ``(X, F, G)`` or ``(X, F, G, H)``:
        every design evaluated in order, its objectives [n, M] and its constraints.
    settings : dict
        Keyword arguments of `run`, kept with the results.

    Examples
    --------
    >>> import numpy as np
    >>> from pymoo.problems import get_problem
    >>> from moela import External, run_experiment
    >>> def random_search(problem, n_eval, seed):
    ...     X = np.random.default_rng(seed).random((n_eval, problem.n_var))
    ...     return X, problem.evaluate(X)
    >>> results = run_experiment(
    ...     {"ZDT1": get_problem("zdt1")},
    ...     {"random": External(random_search)},
    ...     seeds=2,
    ...     budget=50,
    ...     progress=False,
    ... )
    >>> results.algorithms, len(results.runs)
    (['random'], 2)
    """

    run: Callable[..., tuple[Any, ...]]
    settings: dict[str, Any] = field(default_factory=dict)


def record_run(
    problem: Problem,
    algorithm: Algorithm | External,
    *,
    seed: int,
    budget: int,
    evaluator: PymooEvaluator | None = None,
) -> tuple[Arrays, dict[str, float]]:
    """Run an algorithm and return all that it evaluated within its budget.

    pymoo's algorithms finish their generation, so they may evaluate more; what is past the budget
    is not returned. BLAS and OpenMP get one thread.

    Parameters
    ----------
    problem : Problem
    algorithm : Algorithm or External
        A fresh one; a pymoo algorithm is changed by the run.
    seed, budget : int
    evaluator : pymoo Evaluator, optional
        What evaluates, for a pymoo algorithm.

    Returns
    -------
    arrays : dict
        See `Evaluated.arrays`.
    seconds : dict
        ``wall`` and ``cpu`` of the run, ``evaluation_wall`` and ``evaluation_cpu`` of the part
        inside `problem.evaluate`. With an evaluator of your own the latter two are those of the
        calls to it, waiting for its workers included.
    """
    with threadpool_limits(1):
        if isinstance(algorithm, External):
            evaluated, total, inside = _run_external(problem, algorithm, seed, budget)
        else:
            evaluated, total, inside = _run_pymoo(problem, algorithm, seed, budget, evaluator)
    seconds = {
        "wall": total.wall,
        "cpu": total.cpu,
        "evaluation_wall": inside.wall,
        "evaluation_cpu": inside.cpu,
    }
    return evaluated.arrays(problem, budget), seconds


def _run_pymoo(
    problem: Problem,
    algorithm: Algorithm,
    seed: int,
    budget: int,
    evaluator: PymooEvaluator | None,
) -> tuple[Evaluated, Clock, Clock]:
    total, recorder = Clock(), RecordingEvaluator(evaluator)
    # An evaluator of the caller's may send the problem to workers, which no clock can go along to.
    timing = timed_evaluations(problem) if evaluator is None else nullcontext(recorder.answering)
    with timing as inside, total.running():
        algorithm.setup(problem, termination=("n_eval", budget), seed=seed, evaluator=recorder)
        algorithm.run()
    total.wall -= recorder.recording.wall
    total.cpu -= recorder.recording.cpu
    return recorder.evaluated, total, inside


def _run_external(
    problem: Problem, external: External, seed: int, budget: int
) -> tuple[Evaluated, Clock, Clock]:
    total = Clock()
    with timed_evaluations(problem) as inside, total.running():
        answer = external.run(problem, budget, seed, **external.settings)
    return _of_external(answer, problem), total, inside


def _of_external(answer: tuple[Any, ...], problem: Problem) -> Evaluated:
    X, F, *constraints = answer
    F = np.asarray(F, dtype=float)
    sizes = (problem.n_ieq_constr, problem.n_eq_constr)
    while len(constraints) < 2:
        constraints.append(np.empty((len(F), 0)))
    wanted = [(len(X), problem.n_obj), *((len(X), size) for size in sizes)]
    came = [np.shape(F), *(np.shape(part) for part in constraints[:2])]
    if came != wanted:
        raise ValueError(
            f"An External runner must return X [n], F [n, {problem.n_obj}], G [n, {sizes[0]}] and "
            f"H [n, {sizes[1]}], one row per evaluation. Got X of length {len(X)} and shapes "
            f"{', '.join(map(str, came))} instead."
        )
    return Evaluated(list(rows(X)), list(F), list(constraints[0]), list(constraints[1]))
