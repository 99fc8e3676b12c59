"""BLAS threads: limits where more than one does not pay."""

from __future__ import annotations

from contextlib import AbstractContextManager
from functools import cache

from threadpoolctl import ThreadpoolController


@cache
def _threads() -> ThreadpoolController:
    # Looking for the libraries takes longer than a fit, and they do not change.
    return ThreadpoolController()


def one_thread() -> AbstractContextManager[object]:
    """Keep BLAS to one thread meanwhile."""
    return _threads().limit(limits=1)
