"""Digests of code: they change when the behavior of a problem or an algorithm may have changed."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import sys
import warnings
from collections.abc import Iterable, Iterator
from functools import lru_cache, partial
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple

from pymoo.core.problem import Problem

from moela.provenance.environment import version_of
from moela.provenance.sources import MAIN, is_installed, is_ours

SOURCES = "sources"
"""The key of `code_of` for the digest of files that are not installed."""


def code_of(obj: object) -> dict[str, str]:
    """Return a digest of the files that define an object or a function, and versions of packages.

    The digest covers the modules that define a function, or a class and its bases, and the modules
    that these import, as far as they are not installed; comments and docstrings do not count. If no
    file defines a class or function, as in a notebook, it covers the lines that were typed, as far
    as Python knows them. Of installed packages, only the version counts.
    """
    names, typed, packages = _defined_by(obj)
    code = {package: version_of(package, "unknown") for package in packages}
    if names or any(typed):
        code[SOURCES] = _digest(names, typed)
    return dict(sorted(code.items()))


def sources_of(problem: Problem) -> str:
    """Return a digest of the user's code in a problem: its class, and functions that it holds.

    Empty if there is none that could be read.
    """
    held = [value for value in vars(problem).values() if callable(value)]
    parts = [_defined_by(value) for value in (problem, *held) if not is_ours(_module_of(value))]
    texts = [_digest(names, typed) for names, typed, _ in parts if names or any(typed)]
    return blake2b(" ".join(texts).encode(), digest_size=8).hexdigest() if texts else ""


def _defined_by(obj: object) -> tuple[tuple[str, ...], tuple[str, ...], set[str]]:
    """Return the modules behind an object in files, the lines that were typed, and the packages."""
    names, typed, packages = set(), [], set()
    for kind in _kinds(obj):
        name = getattr(kind, "__module__", None) or "builtins"
        package = name.partition(".")[0]
        file = _file(name)
        if file is None:
            typed += [] if package in sys.stdlib_module_names - MAIN else [_typed(kind)]
        elif not is_installed(str(file)):
            names.add(name)
        elif package not in sys.stdlib_module_names:
            packages.add(package)
    return tuple(sorted(names)), tuple(typed), packages


def _module_of(value: object) -> str:
    kind = value if inspect.isroutine(value) or isinstance(value, type) else type(value)
    return str(getattr(kind, "__module__", None))


def _kinds(obj: object) -> list[Any]:
    """Return the function, or the class with its bases, whose code an object runs."""
    while True:
        wrapped = getattr(obj, "__dict__", {}).get("__wrapped__")
        if isinstance(obj, partial):
            obj = obj.func
        elif wrapped is not None:  # such as numba's dispatchers
            obj = wrapped
        else:
            break
    if inspect.isroutine(obj):
        return [obj]
    kind = obj if isinstance(obj, type) else type(obj)
    return [base for base in kind.__mro__ if base is not object]


def _typed(kind: object) -> str:
    try:
        return inspect.getsource(kind)  # type: ignore[arg-type]
    except (OSError, TypeError):
        return ""


class _Source(NamedTuple):
    """A file of code as it is now."""

    module: str
    path: Path
    changed: int  # nanoseconds
    size: int


def _file(name: str) -> Path | None:
    """Return the file of a module, None if it has none or is built in; nothing is imported.

    A module that is not found now may be imported later, so nothing is remembered.
    """
    loaded = sys.modules.get("__main__" if name in MAIN else name)
    if loaded is not None:
        file = getattr(loaded, "__file__", None)
    else:
        try:
            spec = importlib.util.find_spec(name.partition(".")[0])
        except (ImportError, ValueError, AttributeError):
            return None
        file = None if spec is None else spec.origin
        if spec is not None and "." in name:
            parts = name.split(".")[1:]
            bases = [Path(folder, *parts) for folder in spec.submodule_search_locations or ()]
            paths = [p for b in bases for p in (b / "__init__.py", b.with_name(f"{b.name}.py"))]
            file = next((str(path) for path in paths if path.is_file()), None)
    return Path(file) if file is not None and Path(file).is_file() else None


def _source(name: str) -> _Source | None:
    """Return the file of a module, None if it is installed or built in."""
    path = _file(name)
    if path is None or is_installed(str(path)):
        return None
    about = path.stat()
    return _Source(name, path, about.st_mtime_ns, about.st_size)


def _digest(modules: tuple[str, ...], typed: tuple[str, ...]) -> str:
    queue = list(modules)
    found: dict[str, _Source] = {}
    ours = any(is_ours(name) for name in modules)
    while queue:
        name = queue.pop()
        source = None if name in found else _source(name)
        if source is not None and (ours or not is_ours(name)):
            found[name] = source
            queue += _read(source)[1]
    whole = blake2b(digest_size=8)
    for name in sorted(found):
        whole.update(f"{name} {_read(found[name])[0]}\n".encode())
    for text in typed:
        whole.update(text.encode())
    return whole.hexdigest()


@lru_cache(maxsize=10_000)
def _read(source: _Source) -> tuple[str, tuple[str, ...]]:
    """Return a digest of what a file does, and the modules that it imports."""
    content = source.path.read_bytes()
    try:
        with warnings.catch_warnings(action="ignore"):
            tree = ast.parse(content)  # of bytes, which may declare their encoding
        tree = _Essence().visit(tree)
        text = ast.dump(tree).encode()
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # compiled, or of other tools
        return blake2b(content, digest_size=16).hexdigest(), ()
    package = source.module
    if source.path.name != "__init__.py":
        package = package.rpartition(".")[0]
    names = tuple(dict.fromkeys(_imports(tree, package)))
    return blake2b(text, digest_size=16).hexdigest(), names


def _imports(tree: ast.AST, package: str) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, base] if base else above)
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)


class _Essence(ast.NodeTransformer):
    """Drops docstrings and the blocks that only type checkers read."""

    def visit_Expr(self, node: ast.Expr) -> ast.Expr | None:
        constant = isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        return None if constant else node

    def visit_If(self, node: ast.If) -> ast.AST | Iterable[ast.stmt]:
        self.generic_visit(node)
        checking = isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        return node.orelse if checking else node
