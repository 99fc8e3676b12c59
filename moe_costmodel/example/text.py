"""The text that the example model learns: two domains that come with every CPython.

Prose is the language reference that ``help()`` prints (:mod:`pydoc_data.topics`). Code is the
source of the standard library. Both are read from the running interpreter, so that no text is
packaged or downloaded. The texts of two CPython versions differ slightly.
"""

from __future__ import annotations

import sysconfig
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from moe_costmodel._checks import one_of

__all__ = ["DOMAINS", "corpus", "documents"]

DOMAINS = ("prose", "code")
_HELD_OUT_EVERY = 10
_SKIPPED = {"__pycache__", "idlelib", "lib2to3", "site-packages", "test", "tests", "pydoc_data"}


def documents(domain: str, *, held_out: bool) -> list[bytes]:
    """Return the documents of a domain in UTF-8, in a fixed order.

    `held_out` selects the tenth of the documents that was held out of training. Membership depends
    only on the name of the document, so that it is the same in every CPython version.
    """
    one_of("documents", "domain", domain, DOMAINS)
    if domain == "prose":
        from pydoc_data.topics import topics

        named = {name: text.encode() for name, text in topics.items()}
    else:
        named = _library_source()
    return [
        text
        for name, text in sorted(named.items())
        if (zlib.crc32(name.encode()) % _HELD_OUT_EVERY == 0) == held_out
    ]


def corpus(domain: str, *, held_out: bool) -> NDArray[np.uint8]:
    """Return a domain as one array of bytes, its documents joined by a zero byte.

    Each byte is a token of the example model; parameters as for :func:`documents`.
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
            "'code' domain. It has no .py file; use a CPython that comes with its source."
        )
    return named
