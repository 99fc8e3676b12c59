"""Modules of a user on a disk, and processes that import them."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from moela.provenance import code, sources

CACHES = (code._read, sources.is_ours, sources.is_installed)


def write(folder: Path, files: Mapping[str, str]) -> None:
    """Write files by their paths below a folder."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")


@contextmanager
def process(folder: Path) -> Iterator[None]:
    """Behave like a new process whose path begins with a folder."""
    path, written = sys.path[:], sys.dont_write_bytecode
    sys.path.insert(0, str(folder))
    sys.dont_write_bytecode = True  # a file may be written again within a second
    _forget()
    try:
        yield
    finally:
        sys.path[:], sys.dont_write_bytecode = path, written
        for name, module in list(sys.modules.items()):
            if str(vars(module).get("__file__")).startswith(str(folder)):
                del sys.modules[name]
        _forget()


def _forget() -> None:
    importlib.invalidate_caches()
    for function in CACHES:
        function.cache_clear()
