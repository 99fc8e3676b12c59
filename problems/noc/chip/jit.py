"""Compilation by numba: without the GIL, and cached on disk if there is a writable folder."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast

from numba import njit

__all__ = ["compiled", "inlined"]

F = TypeVar("F", bound=Callable[..., object])


def compiled(function: F) -> F:
    """Compile a function on its first call, and keep the machine code on disk for the next start.

    If neither the package's folder nor the user's cache folder can be written (as in some
    containers), numba refuses to cache, and the function is compiled anew in each process.
    """
    try:
        return cast(F, njit(cache=True, nogil=True)(function))
    except RuntimeError:
        return cast(F, njit(nogil=True)(function))


def inlined(function: F) -> F:
    """Make a function part of the compiled functions that call it, at no cost of a call.

    The compiler then knows which of the caller's own arrays cannot overlap. Use it for the steps
    of a long function, in the same file.
    """
    return cast(F, njit(inline="always", nogil=True)(function))
