"""Digests of code: they change when the behavior of an algorithm or a problem may have changed."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache, partial
from hashlib import blake2b
from importlib import metadata
from importlib.machinery import BYTECODE_SUFFIXES, EXTENSION_SUFFIXES
from pathlib import Path
from typing import Any, NamedTuple

from moela.provenance import functions  # noqa: F401 (it registers how functions are digested)
from moela.provenance.environment import version_of
from moela.provenance.scalars import text
from moela.provenance.sources import is_installed, is_ours
from moela.provenance.walk import BEYOND, Walk, digest

_SUFFIXES = (".py", *EXTENSION_SUFFIXES, *BYTECODE_SUFFIXES)
UNKNOWN = "unknown"
"""The text that version 0.1 wrote if the version of a package could not be found."""


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
    """Return the file of a module, None if it has none or is built in; nothing is imported."""
    loaded = sys.modules.get(name)
    if loaded is not None:
        spec = getattr(loaded, "__spec__", None)
        file = getattr(spec, "origin", None) if getattr(spec, "has_location", False) else None
        file = file or getattr(loaded, "__file__", None)
        return None if file is None else Path(file)
    top, _, rest = name.partition(".")
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError, AttributeError):
        return None
    if spec is None:
        return None
    if not rest:
        return Path(spec.origin) if spec.origin is not None and spec.has_location else None
    return _below(spec.submodule_search_locations or (), rest.split("."))


def _below(folders: Iterable[str], parts: Sequence[str]) -> Path | None:
    """Return the file of a module in the folders of its top-level package."""
    for folder in folders:
        base = Path(folder, *parts)
        names = [base / "__init__", base]
        for path in (n.with_name(n.name + suffix) for n in names for suffix in _SUFFIXES):
            if path.is_file():
                return path
    return None


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
    tree = _Essence().visit(ast.parse(source.path.read_text(encoding="utf-8")))
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


@lru_cache(maxsize=1000)
def code_of_ours(module: str) -> dict[str, str]:
    """Return the same for a module of ours, quickly: comments and docstrings count, too."""
    if _source(module) is None:
        return {module.partition(".")[0]: _version(module)}
    whole, queue, found = blake2b(digest_size=8), [module], {}
    while queue:
        name = queue.pop()
        source = None if name in found else _source(name)
        if source is not None and is_ours(name):
            found[name] = source.path.read_bytes()
            for base, names in _IMPORT.findall(found[name].decode()):
                queue += [base, *(f"{base}.{name}" for name in re.findall(r"\w+", names))]
    for name in sorted(found):
        whole.update(name.encode() + b"\n" + found[name])
    return {"files": whole.hexdigest()}


# Our modules import each other by full name, at any depth of indentation.
_IMPORT = re.compile(r"^\s*from ([\w.]+) import (\([^)]*\)|[^\n]*)", re.MULTILINE)


# ---- installed packages --------------------------------------------------------------------------


@lru_cache(maxsize=1000)
def _version(module: str) -> str:
    """Return the version of the distribution that a module comes from, or a digest of its files."""
    package = module.partition(".")[0]
    name = _distribution(package, str(_file(module)))
    return _folder_digest(package) if name is None else version_of(name, UNKNOWN)


@lru_cache(maxsize=10_000)
def _distribution(package: str, file: str) -> str | None:
    """Return the name of the distribution to which a file of an installed package belongs."""
    try:
        # Most have the name of their package, and to read all of the others takes a second.
        home = metadata.distribution(package).locate_file(package)
    except metadata.PackageNotFoundError:
        pass
    else:
        if str(home) in (file.rpartition(".")[0], *map(str, Path(file).parents)):
            return package
    return next((name for name in _by_package().get(package, ()) if _lists(name, file)), None)


@lru_cache(maxsize=1)
def _by_package() -> dict[str, list[str]]:
    return {name: sorted(set(found)) for name, found in metadata.packages_distributions().items()}


def _lists(distribution: str, file: str) -> bool:
    found = metadata.distribution(distribution)
    if found.files is None:  # without a record, the name of the package decides
        return True
    return any(str(found.locate_file(path)) == file for path in found.files)


@lru_cache(maxsize=1000)
def _folder_digest(package: str) -> str:
    """Return a digest of all code of a package that no distribution lists."""
    spec = importlib.util.find_spec(package)
    if spec is None:
        return UNKNOWN
    whole = blake2b(digest_size=8)
    for folder in spec.submodule_search_locations or [str(spec.origin)]:
        base = Path(folder)
        for path in sorted(base.rglob("*")) if base.is_dir() else [base]:
            if path.name.endswith(_SUFFIXES) and "__pycache__" not in path.parts:
                whole.update(f"{path.relative_to(base).as_posix()}\n".encode())
                whole.update(blake2b(path.read_bytes()).digest())
    return f"files {whole.hexdigest()}"


# ---- code without a file -------------------------------------------------------------------------


def _bytecode(kinds: Iterable[Any]) -> str:
    walk = Walk(None)
    tokens = [walk.visit(kind) for kind in kinds]
    tokens += [text(n.where) + n.digest for n in walk.notes if n.channel != BEYOND]
    return blake2b(digest(*tokens), digest_size=8).hexdigest()
