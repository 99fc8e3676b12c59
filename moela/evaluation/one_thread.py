"""A guard that keeps an Evaluator to one thread at a time, and to one run at a time."""

from __future__ import annotations

import os
import sys
import threading
import weakref

_REMEDY = "Make one Evaluator for each run; several may share a store file."


class OneThread:
    """Context for one evaluation at a time; raises RuntimeError if another one is in progress.

    Copies and pickles of it are new, as is the one of a forked process.
    """

    def __init__(self) -> None:
        self._renew()

    def _renew(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._owner: int | None = None  # the thread that evaluates
        self._last: weakref.ref[threading.Thread] | None = None  # the one that evaluated last

    def __reduce__(self) -> tuple[type[OneThread], tuple[()]]:
        return OneThread, ()

    def __enter__(self) -> None:
        if self._pid != os.getpid():
            self._renew()
        if not self._lock.acquire(blocking=False):
            if self._owner == threading.get_ident():
                raise RuntimeError(
                    "An evaluation called the Evaluator that evaluates it. Use another Evaluator "
                    "inside the evaluation."
                )
            raise RuntimeError(
                f"This Evaluator is evaluating already, in another thread. {_REMEDY}"
            )
        self._owner = threading.get_ident()

    def __exit__(self, *exception: object) -> None:
        self._owner = None
        self._lock.release()

    def check_run(self, algorithm: object | None, *, inside: bool) -> None:
        """Raise RuntimeError if a second run begins in another thread than the one in progress.

        ``algorithm`` is the one of the run in progress, if there is one. ``inside`` tells that
        another one evaluates: a local search that the first calls, or else a second run.
        """
        thread = threading.current_thread()
        last = None if self._last is None else self._last()
        if not inside or algorithm is None or last is thread or _calls(algorithm):
            self._last = weakref.ref(thread)
            return
        raise RuntimeError(
            "This Evaluator serves a run that has not ended, in another thread. If that run will "
            f"not go on, call close() first. Otherwise: {_REMEDY[0].lower()}{_REMEDY[1:]}"
        )

    def check_close(self) -> None:
        """Raise RuntimeError if another thread is evaluating."""
        busy = self._pid == os.getpid() and self._owner not in (None, threading.get_ident())
        if busy:
            raise RuntimeError(
                "This Evaluator cannot be closed while it is evaluating in another thread. Wait "
                "for that thread first."
            )


def _calls(algorithm: object) -> bool:
    """Return whether a method of this object is being executed in this thread."""
    frame = sys._getframe()
    while frame is not None:
        if frame.f_locals.get("self") is algorithm:
            return True
        frame = frame.f_back  # type: ignore[assignment]
    return False
