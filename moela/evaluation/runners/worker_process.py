"""A worker process as its supervisor sees it: start, messages, end."""

from __future__ import annotations

import os
import pickle
import secrets
import select
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from moela._threads import thread_environment
from moela.evaluation.runners import frames
from moela.evaluation.runners.outcome import Outcome, unloadable
from moela.evaluation.runners.transport import unpack

if TYPE_CHECKING:
    from collections.abc import Sequence

    from moela._arrays import Designs

_POSIX = os.name == "posix"

# A message that has begun goes on within this time, unless its other end is stopped.
_STALL_SECONDS = 60.0
# A process that ends closes its pipes this long before its status is known, at most.
_EXIT_SECONDS = 0.5
# Without a descriptor that tells the end of a process, it is looked for this often.
_LOOK_SECONDS = 0.1


class WorkerSetup:
    """The pickled problem, the environment and the import path with which each worker starts."""

    def __init__(self, payload: bytes, threads: int | None):
        self.payload = payload
        self.environment = dict(os.environ)
        if threads is not None:
            self.environment |= thread_environment(threads)
        # The user's own path, for programs that an evaluation starts.
        self.restored = {k: v for k, v in self.environment.items() if k == "PYTHONPATH"}
        self.environment["PYTHONPATH"] = os.pathsep.join(filter(None, map(_absolute, sys.path)))


def _absolute(entry: str) -> str:
    try:
        return entry or os.getcwd()
    except FileNotFoundError:  # the working directory was deleted
        return ""


class WorkerProcess:
    """A worker process and the two pipes to it.

    Children of the process may hold its ends of the pipes after it has ended. So the end of the
    process is watched as well, and no call waits for a pipe alone.
    """

    def __init__(self, setup: WorkerSetup):
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "moela.evaluation.runners.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            env=setup.environment,
            start_new_session=_POSIX,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._in, self._out = self._process.stdin.fileno(), self._process.stdout.fileno()
        self._watch = _watch(self._process.pid)
        self._lock = threading.Lock()
        self._reaped = False
        self._token = frames.NO_TOKEN
        self._sent = 0  # tasks
        self._received = 0  # answers
        if _POSIX:
            os.set_blocking(self._in, False)
        self.name = f"pid {self._process.pid}"

    def begin(self, setup: WorkerSetup) -> None:
        """Send the problem and wait until the worker has loaded it."""
        token = secrets.token_bytes(32)
        message = {
            "token": token,
            "path": sys.path,
            "environment": setup.restored,
            "payload": setup.payload,
        }
        self._send(0, pickle.dumps(message))
        self._token = token
        error = self._receive(0)
        if error:
            raise unloadable(error.decode(errors="replace"))

    def send(self, tasks: Sequence[tuple[Designs, Sequence[str]]]) -> None:
        """Hand over tasks: designs, and the names of the values to compute.

        Raises OSError if the worker has ended, or has written anything since its last answer.
        """
        try:
            unasked = self._readable(0.0) and os.read(self._out, 1)
        except EOFError:
            unasked = b""
        if unasked:
            raise frames.RefusedError("it answered more often than it was asked")
        if self._exited():
            raise BrokenPipeError("it has ended")
        count = len(tasks).to_bytes(8, "little")
        self._send(self._sent + 1, count + pickle.dumps(tasks, pickle.HIGHEST_PROTOCOL))
        self._sent += len(tasks)

    def receive(self, rows: int) -> tuple[list[Outcome], bool]:
        """Return the outcomes of the next task, and whether the worker can take another.

        Raises EOFError if the worker or its pipe is gone, and RefusedError for any other answer.
        """
        self._received += 1
        content = self._receive(self._received)
        try:
            outcomes = unpack(memoryview(content)[1:])
        except Exception as error:
            raise frames.RefusedError(f"an answer that cannot be read ({error})") from error
        if len(outcomes) != rows:
            raise frames.RefusedError(f"{len(outcomes)} rows for {rows} designs")
        return outcomes, content[:1] == b"+"

    def kill(self) -> None:
        """End the process and its process group, which holds the processes that it started.

        On Windows only the process itself is ended. What it started goes on.
        """
        with self._lock:
            if self._reaped:  # its number may be that of another process by now
                return
            with suppress(ProcessLookupError, PermissionError):
                if _POSIX:
                    os.killpg(self._process.pid, signal.SIGKILL)
            with suppress(ProcessLookupError, PermissionError):
                self._process.kill()  # an evaluation may have moved it to another group

    def end(self, *, lost: bool = False) -> str:
        """End and reap the process; return how it ended, for a message.

        ``lost`` tells that its pipe has ended, so that it is about to end by itself, if it has not
        closed the pipe or become another program.
        """
        ended = not lost or self._ended(_EXIT_SECONDS)
        self.kill()
        with self._lock:
            self._reaped = True
        code = self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            with suppress(OSError):
                pipe.close()  # type: ignore[union-attr]
        if self._watch is not None:
            os.close(self._watch)
            self._watch = None
        if not ended:
            return "its pipe closed, by os.close or os.exec for example"
        if code < 0:
            with suppress(ValueError):
                return f"signal {signal.Signals(-code).name}"
        return f"exit status {code}"

    def _exited(self) -> bool:
        """Return whether the process has ended; it is not reaped, so that it keeps its number."""
        if self._reaped or not hasattr(os, "waitid"):
            return self._process.poll() is not None
        try:
            options = os.WEXITED | os.WNOHANG | os.WNOWAIT
            return os.waitid(os.P_PID, self._process.pid, options) is not None
        except ChildProcessError:
            return True

    def _ended(self, seconds: float) -> bool:
        """Wait for the end of the process; return whether it came in time."""
        if not _POSIX:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(seconds)
            return self._process.poll() is not None
        deadline = time.monotonic() + seconds
        while not self._exited():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.005)
        return True

    def _readable(self, seconds: float | None) -> bool:
        """Wait until the pipe from the worker has data or ends; raises EOFError if it died."""
        return self._await(self._out, "POLLIN", seconds)

    def _await(self, pipe: int, event: str, seconds: float | None) -> bool:
        """Wait for a pipe; return whether it became ready in time. EOFError: the worker died."""
        if not _POSIX:  # pipes cannot be waited for; no child can hold one, either
            return seconds is None or seconds > 0
        poll = select.poll()
        poll.register(pipe, getattr(select, event))
        if self._watch is not None:
            poll.register(self._watch, select.POLLIN)
        deadline = None if seconds is None else time.monotonic() + seconds
        while True:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            step = left
            if self._watch is None:
                step = _LOOK_SECONDS if left is None else min(_LOOK_SECONDS, left)
            ready = dict(poll.poll(None if step is None else 1000 * step))
            if pipe in ready:
                return True
            if self._watch in ready or (self._watch is None and self._exited()):
                if dict(poll.poll(0)).get(pipe):  # its last message
                    return True
                raise EOFError
            if deadline is not None and time.monotonic() >= deadline:
                return False

    def _send(self, number: int, content: bytes) -> None:
        head = frames.header(self._token, number, content)
        for data in (head, content):
            rest = memoryview(data)
            while rest:
                try:
                    ready = self._await(self._in, "POLLOUT", _STALL_SECONDS)
                except EOFError:
                    raise BrokenPipeError("it has ended") from None
                if not ready:
                    raise frames.RefusedError("it does not read its tasks")
                rest = rest[os.write(self._in, rest) :]

    def _receive(self, number: int) -> bytearray:
        head = self._read(frames.HEADER_SIZE, first=True)
        content = self._read(frames.size(self._token, number, bytes(head)))
        frames.check(self._token, bytes(head), content)
        return content

    def _read(self, size: int, *, first: bool = False) -> bytearray:
        data = bytearray()
        while len(data) < size:
            patient = first and not data  # an evaluation takes as long as it takes
            if not self._readable(None if patient else _STALL_SECONDS):
                raise frames.RefusedError("it stopped within a message")
            part = os.read(self._out, min(size - len(data), 2**20))
            if not part:
                raise EOFError
            data += part
        return data


def _watch(pid: int) -> int | None:
    """Return a descriptor that becomes readable when a process ends, if the system has them."""
    if hasattr(os, "pidfd_open"):
        with suppress(OSError):
            return os.pidfd_open(pid)
    return None
