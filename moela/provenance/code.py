"""Digests of code: they change when the behavior of an algorithm or a problem may have changed."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import sys
from collections.abc import Iterable, Iterator
from functools import lru_cache, partial
from hashlib import blake2b
from importlib import metadata
from importlib.machinery import BYTECODE_SUFFIXES, EXTENSION_SUFFIXES
from pathlib import Path
from typing import Any, NamedTuple

from moela.provenance import functions  # noqa: F401 (it registers how functions are digested)
from moela.provenance.environment import version_of
from moela.provenance.sources import is_installed
from moela.provenance.walk import BEYOND, Walk, digest, text

UNKNOWN = "unknown"
"""What version 0.1 wrote if the version of a package could not be found."""


def code_of(obj: object) -> dict[str, str]:
    """Return a digest of the sources behind an object or a function, or its package's version.

    In a working tree, the digest covers the module that defines it, the modules of its bases, and
    the modules that these import from their own packages, without comments and docstrings. The
    code of an installed package is identified by the version of its distribution, or by a digest
    of its files if no distribution lists it. Of a class or function that no file defines, such as
    those of ``__main__`` and of notebooks, the digest is of its bytecode.
    """
    while isinstance(obj, partial):
        obj = obj.func
    kinds = [obj] if inspect.isroutine(obj) else [k for k in type(obj).__mro__ if k is not object]
    code: dict[str, str] = {}
    own, dynamic = [], []
    for kind in kinds:
        name = kind.__module__
        package = name.partition(".")[0]
        file = _file(name)
        if package in sys.stdlib_module_names:
            continue
        if package == "__main__" or file is None:
            dynamic.append(kind)
        elif is_installed(str(file)):
            code[package] = _version(name)
        else:
            own.append(name)
    if own:
        code["sources"] = _digest(tuple(sorted({*own})))
    if dynamic:
        code["bytecode"] = _bytecode(dynamic)
    return dict(sorted(code.items()))


# ---- sources -------------------------------------------------------------------------------------


class _Source(NamedTuple):
    """A file of code as it is now."""

    module: str
    path: Path
    changed: int  # nanoseconds
    size: int


@lru_cache(maxsize=10_000)
def _file(name: str) -> Path | None:
    """Return the file of a module, None if it has none or is built in."""
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError, AttributeError):
        return None
    if spec is None or spec.origin is None or not spec.has_location:
        return None
    return Path(spec.origin)


def _source(name: str) -> _Source | None:
    """Return the file of a module in a working tree, None if it is installed or built in."""
    path = _file(name)
    if path is None or is_installed(str(path)):
        return None
    try:
        about = path.stat()
    except OSError:
        return None
    return _Source(name, path, about.st_mtime_ns, about.st_size)


def _digest(modules: tuple[str, ...]) -> str:
    packages = {name.partition(".")[0] for name in modules}
    queue = list(modules)
    found: dict[str, _Source] = {}
    while queue:
        name = queue.pop()
        source = None if name in found else _source(name)
        if source is None:
            continue
        found[name] = source
        queue += [name for name in _read(source)[1] if name.partition(".")[0] in packages]
    return _combined(tuple(found[name] for name in sorted(found)))


@lru_cache(maxsize=1000)
def _combined(sources: tuple[_Source, ...]) -> str:
    whole = blake2b(digest_size=8)
    for source in sources:
        whole.update(f"{source.module} {_read(source)[0]}\n".encode())
    return whole.hexdigest()


@lru_cache(maxsize=10_000)
def _read(source: _Source) -> tuple[str, tuple[str, ...]]:
    """Return the essence of a file, and the modules that it imports."""
    if source.path.suffix != ".py":  # compiled
        return blake2b(source.path.read_bytes(), digest_size=16).hexdigest(), ()
    text = source.path.read_text(encoding="utf-8")
    tree = _Essence().visit(ast.parse(text))
    package = source.module
    if source.path.name != "__init__.py":
        package = package.rpartition(".")[0]
    return ast.dump(tree), tuple(dict.fromkeys(_imports(tree, package)))


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


# ---- installed packages --------------------------------------------------------------------------


def _version(module: str) -> str:
    """Return the version of the distribution that a module comes from, or a digest of its files."""
    package = module.partition(".")[0]
    file = _file(module)
    if file is not None:
        for name in _distributions(package):
            if _lists(name, str(file)):
                return version_of(name, UNKNOWN)
    return _folder_digest(package)


@lru_cache(maxsize=1000)
def _distributions(package: str) -> tuple[str, ...]:
    """Return the names of the distributions that may have a package, likely ones first."""
    names = [package] if version_of(package, "") else []
    return tuple(dict.fromkeys([*names, *_by_package().get(package, ())]))


@lru_cache(maxsize=1)
def _by_package() -> dict[str, list[str]]:
    return {name: sorted(set(found)) for name, found in metadata.packages_distributions().items()}


@lru_cache(maxsize=10_000)
def _lists(distribution: str, file: str) -> bool:
    try:
        found = metadata.distribution(distribution)
    except metadata.PackageNotFoundError:
        return False
    listed = found.files
    if listed is None:  # of a distribution without a record, the top-level package decides
        return True
    return any(str(found.locate_file(path)) == file for path in listed)


@lru_cache(maxsize=1000)
def _folder_digest(package: str) -> str:
    """Return a digest of all code of a package that no distribution lists."""
    spec = importlib.util.find_spec(package)
    if spec is None:
        return UNKNOWN
    suffixes = (".py", *EXTENSION_SUFFIXES, *BYTECODE_SUFFIXES)
    whole = blake2b(digest_size=8)
    for folder in spec.submodule_search_locations or [str(spec.origin)]:
        base = Path(folder)
        for path in sorted(base.rglob("*")) if base.is_dir() else [base]:
            if path.name.endswith(suffixes) and "__pycache__" not in path.parts:
                whole.update(f"{path.relative_to(base).as_posix()}\n".encode())
                whole.update(blake2b(path.read_bytes()).digest())
    return f"files {whole.hexdigest()}"


# ---- code without a file -------------------------------------------------------------------------


def _bytecode(kinds: Iterable[Any]) -> str:
    walk = Walk(None)
    tokens = [walk.visit(kind) for kind in kinds]
    tokens += [text(n.where) + n.digest for n in walk.notes if n.channel != BEYOND]
    return blake2b(digest(*tokens), digest_size=8).hexdigest()
