"""Streams of single evaluations: a design is handed over as soon as a worker is free.

Each backend of :class:`moela.Evaluator` has its stream, made from the runner of that backend.
"""

from __future__ import annotations

import queue
import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future
from concurrent.futures import wait as wait_for
from dataclasses import dataclass, replace

from moela._arrays import Designs
from moela.evaluation.runners.backends import effective_jobs
from moela.evaluation.runners.call import Packed, ProblemCall, dumps, evaluate_remotely, task
from moela.evaluation.runners.cluster import DaskRunner, RayRunner, crashed
from moela.evaluation.runners.joblib import JoblibRunner, configured
from moela.evaluation.runners.outcome import EvaluationError, Outcome
from moela.evaluation.runners.runner import Runner, SerialRunner
from moela.evaluation.runners.supervisor import Supervisor
from moela.evaluation.runners.transport import unpack

Arrival = tuple[int, Outcome]
"""The number of a submitted design, and its outcome."""

# Names of joblib's backends, and what its `parallel_config` calls them.
_NAMES = {
    "ThreadingBackend": "threading",
    "LokyBackend": "loky",
}
# An idle worker thread looks this often whether its stream was dropped.
_IDLE_SECONDS = 1.0


class Stream(ABC):
    """Evaluates single designs, at most `n_workers` at a time.

    Attributes
    ----------
    n_workers : int
        Number of designs that can be evaluated at the same time.
    """

    n_workers: int

    @abstractmethod
    def submit(self, number: int, X: Designs, names: Sequence[str]) -> None:
        """Hand over a design, X [1, ...], by a number of the caller."""

    @abstractmethod
    def wait(self, seconds: float) -> list[Arrival]:
        """Return what has arrived, after waiting at most so many seconds for the first of it."""

    def close(self) -> None:  # noqa: B027 (most streams need nothing here)
        """Give up everything that was handed over."""


def make_stream(runner: Runner, n_jobs: int | None) -> Stream:
    """Return the stream for the backend of a runner.

    Raises
    ------
    ValueError
        The backend evaluates whole batches only.
    """
    match runner:
        case Supervisor():
            return _ProcessStream(runner)
        case SerialRunner():
            return _SerialStream(runner.call)
        case RayRunner():
            return _RayStream(runner, n_jobs)
        case DaskRunner():
            return _DaskStream(runner)
        case JoblibRunner():
            name, jobs = runner.backend, runner.n_jobs
            if name is None:
                kind, default = configured()
                name, jobs = _NAMES.get(kind or "", kind), default if jobs is None else jobs
            if name in ("threading", "sequential"):
                n = 1 if name == "sequential" else effective_jobs(jobs)
                return _ThreadStream(runner.call, n)
            if name == "loky":
                return _LokyStream(runner.call, effective_jobs(jobs))
            raise ValueError(
                "The 'backend' parameter must be None, 'processes', 'threads', 'serial', 'loky', "
                f"'dask' or 'ray' with asynchronous=True. Got {name!r} instead, which evaluates "
                "whole batches; leave out asynchronous=True or choose another backend."
            )
    raise AssertionError(runner)


class _SerialStream(Stream):
    """Evaluates in this process, when it is waited for."""

    n_workers = 1

    def __init__(self, call: ProblemCall) -> None:
        self._call = call
        self._todo: deque[tuple[int, Designs, Sequence[str]]] = deque()

    def submit(self, number: int, X: Designs, names: Sequence[str]) -> None:
        self._todo.append((number, X, names))

    def wait(self, seconds: float) -> list[Arrival]:
        if not self._todo:
            return []
        number, X, names = self._todo.popleft()
        return [(number, self._call(X, names)[0])]


class _ProcessStream(Stream):
    """Evaluates in supervised processes, which survive timeouts and crashes."""

    def __init__(self, runner: Supervisor) -> None:
        self._runner = runner
        self.n_workers = runner.n_workers

    def submit(self, number: int, X: Designs, names: Sequence[str]) -> None:
        self._runner.submit((number,), X, names)

    def wait(self, seconds: float) -> list[Arrival]:
        arrivals = []
        answer = self._runner.poll(seconds)
        while answer is not None:
            (number,), (outcome,) = answer
            arrivals.append((number, outcome))
            answer = self._runner.poll(0.0)
        return arrivals

    def close(self) -> None:
        self._runner.abandon()


class _ThreadStream(Stream):
    """Evaluates in threads, which end with the program."""

    def __init__(self, call: ProblemCall, n_workers: int) -> None:
        self.n_workers = n_workers
        self._todo: queue.SimpleQueue[tuple[int, Designs, Sequence[str]]] = queue.SimpleQueue()
        self._done: queue.SimpleQueue[Arrival | BaseException] = queue.SimpleQueue()
        self._closed = threading.Event()
        for _ in range(n_workers):
            work = _Worker(call, self._todo, self._done, self._closed)
            threading.Thread(target=work, daemon=True).start()

    def submit(self, number: int, X: Designs, names: Sequence[str]) -> None:
        self._todo.put((number, X, names))

    def wait(self, seconds: float) -> list[Arrival]:
        arrivals: list[Arrival] = []
        try:
            arrival = self._done.get(timeout=seconds)
            while True:
                if isinstance(arrival, BaseException):
                    raise arrival
                arrivals.append(arrival)
                arrival = self._done.get_nowait()
        except queue.Empty:
            return arrivals

    def close(self) -> None:
        self._closed.set()

    def __del__(self) -> None:
        self._closed.set()


class _Worker:
    """The work of one thread. It holds no reference to its stream, which can thus be dropped."""

    def __init__(
        self,
        call: ProblemCall,
        todo: queue.SimpleQueue[tuple[int, Designs, Sequence[str]]],
        done: queue.SimpleQueue[Arrival | BaseException],
        closed: threading.Event,
    ) -> None:
        self._call, self._todo, self._done, self._closed = call, todo, done, closed

    def __call__(self) -> None:
        while not self._closed.is_set():
            try:
                number, X, names = self._todo.get(timeout=_IDLE_SECONDS)
            except queue.Empty:
                continue
            if self._closed.is_set():
                return
            try:
                self._done.put((number, self._call(X, names)[0]))
            except BaseException as error:  # such as a KeyboardInterrupt of the problem
                self._done.put(error)


class _LokyStream(Stream):
    """Evaluates in the processes of loky."""

    def __init__(self, call: ProblemCall, n_workers: int) -> None:
        from joblib.executor import get_memmapping_executor

        self.n_workers = n_workers
        # Its workers are those of joblib's own calls, which would not take others.
        self._executor = get_memmapping_executor(n_workers)
        self._payload = dumps(call)
        self._numbers: dict[Future[Packed], int] = {}

    def submit(self, number: int, X: Designs, names: Sequence[str]) -> None:
        work = task((0,), X, names)
        self._numbers[self._executor.submit(evaluate_remotely, self._payload, work)] = number

    def wait(self, seconds: float) -> list[Arrival]:
        done, _ = wait_for(self._numbers, seconds, return_when=FIRST_COMPLETED)
        arrivals = []
        for future in sorted(done, key=lambda future: self._numbers[future]):
            number = self._numbers.pop(future)
            arrivals.append((number, self._outcome(future)))
        return arrivals

    def _outcome(self, future: Future[Packed]) -> Outcome:
        try:
            _, packed = future.result()
        except EvaluationError:
            raise
        except Exception as error:
            raise EvaluationError(
                f"A worker process died ({error}), and loky cannot say why. The results in a store "
                "are safe: make the same call again. If your evaluations may crash, use "
                'backend="processes".'
            ) from error
        return unpack(packed)[0]

    def close(self) -> None:
        for future in self._numbers:
            future.cancel()
        self._numbers.clear()


@dataclass(frozen=True, slots=True)
class _Handed:
    """A design that was handed to a cluster."""

    number: int
    X: Designs  # [1, ...]
    names: Sequence[str]
    alone: bool = False  # because workers have died with it and perhaps with others


class _DaskStream(Stream):
    """Evaluates on a dask cluster; a design that dask gives up is tried once more, alone.

    Another design may have killed its workers. So the others end first, and new ones wait.
    """

    def __init__(self, runner: DaskRunner) -> None:
        self._runner = runner
        self.n_workers = runner.n_workers()
        self._todo: deque[_Handed] = deque()
        self._alone: deque[_Handed] = deque()
        self._handed: dict[Future[Packed], _Handed] = {}

    def submit(self, number: int, X: Designs, names: Sequence[str]) -> None:
        self._todo.append(_Handed(number, X, names))
        self._hand_over()

    def _hand_over(self) -> None:
        """Begin everything that may run now."""
        if not self._alone and not any(handed.alone for handed in self._handed.values()):
            while self._todo:
                self._begin(self._todo.popleft())
        elif self._alone and not self._handed:
            self._begin(self._alone.popleft())

    def _begin(self, handed: _Handed) -> None:
        self._handed[self._runner.submit((0,), handed.X, handed.names)] = handed

    def wait(self, seconds: float) -> list[Arrival]:
        arrivals = []
        for future in self._runner.ended(self._handed, seconds):
            handed, outcomes = self._handed.pop(future), self._runner.outcomes(future)
            if not isinstance(outcomes, int):
                arrivals.append((handed.number, outcomes[0]))
            elif handed.alone and outcomes > 0:
                arrivals.append((handed.number, crashed(outcomes)))
            elif handed.alone or outcomes > 0:
                self._alone.append(replace(handed, alone=True))
            else:  # it had not begun
                self._todo.appendleft(handed)
        self._hand_over()
        return sorted(arrivals, key=lambda arrival: arrival[0])

    def close(self) -> None:
        for future in self._handed:
            future.cancel()
        for waiting in (self._handed, self._todo, self._alone):
            waiting.clear()


class _RayStream(Stream):
    """Evaluates in ray tasks."""

    def __init__(self, runner: RayRunner, n_jobs: int | None) -> None:
        import ray

        self._runner = runner
        resources = ray.cluster_resources()  # type: ignore[no-untyped-call, unused-ignore]
        cores = max(1, int(resources.get("CPU", 1)))
        self.n_workers = cores if n_jobs is None or n_jobs < 0 else min(cores, n_jobs)
        self._numbers: dict[object, int] = {}

    def submit(self, number: int, X: Designs, names: Sequence[str]) -> None:
        self._numbers[self._runner.submit((0,), X, names)] = number

    def wait(self, seconds: float) -> list[Arrival]:
        import ray

        ready, _ = ray.wait([*self._numbers], num_returns=1, timeout=seconds)
        arrivals = []
        for reference in ready:
            number, outcomes = self._numbers.pop(reference), self._runner.outcomes(reference)
            outcome = crashed(outcomes) if isinstance(outcomes, int) else outcomes[0]
            arrivals.append((number, outcome))
        return arrivals

    def close(self) -> None:
        import ray

        for reference in self._numbers:
            ray.cancel(reference)
        self._numbers.clear()
