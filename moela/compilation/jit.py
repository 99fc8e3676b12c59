"""Compilation by numba, with machine code that is kept on disk if a folder can be written."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import TypeVar, cast

from numba import njit
from numba.core.caching import IndexDataCacheFile

__all__ = ["cached_njit"]

F = TypeVar("F", bound=Callable[..., object])

# The attribute of numba's cache files with the pattern of their names, and what it replaces there.
_PATTERN, _NUMBER = "_data_name_pattern", "{number:d}"


class _CacheFile(IndexDataCacheFile):
    """Files with the machine code of a function, each named after the types that it is for.

    numba numbers these files. Two processes that compile a function for different types at the same
    time may choose the same number; from then on, one of them is given machine code for the types
    of the other. It also writes a file after the index that names it, so that a third process may
    read an older file of that name.
    """

    def save(self, key: object, data: object) -> None:
        """Save the machine code for a key, which has the types, and then name it in the index."""
        digest = hashlib.sha256(self._dump(key)).hexdigest()[:16]
        name = getattr(self, _PATTERN).replace(_NUMBER, digest)
        self._save_data(name, data)
        index = self._load_index()
        if index.get(key) != name:
            self._save_index(index | {key: name})


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
            kept = compiler(cache=True, **options)(function)
        except RuntimeError:
            return compiler(**options)(function)
        files = getattr(getattr(kept, "_cache", None), "_cache_file", None)
        # Private, so it may differ in other versions, which then keep their own way.
        if type(files) is IndexDataCacheFile and _NUMBER in getattr(files, _PATTERN, ""):
            files.__class__ = _CacheFile
        return kept

    return compiled
