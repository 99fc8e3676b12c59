"""Helpers of the checks: running checks, and algorithms under observation."""

from __future__ import annotations

import io
import pickle
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike
from pymoo.core.algorithm import Algorithm
from pymoo.core.evaluator import Evaluator
from pymoo.core.population import Population
from pymoo.core.problem import Problem
from pymoo.core.result import Result
from pymoo.optimize import minimize
from pymoo.termination.max_eval import MaximumFunctionCallTermination

from moela._arrays import Bools, Design, Designs, Floats, rows
from moela.testing.legal import assert_legal

MakeAlgorithm = Callable[..., Algorithm]

_T = TypeVar("_T")
_Check = TypeVar("_Check", bound=Callable[..., None])

# Evaluations of most runs: enough for every phase of a small algorithm, and a prime, so not a
# multiple of a batch.
N_EVAL = 101
_LIMIT = 10_000  # iterations after which a run is taken not to end
_EMPTY = 100  # the same for iterations in a row that evaluate nothing
_NO_DESIGN = "ask() must return at least one design while the run goes on. Got 0."
_NOTHING_NEW = (
    "ask() must return designs that are not evaluated while the run goes on. For "
    f"{_EMPTY} iterations there were none."
)


def unskipped(checks: Sequence[_Check], skip: Sequence[str], caller: str) -> list[_Check]:
    """Return the checks whose names are not in `skip`, which must name checks."""
    names = [check.__name__ for check in checks]
    unknown = sorted(set(skip) - set(names))
    if unknown:
        raise ValueError(
            f"The 'skip' parameter of {caller} must name checks out of {', '.join(names)}. "
            f"Got {', '.join(unknown)} instead."
        )
    return [check for check in checks if check.__name__ not in skip]


def run_check(check: Callable[..., None], *arguments: object) -> None:
    """Run a check; a failure notes the check and the problem, the last argument.

    An exception of the object under test becomes an AssertionError, its cause. A RuntimeError says
    that Python runs without assert statements, so that no check could fail.
    """
    if not __debug__:
        raise RuntimeError(
            "The checks of moela.testing are assert statements, which this Python leaves out. "
            "Start it without -O, -OO and PYTHONOPTIMIZE."
        )
    note = f"in {check.__name__} on {type(arguments[-1]).__name__}"
    try:
        check(*arguments)
    except AssertionError as error:
        error.add_note(note)
        raise
    except Exception as error:
        purpose = (check.__doc__ or "").strip().partition("\n")[0]
        failure = AssertionError(
            f"{purpose} It must end without an exception. Got {type(error).__name__}: {error}"
        )
        failure.add_note(note)
        raise failure from error


def copied(value: _T) -> _T:
    """Return a value through a pickle; an AssertionError says if there is none."""
    try:
        text = pickle.dumps(value)
    except Exception as error:
        raise AssertionError(
            f"A {type(value).__name__} must be picklable, with all attributes. Got "
            f"{type(error).__name__}: {error}; keep no generators, open files or functions that "
            "are defined inside others."
        ) from error
    found: _T = pickle.loads(text)
    return found


@contextmanager
def global_state_unchanged(name: str) -> Iterator[None]:
    """Check that no global random state is advanced or seeded."""
    before: Any = np.random.get_state()  # noqa: NPY002
    plain = random.getstate()
    yield
    after: Any = np.random.get_state()  # noqa: NPY002
    untouched = np.array_equal(before[1], after[1]) and before[2] == after[2]
    assert untouched, f"{name} must leave numpy's global random state alone. It advanced."
    assert random.getstate() == plain, f"{name} must leave Python's random state alone."


@contextmanager
def global_state_of(seed: int) -> Iterator[None]:
    """Seed the global random states, and restore them."""
    before, plain = np.random.get_state(), random.getstate()  # noqa: NPY002
    np.random.seed(seed)  # noqa: NPY002
    random.seed(seed)
    try:
        yield
    finally:
        np.random.set_state(before)  # noqa: NPY002
        random.setstate(plain)


@contextmanager
def designs_unchanged(X: Iterable[Design], name: str) -> Iterator[None]:
    """Check that no design of X is changed."""
    before = [key(x) for x in X]
    yield
    assert [key(x) for x in X] == before, f"{name} must not change X."


class Recorder(Evaluator):
    """An evaluator that records every evaluated design, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.designs: list[str] = []
        self.F: list[Floats] = []
        self.CV: list[float] = []
        self._n_empty = 0  # in a row

    def eval(
        self, problem: Problem, pop: Population, *args: object, **kwargs: object
    ) -> Population:
        """Evaluate and record designs; fail if there have been none many times in a row."""
        before = len(self.designs)
        evaluated = super().eval(problem, pop, *args, **kwargs)
        self._n_empty = 0 if len(self.designs) > before else self._n_empty + 1
        assert self._n_empty < _EMPTY, _NOTHING_NEW
        return evaluated

    def _eval(self, problem: Problem, pop: Population, *args: object, **kwargs: object) -> None:
        super()._eval(problem, pop, *args, **kwargs)
        self.note(pop)

    def note(self, pop: Population) -> None:
        """Record evaluated designs."""
        self.designs += [key(ind.X) for ind in pop]
        self.F += [np.array(ind.F, dtype=float) for ind in pop]
        self.CV += [float(ind.CV[0]) for ind in pop]

    def front(self) -> set[tuple[float, ...]]:
        """Return the objectives of the feasible, non-dominated designs evaluated."""
        F = np.array([f for f, cv in zip(self.F, self.CV, strict=True) if cv <= 0.0])
        return as_set(F[~dominated(F)]) if len(F) else set()


class LegalRecorder(Recorder):
    """A recorder that fails on an illegal design, before the problem or the algorithm does."""

    def _eval(self, problem: Problem, pop: Population, *args: object, **kwargs: object) -> None:
        assert_legal(problem, rows([ind.X for ind in pop]), "ask()")
        super()._eval(problem, pop, *args, **kwargs)


class Count:
    """Counts the designs that a problem evaluates, as its callback."""

    def __init__(self, callback: Callable[..., None] | None) -> None:
        self.n = 0
        self._callback = callback

    def __call__(self, X: Designs, out: dict[str, object]) -> None:
        """Count designs, then call the problem's own callback."""
        self.n += len(X)
        if self._callback is not None:
            self._callback(X, out)


class Limit(MaximumFunctionCallTermination):
    """A budget of evaluations that fails the run if it does not end."""

    def __init__(self, n_eval: int) -> None:
        super().__init__(n_eval)
        self._n = 0

    def _update(self, algorithm: Algorithm) -> float:
        self._n += 1
        if self._n > _LIMIT:
            raise AssertionError(_endless("iterations"))
        return float(super()._update(algorithm))


def _endless(what: str) -> str:
    return f"The run must end. It has not after {_LIMIT} {what}."


def key(x: Design) -> str:
    """Return a design as text that is equal for equal designs, objects of any class included."""
    if isinstance(x, dict):
        return repr(sorted((name, _by_value(value)) for name, value in x.items()))
    X = np.asarray(x)
    return repr([_by_value(value) for value in X.ravel()] if X.dtype == object else X.tolist())


def _by_value(value: object) -> object:
    """Return a value itself if its text tells all of it, else its pickle."""
    value = value.item() if isinstance(value, np.generic) else value
    if value is None or isinstance(value, str | bytes | int | float | complex):
        return value
    written = io.BytesIO()
    pickler = pickle.Pickler(written)
    # Without it, a pickle also tells which of several equal parts are one object.
    pickler.fast = True
    pickler.dump(value)
    return written.getvalue()


def as_set(F: ArrayLike) -> set[tuple[float, ...]]:
    """Turn objectives [n, M] into a set of rows."""
    return {tuple(row) for row in np.asarray(F, dtype=float).tolist()}


def dominated(F: Floats) -> Bools:
    """Mark rows that another row dominates; independent of the package's own implementation."""
    no_worse = np.all(F[None] <= F[:, None], axis=2)
    better = np.any(F[None] < F[:, None], axis=2)
    return np.any(no_worse & better, axis=1)


def run(
    make: MakeAlgorithm,
    problem: Problem,
    n_eval: int,
    seed: int = 1,
    recorder: Recorder | None = None,
    **kwargs: object,
) -> tuple[Result, Recorder]:
    """Run `minimize` with a recorder, by default a new one."""
    recorder = Recorder() if recorder is None else recorder
    res = minimize(problem, make(), Limit(n_eval), seed=seed, evaluator=recorder, **kwargs)
    return res, recorder


def set_up(make: MakeAlgorithm, problem: Problem, n_eval: int, seed: int = 1) -> Algorithm:
    """Make an algorithm ready for ask and tell."""
    algorithm = make()
    algorithm.setup(problem, termination=("n_eval", n_eval), seed=seed)
    return algorithm


def ask(algorithm: Algorithm) -> Population:
    """Ask, and check that at least one design comes."""
    infills = algorithm.ask()
    assert infills is not None, "ask() must return a population. Got None instead."
    assert len(infills) > 0, _NO_DESIGN
    return infills


def evaluate(problem: Problem, infills: Population, recorder: Recorder) -> None:
    """Evaluate designs without the evaluator of the algorithm."""
    Recorder.eval(recorder, problem, infills)


def drive(
    algorithm: Algorithm,
    problem: Problem,
    recorder: Recorder,
    answer: Callable[[int, Population], Population] = lambda step, infills: infills,
) -> None:
    """Ask, evaluate and tell until the run ends.

    `answer` receives the number of the ask and the evaluated designs, and returns those to tell.
    """
    for step in range(_LIMIT):
        if not algorithm.has_next():
            return
        infills = ask(algorithm)
        evaluate(problem, infills, recorder)
        algorithm.tell(infills=answer(step, infills))
    raise AssertionError(_endless("asks"))


def assert_same(first: Recorder, second: Recorder, what: str) -> None:
    """Assert that two runs have evaluated the same designs in the same order."""
    for i, (a, b) in enumerate(zip(first.designs, second.designs, strict=False)):
        assert a == b, f"{what} must evaluate the same designs. They part at evaluation {i + 1}."
    n, m = len(first.designs), len(second.designs)
    assert n == m, f"{what} must evaluate the same designs. One evaluated {n}, the other {m}."
