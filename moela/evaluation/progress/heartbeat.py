"""Heartbeat: a thread that tells from time to time that a run is alive, and ends with it."""

from __future__ import annotations

import sys
import threading
import weakref
from collections.abc import Callable
from types import FrameType

from pymoo.core.algorithm import Algorithm

# Methods of an algorithm that are on the stack while a run works.
_AT_WORK = frozenset(
    method.__code__
    for method in (Algorithm.run, Algorithm.next, Algorithm.infill, Algorithm.advance)
)


def at_work(stack_frame: FrameType | None) -> bool:
    """Return whether a stack frame belongs to a call of a pymoo algorithm that runs."""
    while stack_frame is not None:
        if stack_frame.f_code in _AT_WORK:
            return True
        stack_frame = stack_frame.f_back
    return False


class Heartbeat:
    """Calls a method every so many seconds while the run works, until closed or collected.

    A run works while an evaluation is in progress (`busy`), or a method of an algorithm is being
    executed in the thread that has made the object. Between ask and tell, or after an error, a run
    may never go on, so it has no sign of life to give.
    """

    def __init__(self, beat: Callable[[], object], every: float) -> None:
        self.busy = False
        self._thread_id = threading.get_ident()
        self._end = threading.Event()
        self._beat = weakref.WeakMethod(beat)
        me = weakref.ref(self)
        thread = threading.Thread(
            target=_run, args=(me, self._end, every), name="moela-progress", daemon=True
        )
        self._finalizer = weakref.finalize(self, self._end.set)
        thread.start()

    def tick(self) -> bool:
        """Call the method if the run works; return whether the object of the method exists."""
        beat = self._beat()
        if beat is None:
            return False
        if self.busy or at_work(sys._current_frames().get(self._thread_id)):
            beat()
        return True

    def here(self) -> None:
        """Take the current thread for the one in which the run works."""
        self._thread_id = threading.get_ident()

    def close(self) -> None:
        """End the thread."""
        self._finalizer()


def _run(me: weakref.ref[Heartbeat], end: threading.Event, every: float) -> None:
    while not end.wait(every):
        heartbeat = me()
        if heartbeat is None or not heartbeat.tick():
            return
        del heartbeat
