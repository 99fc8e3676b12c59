"""Compilation by numba: without the GIL, and cached on disk if there is a writable folder."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from moela.compilation.jit import cached_njit

__all__ = ["compiled", "reassociating"]

F = TypeVar("F", bound=Callable[..., object])


def compiled(function: F) -> F:
    """Compile a function, and keep the machine code on disk if a folder can be written."""
    return cached_njit(nogil=True)(function)


def reassociating(function: F) -> F:
    """Compile a function whose sums may be in any order, so that they use wide registers."""
    allowed = {"reassoc", "contract", "nsz"}
    return cached_njit(nogil=True, fastmath=allowed)(function)
