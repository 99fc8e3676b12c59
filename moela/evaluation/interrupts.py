"""Stopping a run by Ctrl-C: the first one ends it after the batch in hand, the second at once."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import FrameType, TracebackType
from typing import TypeAlias

from moela.evaluation.progress.heartbeat import at_work
from moela.heartbeat.streams import say

Handler: TypeAlias = "object"

_ADVICE: ContextVar[str | None] = ContextVar("advice", default=None)


@contextmanager
def advising(text: str) -> Iterator[None]:
    """Make `moela.minimize` say in these words how to go on after Ctrl-C."""
    token = _ADVICE.set(text)
    try:
        yield
    finally:
        _ADVICE.reset(token)


def given_advice() -> str | None:
    """Return the words of `advising`, or None outside of it."""
    return _ADVICE.get()


def store_advice(store: str | os.PathLike[str]) -> str:
    """Return how a run with a store goes on."""
    return f"To go on, make the same call again: {os.fspath(store)} holds what was evaluated."


class Interrupts:
    """A context in which the first SIGINT only sets `stopped`; the second one interrupts.

    Outside the main thread signals are left alone. `advice` is printed with the first one and is
    the message of the KeyboardInterrupt that the second one raises.

    `busy` tells whether a run is at work. Otherwise a signal counts only while a method of a pymoo
    algorithm is being executed; any other is left to the handler before.
    """

    def __init__(self, advice: str, *, busy: bool = True) -> None:
        self.stopped = False
        self.advice = advice
        self.busy = busy
        self._before: Handler = None
        self._installed = False
        self._depth = 0

    def __enter__(self) -> Interrupts:
        self._depth += 1
        if self._depth == 1 and threading.current_thread() is threading.main_thread():
            self._before = signal.getsignal(signal.SIGINT)
            # A handler that was not set from Python could not be restored, and an ignored signal
            # shall stay ignored.
            if callable(self._before):
                signal.signal(signal.SIGINT, self._handle)
                self._installed = True
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        self._depth = max(0, self._depth - 1)
        if self._depth == 0:
            self._restore()

    def _restore(self) -> None:
        if self._installed and threading.current_thread() is threading.main_thread():
            self._installed = False
            # A handler that was set in the meantime stays.
            if signal.getsignal(signal.SIGINT) == self._handle:
                signal.signal(signal.SIGINT, self._before)  # type: ignore[arg-type]

    def _handle(self, number: int, stack_frame: FrameType | None) -> None:
        if not (self.busy or at_work(stack_frame)):
            self._restore()
            before = self._before
            assert callable(before)
            before(number, stack_frame)
            return
        if self.stopped:
            raise KeyboardInterrupt(f"Stopped at once. {self.advice}")
        self.stopped = True
        say(
            sys.stderr,
            "\nStopping after the batch in hand; press Ctrl-C again to stop at once. "
            f"{self.advice}\n",
        )
