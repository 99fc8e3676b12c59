"""Limits on the threads of BLAS and OpenMP."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import TypeAlias

from threadpoolctl import LibController, OpenBLASController, ThreadpoolController

Libraries: TypeAlias = "Sequence[LibController]"

_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "NUMBA_NUM_THREADS",
)


def thread_environment(threads: int) -> dict[str, str]:
    """Return the environment variables that limit BLAS, OpenMP and numba in a new process."""
    return dict.fromkeys(_VARIABLES, str(threads))


def limited_threads(threads: int | None) -> AbstractContextManager[object]:
    """Return a context that limits BLAS and OpenMP in this process; None sets no limit."""
    return nullcontext() if threads is None else _Limit(threads, len(sys.modules))


class _Limit(AbstractContextManager[None]):
    """Limits BLAS and OpenMP to a number of threads.

    OpenMP keeps a number for each thread, but OpenBLAS one for the process. So limits of several
    threads may end in any order: the newest one that is left counts. The last one to end restores
    the numbers that were there before all of them.
    """

    def __init__(self, threads: int, modules: int) -> None:
        self._threads = threads
        self._modules = modules

    def __enter__(self) -> None:
        self._blas, self._openmp = _libraries(self._modules)
        self._before = _set(self._openmp, self._threads)
        _BLAS.begin(self)

    def __exit__(self, *raised: object) -> None:
        _BLAS.end(self)
        _set(self._openmp, self._before)

    def apply(self) -> dict[str, int | None]:
        """Limit BLAS; return the numbers of threads before, by the files of its libraries."""
        return _set(self._blas, self._threads)


class _Blas:
    """The limits on BLAS that all threads of this process have set, the newest last."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._limits: list[tuple[_Limit, int]] = []  # with the thread that set it
        self._before: dict[str, int | None] = {}  # by the file of a library
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._forget)

    def begin(self, limit: _Limit) -> None:
        with self._lock:
            self._before = limit.apply() | self._before
            self._limits.append((limit, threading.get_ident()))

    def end(self, limit: _Limit) -> None:
        with self._lock:
            self._limits = [one for one in self._limits if one[0] is not limit]
            self._settle()

    def _settle(self) -> None:
        if self._limits:
            self._limits[-1][0].apply()
        else:
            _set(_libraries(len(sys.modules))[0], self._before)
            self._before = {}

    def _forget(self) -> None:
        """In a forked child, keep the limits of its only thread."""
        self._lock = threading.Lock()
        thread = threading.get_ident()
        gone = [limit for limit, owner in self._limits if owner != thread]
        self._limits = [one for one in self._limits if one[1] == thread]
        if gone:
            self._settle()


_BLAS = _Blas()


def _set(libraries: Libraries, threads: int | Mapping[str, int | None]) -> dict[str, int | None]:
    """Set one number of threads, or those by file; return those before, by file."""
    before: dict[str, int | None] = {}
    for library in libraries:
        before[library.filepath] = library.get_num_threads()
        number = threads if isinstance(threads, int) else threads.get(library.filepath)
        if number is not None:
            library.set_num_threads(number)
    # From threadpoolctl 3.8 on, the thread that has set a number keeps others from setting one.
    release = getattr(OpenBLASController, "clear_controlling_thread", None)
    if release is not None:
        release()
    return before


class _OneThread(AbstractContextManager[None]):
    """Limits libraries to one thread; inside of another one it does nothing, and takes no time."""

    def __enter__(self) -> None:
        self._limit = None if _INSIDE.depth else _Limit(1, 0)
        if self._limit is not None:
            self._limit.__enter__()
        _INSIDE.depth += 1

    def __exit__(self, *raised: object) -> None:
        _INSIDE.depth -= 1
        if self._limit is not None:
            self._limit.__exit__()


class _Inside(threading.local):
    depth = 0


_INSIDE = _Inside()


def one_thread() -> AbstractContextManager[object]:
    """Return a context that limits the libraries of our own models to one thread."""
    return _OneThread()


@cache
def _libraries(_modules: int) -> tuple[Libraries, Libraries]:
    """Return the libraries of BLAS, and those of OpenMP."""
    # The search for libraries takes longer than a fit, so it is repeated only after imports.
    found = ThreadpoolController()
    blas, openmp = (found.select(user_api=kind).lib_controllers for kind in ("blas", "openmp"))
    return blas, openmp
