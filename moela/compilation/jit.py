"""Compilation by numba, with machine code that is kept on disk if a folder can be written."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast

from numba import njit

__all__ = ["cached_njit"]

F = TypeVar("F", bound=Callable[..., object])


def cached_njit(**options: object) -> Callable[[F], F]:
    """Return a decorator like `numba.njit(cache=True)`, for read-only installations, too.

    If neither the folder of the function's file nor the user's cache folder can be written (as in
    some containers), numba refuses to cache. The function is then compiled anew in each process.

    Parameters
    ----------
    **options
        Those of `numba.njit`, such as ``nogil=True``.
    """
    # Its types differ between versions of numba.
    compiler = cast(Callable[..., Callable[[F], F]], njit)

    def compiled(function: F) -> F:
        try:
            return compiler(cache=True, **options)(function)
        except RuntimeError:
            return compiler(**options)(function)

    return compiled
