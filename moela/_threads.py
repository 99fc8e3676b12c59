"""Limits on the threads of BLAS and OpenMP."""

from __future__ import annotations

import sys
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


def one_thread() -> AbstractContextManager[object]:
    """Return a context that limits the libraries of our own models to one thread."""
    return _controller(0).limit(limits=1)


@cache
def _controller(_modules: int) -> ThreadpoolController:
    # The search for libraries takes longer than a fit, so it is repeated only after imports.
    return ThreadpoolController()
