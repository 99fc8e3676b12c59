"""Worker processes that may hang or die: a hard timeout, and only the evaluation in hand is lost.

One thread here stands behind each worker process: it hands over a task, or a few if they are short,
waits, and replaces the process if it dies or is overdue. The problem is sent once per process, not
per task.
"""

from __future__ import annotations

import logging
import os
import queue
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import IO, Any, cast

from moela.evaluation.runners.call import single_threaded_environment
from moela.evaluation.runners.outcome import (
    CRASH_RETRIES,
    CRASHED,
    ERROR,
    TIMEOUT,
    EvaluationError,
    Outcome,
    unloadable,
)
from moela.evaluation.runners.worker import receive, send

logger = logging.getLogger("moela.evaluator")

Job = tuple[int, ...]
_START_TRIES = 10

# A worker is given tasks for so many seconds at once, so that it need not wait for each.
_GROUP_SECONDS = 0.04
_GROUP_MOST = 16


@dataclass(slots=True)
class _Task:
    job: Job
    X: Any
    names: Sequence[str]
    epoch: int
    crashes: int = 0
    timeouts: int = 0
    seconds: float = 0.0


class Supervisor:
    """A fixed number of supervised worker processes, started when first needed, kept until closed.

    Parameters
    ----------
    payload : bytes
        Pickle of (problem, retries, threads) for the workers.
    n_workers : int
    timeout : float or None
        Seconds per design; the worker is killed, with every process it started, when they are over.
    retries : int
        How often a design that ran out of time is tried again.
    threads : int or None
        How many BLAS and OpenMP threads each worker may use; None leaves that to the libraries.
    """

    def __init__(
        self,
        payload: bytes,
        *,
        n_workers: int,
        timeout: float | None,
        retries: int,
        threads: int | None,
    ):
        self._state = _State(payload, timeout, retries, threads)
        for _ in range(n_workers):
            thread = threading.Thread(target=_serve, args=(self._state,), daemon=True)
            self._state.threads.append(thread)
            thread.start()
        # The threads hold the state but not this object, so that dropping it ends them.
        self.close = weakref.finalize(self, self._state.close)

    def run(
        self, jobs: Sequence[Job], X: Any, names: Sequence[str]
    ) -> Iterator[tuple[Job, list[Outcome]]]:
        """Evaluate the rows of X that the jobs name; yield each job, or each part, as it ends.

        Raises
        ------
        EvaluationError
            A worker cannot be started: the problem cannot be imported or unpickled there.
        """
        state = self._state
        with state.changed:
            state.todo.extend(_Task(job, X[list(job)], names, state.epoch) for job in jobs)
            state.rows = sum(map(len, jobs))
            state.changed.notify_all()
        finished = False
        try:
            while state.rows > 0:
                try:
                    answer = state.done.get(timeout=0.5)
                except queue.Empty:
                    continue
                if isinstance(answer, Exception):
                    raise answer
                state.rows -= len(answer[0])
                yield answer
            finished = True
        finally:
            if not finished:
                state.abandon()

    def cancel(self) -> int:
        """Drop what no worker has begun; return how many jobs are still in hand."""
        return self._state.drop()


class _State:
    """What the supervising threads share."""

    def __init__(
        self, payload: bytes, timeout: float | None, retries: int, threads: int | None
    ) -> None:
        self.payload = payload
        self.timeout = timeout
        self.retries = retries
        self.environment = dict(os.environ)
        if threads is not None:
            self.environment |= single_threaded_environment(threads)
        self.python_path = self.environment.get("PYTHONPATH")
        self.environment["PYTHONPATH"] = os.pathsep.join(p or os.getcwd() for p in sys.path)
        self.pid = os.getpid()
        self.changed = threading.Condition()
        self.todo: deque[_Task] = deque()
        self.threads: list[threading.Thread] = []
        self.busy: dict[int, _Process] = {}
        self.epoch = 0  # tasks of an earlier one are of a run that was given up
        self.processes: set[_Process] = set()
        self.done: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.rows = 0
        self.pace = 1.0  # seconds that a task takes, on average of late
        self.closed = False

    def drop(self) -> int:
        with self.changed:
            self.rows -= sum(len(task.job) for task in self.todo)
            self.todo.clear()
            return len(self.busy)

    def abandon(self) -> None:
        """Forget the tasks of this run; the processes that have one in hand are ended."""
        with self.changed:
            self.epoch += 1
            self.rows = 0
            self.todo.clear()
            for process in self.busy.values():
                process.kill()
            with suppress(queue.Empty):
                while True:
                    self.done.get_nowait()

    def take(self) -> list[_Task]:
        """Wait for work and return the next task, several if they are short; none when closed.

        A process that has its next task already need not wait for this one to be handed over. The
        last tasks of a batch are given out one by one, so that the workers end together.
        """
        with self.changed:
            while not self.todo and not self.closed:
                self.changed.wait()
            if self.closed:
                return []
            share = len(self.todo) // (2 * len(self.threads))
            n = max(1, min(share, int(_GROUP_SECONDS / self.pace), _GROUP_MOST))
            return [self.todo.popleft() for _ in range(n)]

    def answer(self, task: _Task, answer: Any) -> None:
        with self.changed:
            if not self.gone(task):
                self.done.put(answer)

    def put_back(self, tasks: list[_Task]) -> None:
        with self.changed:
            if not self.closed and tasks[0].epoch == self.epoch:
                self.todo.extendleft(reversed(tasks))
                self.changed.notify_all()

    def gone(self, task: _Task) -> bool:
        return self.closed or task.epoch != self.epoch

    def close(self) -> None:
        if os.getpid() != self.pid:  # a fork of the process that they belong to
            return
        with self.changed:
            self.closed = True
            self.todo.clear()
            for process in self.processes:
                process.kill()
            self.changed.notify_all()
        for thread in self.threads:
            if thread is not threading.current_thread():
                thread.join(timeout=5.0)


class _Process:
    """A worker process and the two pipes to it."""

    def __init__(self, state: _State):
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "moela.evaluation.runners.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=state.environment,
            start_new_session=os.name == "posix",
        )
        self._in = cast("IO[bytes]", self._process.stdin)
        self._out = cast("IO[bytes]", self._process.stdout)
        self.name = f"pid {self._process.pid}"

    def begin(self, state: _State) -> None:
        setup = {"path": sys.path, "python_path": state.python_path, "payload": state.payload}
        self.send(setup)
        problem = self.receive()
        if problem is not None:
            raise unloadable(problem)

    def send(self, message: Any) -> None:
        send(cast("Any", self._in), message)

    def receive(self) -> Any:
        return receive(cast("Any", self._out))

    def kill(self) -> None:
        """End the process and everything that it started."""
        if self._process.poll() is None:
            with suppress(ProcessLookupError, PermissionError):
                if os.name == "posix":
                    os.killpg(self._process.pid, signal.SIGKILL)
                else:
                    self._process.kill()

    def end(self) -> str:
        """End and reap the process; return how it had ended."""
        self.kill()
        code = self._process.wait()
        for pipe in (self._in, self._out):
            with suppress(OSError):
                pipe.close()
        if code < 0:
            with suppress(ValueError):
                return f"signal {signal.Signals(-code).name}"
        return f"exit status {code}"


def _serve(state: _State) -> None:
    """Work on tasks with one process until the state is closed."""
    me = threading.get_ident()
    process: _Process | None = None
    while True:
        group = state.take()
        if not group:
            break
        usable = True
        try:
            process = process or _start(state)
            with state.changed:
                if state.gone(group[0]):
                    continue
                state.busy[me] = process
            usable = _attempt(state, process, group)
        except Exception as error:
            state.answer(group[0], error)
            usable = False
        with state.changed:
            state.busy.pop(me, None)
        if not usable and process is not None:
            _discard(state, process)
            process = None
    if process is not None:
        _discard(state, process)


def _start(state: _State) -> _Process:
    for attempt in range(1, _START_TRIES + 1):
        process = _Process(state)
        with state.changed:
            state.processes.add(process)
        try:
            process.begin(state)
            return process
        except (EOFError, OSError) as error:
            how = _discard(state, process)
            # One that was killed may fare better the next time; one that ended itself will not.
            if attempt == _START_TRIES or not how.startswith("signal") or state.closed:
                raise EvaluationError(
                    f"A worker process ended before it could begin ({how}; try {attempt}); its "
                    "last words are on standard error."
                ) from error
        except BaseException:
            _discard(state, process)
            raise
    raise AssertionError("unreachable")


def _discard(state: _State, process: _Process) -> str:
    with state.changed:
        state.processes.discard(process)
    return process.end()


def _attempt(state: _State, process: _Process, group: list[_Task]) -> bool:
    """Give tasks to a process, answer them one by one, return whether the process is usable."""
    try:
        process.send([(task.X, task.names) for task in group])
    except OSError:  # it died while idle, which is not these tasks' doing
        state.put_back(group)
        return False
    for k, task in enumerate(group):
        with _deadline(state, process, task) as overdue:
            start = time.perf_counter()
            try:
                outcomes = process.receive()
            except (EOFError, OSError):
                outcomes = None
        seconds = time.perf_counter() - start
        if outcomes is None:
            task.seconds += seconds
            if group[k + 1 :]:
                state.put_back(group[k + 1 :])
            _lost(state, process, task, overdue.is_set())
            return False
        if isinstance(outcomes, str):
            outcomes = [Outcome(ERROR, error=outcomes, worker=process.name) for _ in task.job]
        for outcome in outcomes:
            outcome.attempts += task.crashes + task.timeouts
            outcome.duration += task.seconds / len(task.job)
        state.pace = 0.8 * state.pace + 0.2 * seconds
        state.answer(task, (task.job, outcomes))
        if overdue.is_set():  # it was killed in the moment in which it answered
            if group[k + 1 :]:
                state.put_back(group[k + 1 :])
            return False
    return True


@contextmanager
def _deadline(state: _State, process: _Process, task: _Task) -> Iterator[threading.Event]:
    """Kill the process if what is done within takes too long; the event tells whether it did."""
    overdue = threading.Event()
    if state.timeout is None:
        yield overdue
        return

    def expire() -> None:
        overdue.set()
        process.kill()

    timer = threading.Timer(state.timeout * len(task.job), expire)
    timer.daemon = True
    timer.start()
    try:
        yield overdue
    finally:
        timer.cancel()


def _lost(state: _State, process: _Process, task: _Task, overdue: bool) -> None:
    """Decide about a task whose process is gone: again, in parts, or a failure."""
    if state.gone(task):
        return
    if overdue:
        task.timeouts += 1
        again = task.timeouts <= state.retries
        status, why = TIMEOUT, f"It took longer than {state.timeout} seconds and was ended."
    else:
        task.crashes += 1
        again = task.crashes <= CRASH_RETRIES
        status, why = CRASHED, f"Its worker process ended with {process.end()}."
        logger.warning(
            "worker process %s died with an evaluation in hand; %s",
            process.name,
            "trying it again" if again else "giving it up",
        )
    if len(task.job) > 1:
        # Some row of the chunk did it: find out which.
        rows = enumerate(task.job)
        state.put_back([_Task((i,), task.X[k : k + 1], task.names, task.epoch) for k, i in rows])
    elif again:
        state.put_back([task])
    else:
        attempts = task.crashes + task.timeouts
        outcome = Outcome(status, {}, why, task.seconds, process.name, attempts)
        state.answer(task, (task.job, [outcome]))
