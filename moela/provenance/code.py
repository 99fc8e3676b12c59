"""Which code an algorithm is: a digest that changes when what it does may have changed."""

from __future__ import annotations

import ast
import importlib.util
import inspect
from collections.abc import Iterator
from functools import lru_cache, partial
from hashlib import blake2b
from importlib import metadata
from pathlib import Path
from typing import Any

_BUILTINS = frozenset(["builtins", "__main__"])


def code_of(obj: Any) -> str | dict[str, str]:
    """Return a digest of the sources behind an algorithm or a function, or its package's version.

    Sources in a working tree are read: the module that defines it, those of its bases, and what
    they import from their own package, comments and docstrings left out. For an installed package
    its version stands for that.
    """
    while isinstance(obj, partial):
        obj = obj.func
    routine = inspect.isroutine(obj)
    kinds = [obj] if routine else [kind for kind in type(obj).__mro__ if kind is not object]
    modules = sorted({kind.__module__ for kind in kinds} - _BUILTINS)
    own = tuple(name for name in modules if _source(name) is not None)
    installed = {name.partition(".")[0] for name in modules if name not in own}
    found = {package: _version(package) for package in sorted(installed)}
    if own:
        found["sources"] = _digest(own)
    return found


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "unknown"


@lru_cache
def _source(name: str) -> Path | None:
    """Return the file of a module of a working tree, None for what is installed or built in."""
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return None
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        return None
    parts = Path(spec.origin).parts
    stdlib = Path(ast.__file__).parent
    installed = "site-packages" in parts or "dist-packages" in parts
    path = Path(spec.origin)
    return None if installed or stdlib in path.parents else path


@lru_cache
def _digest(modules: tuple[str, ...]) -> str:
    packages = {name.partition(".")[0] for name in modules}
    digest, queue, known = blake2b(digest_size=8), sorted(modules), set(modules)
    trees = {}
    while queue:
        name = queue.pop()
        path = _source(name)
        if path is None:
            continue
        tree = _Essence().visit(ast.parse(path.read_text(encoding="utf-8")))
        trees[name] = ast.dump(tree)
        package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        for found in _imports(tree, package):
            if found.partition(".")[0] in packages and found not in known:
                known.add(found)
                queue.append(found)
    for name in sorted(trees):
        digest.update(f"{name} {trees[name]}\n".encode())
    return digest.hexdigest()


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
    """Drops docstrings, and imports that are for type checkers only."""

    def visit_Expr(self, node: ast.Expr) -> ast.Expr | None:
        constant = isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        return None if constant else node

    def visit_If(self, node: ast.If) -> ast.AST | None:
        if isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            return None
        return self.generic_visit(node)
