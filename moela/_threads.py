"""Limits on the threads of BLAS and OpenMP."""

from __future__ import annotations

import sys
import threading
from contextlib import AbstractContextManager, nullcontext
from functools import cache

from threadpoolctl import ThreadpoolController

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
    if threads is None:
        return nullcontext()
    return _controller(len(sys.modules)).limit(limits=threads)


class _OneThread(AbstractContextManager[None]):
    """Limits libraries to one thread; inside of another one it does nothing, and takes no time."""

    def __enter__(self) -> None:
        self._limit = None if _INSIDE.depth else _controller(0).limit(limits=1)
        _INSIDE.depth += 1

    def __exit__(self, *raised: object) -> None:
        _INSIDE.depth -= 1
        if self._limit is not None:
            self._limit.restore_original_limits()


class _Inside(threading.local):
    depth = 0


_INSIDE = _Inside()


def one_thread() -> AbstractContextManager[object]:
    """Return a context that limits the libraries of our own models to one thread."""
    return _OneThread()


@cache
def _controller(_modules: int) -> ThreadpoolController:
    # The search for libraries takes longer than a fit, so it is repeated only after imports.
    return ThreadpoolController()
