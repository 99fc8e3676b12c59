"""How the package compiles: numba, without the GIL, with a cache on disk where there is room."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast

from numba import njit

__all__ = ["compiled"]

F = TypeVar("F", bound=Callable[..., object])


def compiled(function: F) -> F:
    """Compile a function on its first call, and keep the machine code on disk for the next start.

    Where neither the package's folder nor the user's cache folder can be written (some containers),
    numba refuses to decorate; there the function is compiled anew in each process.
    """
    try:
        return cast(F, njit(cache=True, nogil=True)(function))
    except RuntimeError:
        return cast(F, njit(nogil=True)(function))
