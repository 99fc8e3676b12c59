"""Whose code a module is: a library's, ours, or the user's."""

from __future__ import annotations

import ast
import os
import sys
from functools import lru_cache
from pathlib import Path

MAIN = frozenset(["__main__", "__mp_main__"])
"""Names of the module of a script, of a notebook, or of what a user types."""

OURS = frozenset(["moela", "problems", "moe_costmodel"])
_STANDARD = str(Path(ast.__file__).parent) + os.sep
_OWN = tuple(str(Path(__file__).parents[2] / name) + os.sep for name in sorted(OURS))


def module_name(value: object) -> str:
    """Return the name of the module of a class or function.

    In a process that multiprocessing has started, that of a script is what it is in the script.
    """
    name = str(getattr(value, "__module__", None))
    return "__main__" if name in MAIN else name


@lru_cache(maxsize=10_000)
def is_ours(module: str | None) -> bool:
    """Return whether a module is part of this distribution, and not only of the same name."""
    if str(module).partition(".")[0] not in OURS:
        return False
    file = getattr(sys.modules.get(str(module)), "__file__", None)
    return file is None or file.startswith(_OWN)


@lru_cache(maxsize=10_000)
def is_installed(file: str) -> bool:
    """Return whether a file belongs to Python or to an installed package."""
    parts = Path(file).parts
    return bool({"site-packages", "dist-packages"} & {*parts}) or file.startswith(_STANDARD)
