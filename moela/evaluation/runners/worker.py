"""The process of supervised evaluations: ``python -m moela.evaluation.runners.worker``.

The worker reads tasks from standard input and answers on standard output, as messages from and to
its supervisor (see `frames`). Output of the evaluations goes to standard error. The worker has its
own process group. It ends that group, including simulators that an evaluation started, as soon as
the supervisor is gone.
"""

from __future__ import annotations

import os
import pickle
import queue
import signal
import sys
import threading
import traceback
from contextlib import suppress

from moela.evaluation.runners import frames
from moela.evaluation.runners.forks import SameProcess


class Pipes:
    """The worker's ends of both pipes, at descriptors that evaluations do not know of.

    A child that an evaluation forks does not keep them. If an evaluation closes or replaces one, it
    is not used any more, since its number may then be that of another file.
    """

    def __init__(self) -> None:
        if _file(2) is None:  # the supervisor has no standard error
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        self._tasks, self._answers = os.dup(0), os.dup(1)
        if sys.platform == "win32":
            import msvcrt

            msvcrt.setmode(self._tasks, os.O_BINARY)
            msvcrt.setmode(self._answers, os.O_BINARY)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(2, 1)
        self._files = {fd: _file(fd) for fd in (self._tasks, self._answers)}
        self.token = frames.NO_TOKEN
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._forget)

    @property
    def intact(self) -> bool:
        """Whether both descriptors are still those of the pipes."""
        return all(_file(fd) == file for fd, file in self._files.items())

    def receive(self, number: int) -> bytes:
        """Wait for the content of a message; raises OSError or EOFError if none will come."""
        head = self._read(frames.HEADER_SIZE)
        content = self._read(frames.size(self.token, number, head))
        frames.check(self.token, head, content)
        return content

    def send(self, number: int, content: bytes) -> None:
        """Write a message; raises OSError if the supervisor or the pipe is gone."""
        self._expect(self._answers)
        head = frames.header(self.token, number, content)
        # Short messages are written at once, so that nothing can come in between.
        for data in (head + content,) if len(content) < 2**16 else (head, content):
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(self._answers, rest) :]

    def _read(self, size: int) -> bytes:
        data = bytearray()
        while len(data) < size:
            self._expect(self._tasks)
            part = os.read(self._tasks, min(size - len(data), 2**20))
            if not part:
                raise EOFError
            data += part
        return bytes(data)

    def _expect(self, fd: int) -> None:
        if _file(fd) != self._files[fd]:
            raise frames.RefusedError("an evaluation closed or replaced the pipe")

    def _forget(self) -> None:
        for fd, file in self._files.items():
            if _file(fd) == file:
                os.close(fd)


def _file(fd: int) -> tuple[int, int] | None:
    """Return what identifies the open file of a descriptor, None if it is closed."""
    try:
        status = os.fstat(fd)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def main() -> None:
    """Answer tasks until standard input ends."""
    try:
        _work(Pipes())
    except BrokenPipeError:  # the supervisor was killed
        _end()
    except BaseException:  # no exit handler or thread of an evaluation may delay the end
        with suppress(BaseException):
            os.write(2, traceback.format_exc().encode(errors="backslashreplace"))
        os._exit(1)  # the supervisor ends the rest of the group


def _work(pipes: Pipes) -> None:
    try:
        setup = pickle.loads(pipes.receive(0))
    except EOFError:
        return
    pipes.token = setup["token"]
    try:
        sys.path[:] = setup["path"]
        os.environ.pop("PYTHONPATH", None)
        os.environ.update(setup["environment"])
        with SameProcess():
            call = pickle.loads(setup["payload"])
        from threadpoolctl import threadpool_limits

        from moela.evaluation.runners.call import evaluate
        from moela.evaluation.runners.outcome import ERROR, Outcome
        from moela.evaluation.runners.transport import INTERRUPTED, pack

        threadpool_limits(call.threads)
    except BaseException:
        pipes.send(0, traceback.format_exc().encode(errors="backslashreplace"))
        return
    pipes.send(0, b"")

    waiting: queue.SimpleQueue[tuple[int, bytes]] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(pipes, waiting), daemon=True).start()
    while True:
        first, group = waiting.get()
        for number, (X, names) in enumerate(pickle.loads(group), first):
            try:
                outcomes = evaluate(call.problem, X, names, call.retries)
                with SameProcess():  # an object may fork as it is pickled
                    packed = pack(outcomes)
            except KeyboardInterrupt:
                packed = INTERRUPTED
            except BaseException:
                error = traceback.format_exc()
                packed = pack([Outcome(ERROR, error=error) for _ in X])
            intact = pipes.intact
            pipes.send(number, (b"+" if intact else b"-") + packed)
            if not intact:  # it answered, but no task would reach it
                _end()


def _read(pipes: Pipes, waiting: queue.SimpleQueue[tuple[int, bytes]]) -> None:
    """Pass tasks on; when their stream ends, end the process, even during an evaluation."""
    number = 1
    try:
        while True:
            content = pipes.receive(number)
            waiting.put((number, content[8:]))
            number += int.from_bytes(content[:8], "little")
    except (EOFError, OSError):
        _end()


def _end() -> None:
    if os.name == "posix" and os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(1)


if __name__ == "__main__":
    main()
