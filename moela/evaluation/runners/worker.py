"""The process of supervised evaluations: ``python -m moela.evaluation.runners.worker``.

The worker reads tasks from standard input and answers on standard output, both as pickles from and
to its supervisor. Output of the evaluations goes to standard error. The worker has its own process
group. It ends that group, including simulators that an evaluation started, as soon as the
supervisor is gone.
"""

from __future__ import annotations

import os
import pickle
import queue
import signal
import struct
import sys
import threading
import traceback
from typing import IO, Any

_HEADER = struct.Struct("<Q")


def send(stream: IO[bytes], message: object) -> None:
    """Write one message; raises OSError if the other side is gone."""
    data = pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)
    stream.write(_HEADER.pack(len(data)) + data)
    stream.flush()


def receive(stream: IO[bytes]) -> Any:
    """Read one message; raises EOFError if the other side is gone."""
    head = stream.read(_HEADER.size)
    if len(head) < _HEADER.size:
        raise EOFError
    (size,) = _HEADER.unpack(head)
    data = stream.read(size)
    if len(data) < size:
        raise EOFError
    return pickle.loads(data)


def main() -> None:
    """Answer tasks until standard input ends."""
    tasks = os.fdopen(os.dup(0), "rb")
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)

    try:
        setup = receive(tasks)
        sys.path[:] = setup["path"]
        os.environ.pop("PYTHONPATH", None)
        os.environ.update(setup["environment"])
        call = pickle.loads(setup["payload"])
        from threadpoolctl import threadpool_limits

        from moela.evaluation.runners.call import evaluate

        threadpool_limits(call.threads)
    except EOFError:
        return
    except BaseException:
        send(answers, traceback.format_exc())
        return
    try:
        send(answers, None)
    except OSError:  # the supervisor is gone already
        _end()

    waiting: queue.SimpleQueue[Any] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(tasks, waiting), daemon=True).start()
    while True:
        for X, names in waiting.get():
            outcomes = evaluate(call.problem, X, names, call.retries)
            try:
                send(answers, outcomes)
            except OSError:
                _end()
            except Exception:  # something in `out` cannot be pickled
                send(answers, traceback.format_exc())


def _read(tasks: IO[bytes], waiting: queue.SimpleQueue[Any]) -> None:
    """Pass tasks on; when their stream ends, end the process, even during an evaluation."""
    try:
        while True:
            waiting.put(receive(tasks))
    except (EOFError, OSError):
        _end()


def _end() -> None:
    if os.name == "posix" and os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(1)


if __name__ == "__main__":
    main()
