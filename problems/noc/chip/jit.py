"""Compilation by numba: without the GIL, and cached on disk if there is a writable folder."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast

from numba import njit
from numba.core.cpu import CPUTargetOptions

from moela.compilation.jit import cached_njit

__all__ = ["compiled", "inlined", "lean"]

F = TypeVar("F", bound=Callable[..., object])

# An option of numba that has no documentation. A version without it compiles slower functions.
_LEAN = {"_nrt": False} if hasattr(CPUTargetOptions, "_nrt") else {}


def compiled(function: F) -> F:
    """Compile a function on its first call, and keep the machine code on disk for the next start.

    If neither the package's folder nor the user's cache folder can be written (as in some
    containers), numba refuses to cache, and the function is compiled anew in each process.
    """
    return cached_njit(nogil=True)(function)


def lean(function: F) -> F:
    """Compile a function that makes no arrays, without counting references to its arguments.

    In a short function that takes a tuple of arrays, this counting takes much of the time. Let a
    `compiled` function make the arrays and call this one.
    """
    return cached_njit(nogil=True, **_LEAN)(function)


def inlined(function: F) -> F:
    """Make a function part of the compiled functions that call it, at no cost of a call.

    The compiler then knows which of the caller's own arrays cannot overlap. Use it for the steps
    of a long function, in the same file.
    """
    return cast(F, njit(inline="always", nogil=True)(function))
