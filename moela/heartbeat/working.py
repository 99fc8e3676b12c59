"""`working`: a context that gives a sign of life every minute, unless something else does."""

from __future__ import annotations

import functools
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ParamSpec, TypeVar

from moela.heartbeat.streams import say

P = ParamSpec("P")
T = TypeVar("T")

logger = logging.getLogger("moela.progress")

SECONDS = 75.0
"""Longest time without a sign of life; a little more than the minute between lines of a run."""

MARK = "__gives_signs_of_life__"
"""Attribute of functions that work for long, with what they do."""

_lock = threading.Lock()
_tasks: list[tuple[str, float]] = []  # what is being done, and since when; the newest is the last
_thread: threading.Thread | None = None
_changed = threading.Event()
_last_sign = 0.0


def spoke() -> None:
    """Note that a sign of life has just been given, such as a line or a bar."""
    global _last_sign
    _last_sign = time.monotonic()


@contextmanager
def working(what: str) -> Iterator[None]:
    """Give a sign of life about every minute while the context lasts.

    Bars that are shown are refreshed, so that their time goes on. Otherwise the logger
    "moela.progress" gets a line at level INFO; on a terminal, where nobody has set up logging, the
    line goes to standard error.

    Parameters
    ----------
    what : str
        The work in words, such as "measuring kernels".
    """
    global _thread
    now = time.monotonic()
    task = (what, now)
    with _lock:
        if not _tasks:
            spoke()
        _tasks.append(task)
        if _thread is None or not _thread.is_alive():  # a forked process has no threads
            _changed.clear()
            _thread = threading.Thread(target=_watch, name="moela-signs-of-life", daemon=True)
            _thread.start()
    try:
        yield
    finally:
        with _lock:
            _tasks.remove(task)
            if not _tasks:
                _thread = None
                _changed.set()


def long_work(what: str) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Return a decorator for functions that may work for minutes; see `working`."""

    def decorate(function: Callable[P, T]) -> Callable[P, T]:
        @functools.wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> T:
            with working(what):
                return function(*args, **kwargs)

        setattr(call, MARK, what)
        return call

    return decorate


def _watch() -> None:
    me = threading.current_thread()
    while _thread is me:
        due = _last_sign + SECONDS - time.monotonic()
        if due > 0:
            _changed.wait(min(due, SECONDS))
            continue
        with _lock:
            tasks = list(_tasks)
        if not tasks:
            return
        spoke()
        _give_sign(*tasks[-1])


def _give_sign(what: str, since: float) -> None:
    bars = list(getattr(getattr(sys.modules.get("tqdm"), "tqdm", None), "_instances", ()))
    shown = [bar for bar in bars if not bar.disable]
    for bar in shown:
        bar.refresh()
    if shown:
        return
    seconds = round(time.monotonic() - since)
    line = f"{what} goes on, for {seconds // 60} min {seconds % 60} s so far"
    if logger.isEnabledFor(logging.INFO):
        logger.info("%s", line)
    elif sys.stderr is not None and sys.stderr.isatty():
        say(sys.stderr, f"moela: {line}\n")
