"""Runs of an experiment in worker processes, some of which may die."""

from __future__ import annotations

import logging
import os
import re
import threading
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import closing

from moela.experiments.files import Key, Run
from moela.experiments.tasks import Task

__all__ = ["in_workers"]

Outcome = tuple[Key, Run | str]
"""A run and its result, or the text of its failure."""

logger = logging.getLogger("moela.experiment")

_DIED = (
    "Its worker process died, also when no other run was in progress ({reason}). Perhaps its "
    "memory was not enough, or an evaluation has crashed Python. If evaluations may do so, pass "
    'evaluator=lambda: moela.Evaluator(backend="processes", on_error="infeasible").'
)

# A worker looks this often whether the process of the experiment is still there. Without that, it
# would go on for hours after a kill, beside the workers of the next call.
_LOOKS_SECONDS = 1.0
_watches = False


def in_workers(
    execute: Callable[[Task], Outcome], tasks: Sequence[Task], n_jobs: int
) -> Generator[Outcome, None, None]:
    """Yield the outcomes of runs as they end; a run whose worker dies again is a failed one.

    If a worker dies, so do all the others, and nobody knows which run it was. Runs begin in their
    order, so those in progress are the first that are left. Each of them is made again, alone.

    Parameters
    ----------
    execute : function
        Makes a run; it is called in the workers.
    tasks : sequence of Task
    n_jobs : int
        Number of workers, as joblib takes it, but not 1.
    """
    from joblib import effective_n_jobs
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    left = {task.key: task for task in tasks}
    while left:
        try:
            with closing(_parallel(execute, [*left.values()], n_jobs)) as outcomes:
                for key, outcome in outcomes:
                    del left[key]
                    yield key, outcome
        except TerminatedWorkerError as error:
            doubtful = [*left.values()][: effective_n_jobs(n_jobs)]
            logger.warning(
                "A worker process has died, perhaps for want of memory. The %d runs that were in "
                "progress are made again, one at a time; the first is %s (%s)",
                len(doubtful), doubtful[0].key, _reason(error),
            )  # fmt: skip
            for task in doubtful:
                del left[task.key]
                try:
                    with closing(_parallel(execute, [task], 2)) as outcomes:
                        yield from outcomes
                except TerminatedWorkerError as again:
                    yield task.key, _DIED.format(reason=_reason(again))


def _parallel(
    execute: Callable[[Task], Outcome], tasks: Sequence[Task], n_jobs: int
) -> Generator[Outcome, None, None]:
    from joblib import Parallel, delayed, parallel_config

    # One thread per worker: more would change the last bits, and compete for the cores.
    with parallel_config(backend="loky", inner_max_num_threads=1):
        parallel = Parallel(n_jobs=n_jobs, return_as="generator_unordered", batch_size=1)
        calls = (delayed(_in_worker)(execute, task, os.getpid()) for task in tasks)
        outcomes: Generator[Outcome, None, None] = parallel(calls)
    return outcomes


def _in_worker(execute: Callable[[Task], Outcome], task: Task, parent: int) -> Outcome:
    """Make a run; the process ends if its parent does, as when the experiment is killed."""
    global _watches
    if not _watches and os.getppid() == parent:
        _watches = True
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    return execute(task)


def _end_with(parent: int) -> None:
    """End this process when another process has become its parent."""
    while os.getppid() == parent:
        time.sleep(_LOOKS_SECONDS)
    os._exit(1)


def _reason(error: Exception) -> str:
    """Return the exit codes that an error of loky names, else its first line."""
    codes = re.search(r"exit codes? .*?(\{.*?\})", str(error))
    return f"it ended with {codes[1].strip('{}')}" if codes else str(error).partition("\n")[0]
