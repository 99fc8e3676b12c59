"""Whose code a module or a function is: a library's, ours, or the user's."""

from __future__ import annotations

import ast
import sys
from functools import lru_cache
from pathlib import Path
from types import CodeType

OURS = frozenset(["moela", "problems", "moe_costmodel"])
# Libraries whose objects users put into problems; also if they are installed in an unusual place.
KNOWN = frozenset(
    [
        "numpy",
        "scipy",
        "sklearn",
        "pandas",
        "polars",
        "torch",
        "networkx",
        "numba",
        "pymoo",
        "sympy",
    ]
)
_STANDARD = str(Path(ast.__file__).parent)
_OWN = tuple(str(Path(__file__).parents[2] / name) + "/" for name in sorted(OURS))


def is_ours(module: str | None) -> bool:
    """Return whether a module is part of this distribution."""
    return str(module).partition(".")[0] in OURS


@lru_cache(maxsize=10_000)
def is_library(module: str | None) -> bool:
    """Return whether a module is ours, of Python, or installed: its version identifies its code."""
    top = str(module).partition(".")[0]
    if top in OURS or top in KNOWN or top in sys.stdlib_module_names:
        return True
    loaded = sys.modules.get(str(module))
    return loaded is not None and is_installed(getattr(loaded, "__file__", None) or "")


@lru_cache(maxsize=10_000)
def is_installed(file: str) -> bool:
    """Return whether a file belongs to Python or to an installed package."""
    parts = Path(file).parts
    return bool({"site-packages", "dist-packages"} & {*parts}) or file.startswith(_STANDARD)


def is_library_code(code: CodeType) -> bool:
    """Return whether the code of a function is in a file of ours or of a library."""
    file = code.co_filename
    return file.startswith(("<frozen", *_OWN)) or is_installed(file)
