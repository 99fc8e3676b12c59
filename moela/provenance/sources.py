"""Whose code a module, a class or a function is: a library's, ours, or the user's."""

from __future__ import annotations

import ast
import os
import sys
from functools import lru_cache
from importlib.machinery import BYTECODE_SUFFIXES, EXTENSION_SUFFIXES
from pathlib import Path
from types import CodeType

SUFFIXES = (".py", *EXTENSION_SUFFIXES, *BYTECODE_SUFFIXES)
"""Endings of files that hold code."""

MAIN = frozenset(["__main__", "__mp_main__"])
"""Names of the module of a script, of a notebook, or of what a user types."""

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
    file = _loaded_file(module)
    return file is None or file.startswith(_OWN)


@lru_cache(maxsize=10_000)
def is_library(module: str | None) -> bool:
    """Return whether a module is ours, of Python, or installed: its version identifies its code.

    A user's module may have the name of one of Python or of ours, such as ``test`` or ``problems``.
    """
    top = str(module).partition(".")[0]
    if top in MAIN:  # a program for notebooks may be its file
        return False
    if top in KNOWN or is_ours(module):
        return True
    file = _loaded_file(module)
    if file is None:
        return top in sys.stdlib_module_names
    return is_installed(file)


def is_library_class(kind: type) -> bool:
    """Return whether the module of a class is a library.

    A class that ``exec`` makes in a namespace without a name seems to be of ``builtins``.
    """
    home = kind.__module__
    return is_library(home) and not (home == "builtins" and "__module__" in vars(kind))


def _loaded_file(module: str | None) -> str | None:
    return getattr(sys.modules.get(str(module)), "__file__", None)


@lru_cache(maxsize=10_000)
def is_installed(file: str) -> bool:
    """Return whether a file belongs to Python or to an installed package."""
    parts = Path(file).parts
    return bool({"site-packages", "dist-packages"} & {*parts}) or file.startswith(_STANDARD)


def is_library_code(code: CodeType) -> bool:
    """Return whether the code of a function is in a file of ours or of a library."""
    file = code.co_filename
    return file.startswith(("<frozen", *_OWN)) or is_installed(file)
