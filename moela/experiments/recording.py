"""Recording one run of an algorithm on a problem: all evaluations, and the times."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import moocore
import numpy as np
from numpy.typing import ArrayLike, NDArray
from pymoo.core.algorithm import Algorithm
from pymoo.core.evaluator import Evaluator as PymooEvaluator
from pymoo.core.individual import Individual
from pymoo.core.population import Population
from pymoo.core.problem import Problem
from threadpoolctl import threadpool_limits

from moela._arrays import Design, Designs, Floats, rows, unmasked
from moela._bounds import Where, check_inside, surely_inside
from moela.evaluation.batch import unevaluated
from moela.evaluation.checks import CheckedEvaluator
from moela.evaluation.runners.outcome import OK, SKIPPED
from moela.evaluation.runners.violation import violation

Arrays = dict[str, NDArray[Any]]


@dataclass
class Clock:
    """Accumulated seconds of wall time and of CPU time."""

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

    def timed(*args: object, **kwargs: object) -> object:
        with clock.running():
            return evaluate(*args, **kwargs)

    problem.evaluate = timed
    try:
        yield clock
    finally:
        del problem.evaluate


@dataclass
class Evaluated:
    """All evaluations of a run, in order; values are NaN for a failed evaluation."""

    X: list[Design] = field(default_factory=list)
    F: list[Floats] = field(default_factory=list)  # [n][M]
    G: list[Floats] = field(default_factory=list)  # [n][n_ieq_constr]
    H: list[Floats] = field(default_factory=list)  # [n][n_eq_constr]

    def arrays(self, problem: Problem, budget: int) -> Arrays:
        """Return the first `budget` evaluations as arrays, and their front with its designs.

        They are ``F`` [n, M]; ``CV`` [n], ``G`` [n, n_ieq_constr] and ``H`` [n, n_eq_constr] if the
        problem has constraints; ``front_F`` [k, M] and ``front_X`` [k, n_var] of the feasible
        non-dominated designs. Designs of mixed variables are JSON texts [k].
        """
        n = min(len(self.F), budget)
        out: Arrays = {"F": np.array(self.F[:n], dtype=float).reshape(n, problem.n_obj)}
        feasible = np.isfinite(out["F"]).all(axis=1)
        if problem.has_constraints():
            G = np.array(self.G[:n], dtype=float).reshape(n, problem.n_ieq_constr)
            H = np.array(self.H[:n], dtype=float).reshape(n, problem.n_eq_constr)
            CV = np.array([violation(g, h) for g, h in zip(G, H, strict=True)]).reshape(n)
            out |= {"CV": CV, "G": G, "H": H}
            feasible &= CV <= 0
        index = np.flatnonzero(feasible)
        if len(index):
            index = index[moocore.is_nondominated(out["F"][index])]
        out["front_F"] = out["F"][index]
        out["front_X"] = _designs([self.X[i] for i in index], problem)
        return out


def _designs(X: list[Design], problem: Problem) -> Designs:
    if len(X) == 0:
        return np.empty((0, problem.n_var))
    if isinstance(X[0], dict):
        # pymoo puts numpy scalars into the dictionaries, hence `item`.
        return np.array([json.dumps(x, default=lambda value: value.item()) for x in X])
    return np.array([np.asarray(x) for x in X])


class RecordingEvaluator(PymooEvaluator):
    """An evaluator that passes everything to another one and records its answers."""

    def __init__(self, inner: PymooEvaluator | None = None) -> None:
        self.computing = Clock()  # time in the problem, unless the inner evaluator is the caller's
        self.inner = CheckedEvaluator(self.computing.running) if inner is None else inner
        super().__init__()
        self.evaluated = Evaluated()
        self.answering = Clock()  # time in the inner evaluator
        self.recording = Clock()  # not part of the run's time

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
        pop: Population | Individual,
        skip_already_evaluated: bool | None = None,
        evaluate_values_of: list[str] | None = None,
        count_evals: bool = True,
        **kwargs: object,
    ) -> Population | Individual:
        """Evaluate as the inner evaluator does; see pymoo's `Evaluator.eval`."""
        with self.recording.running():
            names = evaluate_values_of or self.inner.evaluate_values_of
            new = unevaluated(self.inner, pop, skip_already_evaluated, names)
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
    """An optimizer that isn't a pymoo algorithm, to be compared with those that are.

    Attributes
    ----------
    run : callable
        ``run(problem, n_eval, seed, **settings) -> (X, F)`` or ``(X, F, G)`` or ``(X, F, G, H)``:
        every design evaluated, in order, with its objectives [n, M] and constraints. Those beyond
        `n_eval` are left out, and a warning says if there are fewer. Designs outside of the bounds
        and complex numbers are an error.
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

    run: Callable[..., tuple[ArrayLike, ...]]
    settings: dict[str, object] = field(default_factory=dict)


def record_run(
    problem: Problem,
    algorithm: Algorithm | External,
    *,
    seed: int,
    budget: int,
    evaluator: PymooEvaluator | None = None,
) -> tuple[Arrays, dict[str, float]]:
    """Run an algorithm and return all its evaluations within the budget.

    pymoo's algorithms finish their generation, so they may evaluate more; evaluations beyond the
    budget are not returned. BLAS and OpenMP get one thread. The run changes a pymoo algorithm.

    The first answer is that of `Evaluated.arrays`, the second the seconds: ``wall`` and ``cpu`` of
    the run, ``evaluation_wall`` and ``evaluation_cpu`` of the part inside `problem.evaluate`. With
    an `evaluator`, which only a pymoo algorithm uses, the latter two measure the calls to it,
    including the time spent waiting for its workers.
    """
    total, recorder = Clock(), RecordingEvaluator(evaluator)
    # An evaluator of the caller's may send the problem to other processes, where no clock runs.
    own = recorder.computing if evaluator is None else recorder.answering
    external = isinstance(algorithm, External)
    timing = timed_evaluations(problem) if external else nullcontext(own)
    with threadpool_limits(1), timing as inside, total.running():
        if isinstance(algorithm, External):
            answer = algorithm.run(problem, budget, seed, **algorithm.settings)
        else:
            algorithm.setup(problem, termination=("n_eval", budget), seed=seed, evaluator=recorder)
            algorithm.run()
    if isinstance(algorithm, External):
        recorder.evaluated = _of_external(answer, problem)
    total.wall -= recorder.recording.wall
    total.cpu -= recorder.recording.cpu
    seconds = {"wall": total.wall, "cpu": total.cpu}
    seconds |= {"evaluation_wall": inside.wall, "evaluation_cpu": inside.cpu}
    return recorder.evaluated.arrays(problem, budget), seconds


def _of_external(answer: tuple[Any, ...], problem: Problem) -> Evaluated:
    if not (isinstance(answer, tuple | list) and 2 <= len(answer) <= 4):
        got = type(answer).__name__
        if isinstance(answer, tuple | list):
            got = f"a {got} of {len(answer)}"
        raise ValueError(
            "An External runner must return the tuple (X, F), (X, F, G) or (X, F, G, H) of all "
            f"evaluations. Got {got} instead."
        )
    X, F, *constraints = answer
    F, *constraints = (
        _real(name, unmasked(part))
        for name, part in zip(("F", "G", "H"), (F, *constraints), strict=False)
    )
    sizes = (problem.n_ieq_constr, problem.n_eq_constr)
    while len(constraints) < 2:
        constraints.append(np.empty((len(F), 0)))
    expected = [(len(X), size) for size in (problem.n_obj, *sizes)]
    shapes = [np.shape(part) for part in (F, *constraints[:2])]
    if shapes != expected:
        raise ValueError(
            f"An External runner must return X [n], F [n, {problem.n_obj}], G [n, {sizes[0]}] and "
            f"H [n, {sizes[1]}], one row per evaluation. Got X of length {len(X)} and shapes "
            f"{', '.join(map(str, shapes))} instead."
        )
    _check_inside(problem, X)
    return Evaluated(list(rows(X)), list(F), list(constraints[0]), list(constraints[1]))


def _real(name: str, values: ArrayLike) -> Floats:
    """Return objectives or constraints as floats; complex numbers must have no imaginary part."""
    array = np.asarray(values)
    if array.dtype.kind != "c":
        return np.asarray(array, dtype=float)
    for place in np.argwhere(array.imag != 0)[:1]:
        raise ValueError(
            f"An External runner must return real numbers. Got {name}{place.tolist()} = "
            f"{array[tuple(place)]} instead; take the real part or the absolute value."
        )
    return np.asarray(array.real, dtype=float)


def _check_inside(problem: Problem, X: ArrayLike) -> None:
    """Raise a ValueError if a design that an External runner returned is outside of the bounds."""
    designs = rows(X)  # type: ignore[arg-type]
    named = getattr(problem, "vars", None)
    if len(X) == 0 or (named and not isinstance(X[0], dict)):  # type: ignore[arg-type, index]
        return
    if not named and designs.shape[1] != problem.n_var:
        raise ValueError(
            f"An External runner must return X [n, {problem.n_var}], a value for each variable. "
            f"Got X of shape {designs.shape} instead."
        )
    if surely_inside(problem, designs):
        return
    advice = "return the designs that were evaluated, inside of the bounds"
    wheres = [Where(f"design {i} of an External runner", advice) for i in range(len(designs))]
    check_inside(problem, designs, wheres)
