"""Digests of code: they change when the behavior of an algorithm may have changed."""

from __future__ import annotations

import ast
import importlib.util
import inspect
from collections.abc import Iterator
from functools import lru_cache, partial
from hashlib import blake2b
from pathlib import Path

from moela.provenance.environment import version_of


def code_of(obj: object) -> dict[str, str]:
    """Return a digest of the sources behind an object or a function, or its package's version.

    In a working tree, the digest covers the module that defines it, the modules of its bases, and
    the modules that these import from their own packages, without comments and docstrings. The
    code of an installed package is identified by its version.
    """
    while isinstance(obj, partial):
        obj = obj.func
    routine = inspect.isroutine(obj)
    kinds = [obj] if routine else [kind for kind in type(obj).__mro__ if kind is not object]
    modules = sorted({kind.__module__ for kind in kinds} - {"builtins", "__main__"})
    own = tuple(name for name in modules if _source(name) is not None)
    installed = {name.partition(".")[0] for name in modules if name not in own}
    code = {package: version_of(package, "unknown") for package in sorted(installed)}
    if own:
        code["sources"] = _digest(own)
    return code


@lru_cache
def _source(name: str) -> Path | None:
    """Return the file of a module in a working tree, None if it is installed or built in."""
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return None
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        return None
    path = Path(spec.origin)
    installed = {"site-packages", "dist-packages"} & {*path.parts}
    return None if installed or Path(ast.__file__).parent in path.parents else path


@lru_cache
def _digest(modules: tuple[str, ...]) -> str:
    packages = {name.partition(".")[0] for name in modules}
    digest, queue = blake2b(digest_size=8), list(modules)
    trees: dict[str, str] = {}
    while queue:
        name = queue.pop()
        path = _source(name)
        if path is None or name in trees:
            continue
        tree = _Essence().visit(ast.parse(path.read_text(encoding="utf-8")))
        trees[name] = ast.dump(tree)
        package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        queue += [name for name in _imports(tree, package) if name.partition(".")[0] in packages]
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
    """Drops docstrings and the blocks that only type checkers read."""

    def visit_Expr(self, node: ast.Expr) -> ast.Expr | None:
        constant = isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        return None if constant else node

    def visit_If(self, node: ast.If) -> ast.AST | None:
        if isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            return None
        return self.generic_visit(node)
