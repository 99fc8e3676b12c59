"""Worker processes that may hang or die: hard timeouts, and only the evaluation in hand is lost.

In this process, one thread supervises each worker process: it hands over a task, or several short
ones, waits, and replaces the process if it dies or exceeds its timeout. The problem is sent once
per process, not per task.
"""

from __future__ import annotations

import logging
import os
import queue
import threading
import time
import weakref
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from moela._arrays import Designs
from moela.evaluation.runners.call import Answer, Job, ProblemCall, dumps
from moela.evaluation.runners.frames import RefusedError
from moela.evaluation.runners.outcome import (
    CRASH_RETRIES,
    CRASHED,
    TIMEOUT,
    EvaluationError,
    Outcome,
)
from moela.evaluation.runners.runner import CLOSED, Runner
from moela.evaluation.runners.worker_process import WorkerProcess, WorkerSetup

logger = logging.getLogger("moela.evaluator")

_START_TRIES = 10
_IDLE_DEATHS = 10  # of the workers that were to take a task, before it began

# A worker is given tasks for this many seconds at once, so that it need not wait for each.
_GROUP_SECONDS = 0.04
_GROUP_MOST = 16


@dataclass(slots=True)
class _Task:
    """A job in the queue of the supervisor."""

    job: Job
    X: Designs
    names: Sequence[str]
    epoch: int
    crashes: int = 0
    timeouts: int = 0
    idle_deaths: int = 0
    seconds: float = 0.0


class Supervisor(Runner):
    """A fixed number of supervised worker processes, started when first needed, kept until closed.

    After ``timeout`` seconds per design a worker is killed with every process that it started.
    """

    def __init__(self, call: ProblemCall, n_workers: int, timeout: float | None):
        super().__init__(call)
        self._state = _State(call, timeout)
        for _ in range(n_workers):
            thread = threading.Thread(target=_serve, args=(self._state,), daemon=True)
            self._state.threads.append(thread)
            thread.start()
        # The threads hold the state but not this object, so that dropping it ends them.
        self._closed = weakref.finalize(self, self._state.close)

    def _answers(
        self, jobs: Sequence[Job], X: Designs, names: Sequence[str]
    ) -> Generator[Answer, None, None]:
        """Yield each job, or each part of one, as it ends; raises if a worker cannot start."""
        state = self._state
        with state.changed:
            state.todo.extend(_Task(job, X[list(job)], names, state.epoch) for job in jobs)
            state.rows = sum(map(len, jobs))
            state.changed.notify_all()
        try:
            while state.rows > 0:
                try:
                    answer = state.done.get(timeout=0.5)
                except queue.Empty:
                    continue
                if isinstance(answer, BaseException):
                    raise answer
                state.rows -= len(answer[0])
                yield answer
        except BaseException:  # such as the end of this generator
            state.abandon()
            raise

    @property
    def n_workers(self) -> int:
        """Number of worker processes."""
        return len(self._state.threads)

    def submit(self, job: Job, X: Designs, names: Sequence[str]) -> None:
        """Hand over a job outside of a batch: its rows, with designs X [len(job), ...]."""
        state = self._state
        with state.changed:
            state.todo.append(_Task(job, X, names, state.epoch))
            state.changed.notify()

    def poll(self, timeout: float) -> Answer | None:
        """Wait for the answer to a submitted job; None if none comes within so many seconds."""
        try:
            answer = self._state.done.get(timeout=timeout)
        except queue.Empty:
            return None
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def abandon(self) -> None:
        """Forget all jobs, and kill the processes that work on one."""
        self._state.abandon()

    def cancel(self) -> int:
        """Drop the jobs that no worker has begun; return how many continue."""
        state = self._state
        with state.changed:
            state.rows -= sum(len(task.job) for task in state.todo)
            state.todo.clear()
            return len(state.busy)

    def close(self) -> None:
        """Kill all workers."""
        self._closed()


class _State:
    """The state that the supervising threads share."""

    def __init__(self, call: ProblemCall, timeout: float | None):
        self.setup = WorkerSetup(dumps(call), call.threads)
        self.timeout = timeout
        self.retries = call.retries  # of a design that exceeds it; the worker counts other errors
        self.pid = os.getpid()
        self.changed = threading.Condition()
        self.todo: deque[_Task] = deque()
        self.threads: list[threading.Thread] = []
        self.busy: dict[int, WorkerProcess] = {}
        self.epoch = 0  # tasks of an earlier epoch belong to a run that was abandoned
        self.processes: set[WorkerProcess] = set()
        self.done: queue.SimpleQueue[Answer | BaseException] = queue.SimpleQueue()
        self.rows = 0
        self.pace = 1.0  # moving average of the seconds that a task takes
        self.closed = False

    def abandon(self) -> None:
        """Forget the tasks of this run and kill the processes that work on one."""
        with self.changed:
            self.epoch += 1
            self.rows = 0
            self.todo.clear()
            for process in self.busy.values():
                process.kill()
            self.done = queue.SimpleQueue()

    def take(self) -> list[_Task]:
        """Wait for work and return the next task, several if they are short; none when closed.

        A process that already has its next task need not wait for it. The last tasks of a batch are
        handed out one by one, so that the workers end together.
        """
        with self.changed:
            while not self.todo and not self.closed:
                self.changed.wait()
            if self.closed:
                return []
            share = len(self.todo) // (2 * len(self.threads))
            n = max(1, min(share, int(_GROUP_SECONDS / self.pace), _GROUP_MOST))
            return [self.todo.popleft() for _ in range(n)]

    def answer(self, task: _Task, answer: Answer | BaseException) -> None:
        """Pass on the answer to a task, unless its run was abandoned."""
        with self.changed:
            if not self.gone(task):
                self.done.put(answer)

    def put_back(self, tasks: list[_Task]) -> None:
        """Return tasks to the front of the queue, unless their run was abandoned."""
        with self.changed:
            if tasks and not self.gone(tasks[0]):
                self.todo.extendleft(reversed(tasks))
                self.changed.notify_all()

    def gone(self, task: _Task) -> bool:
        """Return whether the run of a task was abandoned or the supervisor closed."""
        return self.closed or task.epoch != self.epoch

    def close(self) -> None:
        """Kill all processes and end the threads."""
        if os.getpid() != self.pid:  # a fork: the workers are those of its parent
            return
        with self.changed:
            self.closed = True
            self.todo.clear()
            for process in self.processes:
                process.kill()
            self.changed.notify_all()
        # A signal handler may have called this while its thread waits for an answer. That wait does
        # not even time out if the handler takes longer (queue.SimpleQueue in Python 3.11).
        self.done.put(RuntimeError(CLOSED))
        for thread in self.threads:
            if thread is not threading.current_thread():
                thread.join(timeout=5.0)


def _serve(state: _State) -> None:
    """Work on tasks with one process until the state is closed."""
    me = threading.get_ident()
    process: WorkerProcess | None = None
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
        except (Exception, KeyboardInterrupt) as error:  # the latter of an evaluation
            state.answer(group[0], error)
            usable = False
        with state.changed:
            state.busy.pop(me, None)
        if not usable and process is not None:
            _discard(state, process)
            process = None
    if process is not None:
        _discard(state, process)


def _start(state: _State) -> WorkerProcess:
    for attempt in range(1, _START_TRIES + 1):
        process = WorkerProcess(state.setup)
        with state.changed:
            state.processes.add(process)
        try:
            process.begin(state.setup)
            return process
        except (EOFError, OSError) as error:
            ended = _discard(state, process)
            # A process that was killed may start the next time; one that ended itself will not.
            if attempt == _START_TRIES or not ended.startswith("signal") or state.closed:
                raise EvaluationError(
                    f"A worker process ended before it could begin ({ended}; try {attempt}). Its "
                    "last output is on standard error."
                ) from error
        except BaseException:
            _discard(state, process)
            raise
    raise AssertionError("unreachable")


def _discard(state: _State, process: WorkerProcess) -> str:
    with state.changed:
        state.processes.discard(process)
    return process.end()


def _attempt(state: _State, process: WorkerProcess, group: list[_Task]) -> bool:
    """Give tasks to a process, answer them one by one, return whether the process is usable."""
    try:
        process.send([(task.X, task.names) for task in group])
    except OSError as error:  # it died while idle, so not because of these tasks
        _lost_idle(state, process, group, error)
        return False
    for k, task in enumerate(group):
        lost: Exception | None = None
        outcomes: list[Outcome] = []
        usable = False
        with _deadline(state, process, task) as overdue:
            start = time.perf_counter()
            try:
                outcomes, usable = process.receive(len(task.job))
            except (EOFError, OSError) as error:
                lost = error
        seconds = time.perf_counter() - start
        if lost is not None:
            task.seconds += seconds
            state.put_back(group[k + 1 :])
            _lost(state, process, task, None if overdue.is_set() else lost)
            return False
        for outcome in outcomes:
            outcome.attempts += task.crashes + task.timeouts
            outcome.duration += task.seconds / len(task.job)
        state.pace = 0.8 * state.pace + 0.2 * seconds
        state.answer(task, (task.job, outcomes))
        if overdue.is_set() or not usable:  # killed as it answered, or without a pipe for tasks
            state.put_back(group[k + 1 :])
            return False
    return True


@contextmanager
def _deadline(state: _State, process: WorkerProcess, task: _Task) -> Iterator[threading.Event]:
    """Kill the process if the block exceeds the timeout; the event is set in that case."""
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


def _lost_idle(state: _State, process: WorkerProcess, group: list[_Task], error: OSError) -> None:
    """Return tasks that a process could not take to the queue; raise after too many tries."""
    if state.gone(group[0]):
        return
    logger.warning("worker process %s was lost while it was idle: %s", process.name, error)
    group[0].idle_deaths += 1
    if group[0].idle_deaths < _IDLE_DEATHS:
        state.put_back(group)
    else:
        raise EvaluationError(
            f"{_IDLE_DEATHS} worker processes ended before they were given a design ({error}), "
            "perhaps because of threads or processes that the problem starts. Look at standard "
            "error, start these inside the evaluation, or use n_jobs=1."
        )


def _lost(state: _State, process: WorkerProcess, task: _Task, error: Exception | None) -> None:
    """Handle a task whose process is gone: retry it, split it, or let it fail.

    ``error`` is what its pipe gave in place of an answer, None if it exceeded its timeout.
    """
    if state.gone(task):
        return
    if error is None:
        task.timeouts += 1
        again = task.timeouts <= state.retries
        status, text = TIMEOUT, f"It took longer than {state.timeout} seconds and was killed."
    else:
        task.crashes += 1
        again = task.crashes <= CRASH_RETRIES
        if isinstance(error, RefusedError):
            process.end()
            what = f"gave an answer that is refused ({error})"
            text = f"Its worker process gave an answer that is refused ({error})."
        else:
            what = "died during an evaluation"
            text = f"Its worker process ended with {process.end(lost=True)}."
        status = CRASHED
        logger.warning(
            "worker process %s %s; %s",
            process.name,
            what,
            "the evaluation is tried again" if again else "the evaluation counts as crashed",
        )
    if len(task.job) > 1:
        # Each row of the chunk may be the cause, so each is tried alone.
        rows = enumerate(task.job)
        state.put_back([_Task((i,), task.X[k : k + 1], task.names, task.epoch) for k, i in rows])
    elif again:
        state.put_back([task])
    else:
        attempts = task.crashes + task.timeouts
        outcome = Outcome(status, {}, text, task.seconds, process.name, attempts)
        state.answer(task, (task.job, [outcome]))
