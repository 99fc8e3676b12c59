"""The text that the example model learns: what every CPython brings, as two domains.

Prose is the language reference that ``help()`` prints (:mod:`pydoc_data.topics`); code is the
source of the standard library. Both are read from the interpreter that runs, so nothing of them
is shipped and nothing is downloaded. Another CPython version brings slightly different text.
"""

from __future__ import annotations

import sysconfig
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

__all__ = ["DOMAINS", "corpus", "documents"]

DOMAINS = ("prose", "code")
_HELD_OUT_EVERY = 10
_SKIPPED = {"__pycache__", "idlelib", "lib2to3", "site-packages", "test", "tests", "pydoc_data"}


def documents(domain: str, *, held_out: bool) -> list[bytes]:
    """Return the documents of a domain, in a fixed order.

    Parameters
    ----------
    domain : str
        ``"prose"`` (help topics) or ``"code"`` (library source).
    held_out : bool
        True gives the tenth of the documents that the example model never saw. Membership
        depends on the document's name alone, so it is the same in every CPython version.

    Returns
    -------
    list of bytes
        UTF-8 text, one entry a document.

    Raises
    ------
    ValueError
        If `domain` is unknown.
    FileNotFoundError
        If this interpreter ships no source of its library.
    """
    if domain == "prose":
        from pydoc_data.topics import topics

        named = {name: text.encode() for name, text in topics.items()}
    elif domain == "code":
        named = _library_source()
    else:
        raise ValueError(
            f"The 'domain' parameter of documents must be one of {DOMAINS}. Got {domain!r} instead."
        )
    return [
        text
        for name, text in sorted(named.items())
        if (zlib.crc32(name.encode()) % _HELD_OUT_EVERY == 0) == held_out
    ]


def corpus(domain: str, *, held_out: bool) -> NDArray[np.uint8]:
    """Return a domain as one array of bytes, its documents joined by a zero byte.

    Parameters
    ----------
    domain : str
        ``"prose"`` or ``"code"``.
    held_out : bool
        Whether to return the held-out documents or the others.

    Returns
    -------
    ndarray of shape (n_bytes,), uint8
        Every byte is one token of the example model.
    """
    return np.frombuffer(b"\0".join(documents(domain, held_out=held_out)), dtype=np.uint8)


def _library_source() -> dict[str, bytes]:
    """Return the library's modules by their path relative to the library."""
    root = Path(sysconfig.get_path("stdlib"))
    named = {}
    for path in root.rglob("*.py"):
        relative = path.relative_to(root)
        if not _SKIPPED.intersection(relative.parts):
            named[relative.as_posix()] = path.read_bytes()
    if not named:
        raise FileNotFoundError(
            f"The library of this interpreter ({root}) must contain its Python source for the "
            "'code' domain. Found no .py file; use a CPython that ships its source."
        )
    return named
