"""A worker process as its supervisor sees it: start, messages, end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from typing import IO, TYPE_CHECKING, cast

from moela._threads import thread_environment
from moela.evaluation.runners.outcome import Outcome, unloadable
from moela.evaluation.runners.worker import receive, send

if TYPE_CHECKING:
    from collections.abc import Sequence

    from moela._arrays import Designs


class WorkerSetup:
    """The pickled problem, the environment and the import path with which each worker starts."""

    def __init__(self, payload: bytes, threads: int | None):
        self.payload = payload
        self.environment = dict(os.environ)
        if threads is not None:
            self.environment |= thread_environment(threads)
        # The user's own path, for programs that an evaluation starts.
        self.restored = {k: v for k, v in self.environment.items() if k == "PYTHONPATH"}
        self.environment["PYTHONPATH"] = os.pathsep.join(p or os.getcwd() for p in sys.path)


class WorkerProcess:
    """A worker process and the two pipes to it."""

    def __init__(self, setup: WorkerSetup):
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "moela.evaluation.runners.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=setup.environment,
            start_new_session=os.name == "posix",
        )
        self._in = cast("IO[bytes]", self._process.stdin)
        self._out = cast("IO[bytes]", self._process.stdout)
        self.name = f"pid {self._process.pid}"

    def begin(self, setup: WorkerSetup) -> None:
        """Send the problem and wait until the worker has loaded it."""
        message = {"path": sys.path, "environment": setup.restored, "payload": setup.payload}
        send(self._in, message)
        error = receive(self._out)
        if error is not None:
            raise unloadable(error)

    def send(self, tasks: Sequence[tuple[Designs, Sequence[str]]]) -> None:
        """Hand over tasks: designs, and the names of the values to compute."""
        send(self._in, tasks)

    def receive(self) -> list[Outcome] | str:
        """Return the outcomes of the next task, or the traceback if they cannot be pickled."""
        return receive(self._out)

    def kill(self) -> None:
        """End the process and every process that it started."""
        if self._process.poll() is None:
            with suppress(ProcessLookupError, PermissionError):
                if os.name == "posix":
                    os.killpg(self._process.pid, signal.SIGKILL)
                else:
                    self._process.kill()

    def end(self) -> str:
        """End and reap the process; return the signal or exit status with which it ended."""
        self.kill()
        code = self._process.wait()
        for pipe in (self._in, self._out):
            with suppress(OSError):
                pipe.close()
        if code < 0:
            with suppress(ValueError):
                return f"signal {signal.Signals(-code).name}"
        return f"exit status {code}"
