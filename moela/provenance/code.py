"""Digests of code: they change when the behavior of an algorithm or a problem may have changed."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import re
import sys
import warnings
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache, partial
from hashlib import blake2b
from pathlib import Path
from types import FunctionType, MethodType
from typing import Any, NamedTuple

from moela.provenance import functions  # noqa: F401 (it registers how functions are digested)
from moela.provenance.distributions import Installed, installed
from moela.provenance.scalars import text
from moela.provenance.sources import (
    MAIN,
    SUFFIXES,
    is_installed,
    is_library,
    is_library_class,
    is_ours,
)
from moela.provenance.walk import CODE, HIDDEN, Walk, digest

BYTECODE = "bytecode"
"""The key of `code_of` for the digest of code without a file."""

GLOBALS = "globals"
"""The key of `code_of` for values that code without a file reads, which it may also change."""


def code_of(obj: object) -> dict[str, str]:
    """Return a digest of the sources behind an object or a function, or its package's version.

    In a working tree, the digest covers the module that defines it, the modules of its bases, and
    the modules that these import from their own packages, without comments and docstrings. The
    code of an installed package is identified by the version of its distribution, or by a digest
    of its files if no distribution lists it. Of a class or function that no file defines, such as
    those of ``__main__`` and of notebooks, the digests are of its bytecode, and of attributes of
    classes and global values that it reads.
    """
    versions: dict[str, set[Installed]] = {}
    own, dynamic = [], []
    for kind in _kinds(obj):
        name = getattr(kind, "__module__", None) or "builtins"
        package = name.partition(".")[0]
        if package in sys.stdlib_module_names and _is_library(kind, name):
            continue
        file = None if package in MAIN or name == "builtins" else _file(name)
        if file is not None and is_installed(str(file)):
            versions.setdefault(package, set()).add(installed(name, str(file)))
        elif file is not None and _source(name) is not None:
            own.append(name)
        else:
            dynamic.append(kind)
    code = {package: _listed(found) for package, found in versions.items()}
    if own:
        code["sources"] = _digest(tuple(sorted({*own})))
    if dynamic:
        code |= _bytecode(dynamic)
    return dict(sorted(code.items()))


def _kinds(obj: object) -> list[Any]:
    """Return the function, or the class with its bases, whose code an object runs."""
    while True:
        wrapped = getattr(obj, "__dict__", {}).get("__wrapped__")
        if isinstance(obj, partial):
            obj = obj.func
        elif wrapped is not None and not inspect.isroutine(obj):  # such as numba's dispatchers
            obj = wrapped
        else:
            break
    if inspect.isroutine(obj):
        return [obj]
    kind = obj if isinstance(obj, type) else type(obj)
    return [base for base in kind.__mro__ if base is not object]


def _is_library(kind: Any, module: str) -> bool:
    """Return whether a class or function is of the library of its module, not made by ``exec``."""
    if isinstance(kind, type):
        return is_library_class(kind)
    return is_library(module) and not (
        module == "builtins" and isinstance(kind, FunctionType | MethodType)
    )


def _listed(found: Iterable[Installed]) -> str:
    """Return the version of a package, or those of all distributions that have a part of it."""
    first, *rest = sorted(found)
    return ", ".join(" ".join(one) for one in (first, *rest)) if rest else first.version


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
        for path in (n.with_name(n.name + suffix) for n in names for suffix in SUFFIXES):
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
    content = source.path.read_bytes()
    try:
        with warnings.catch_warnings(action="ignore"):
            tree = ast.parse(content)  # of bytes, which may declare their encoding
        tree = _Essence().visit(tree)
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # compiled, or of other tools
        return blake2b(content, digest_size=16).hexdigest(), ()
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

    def visit_If(self, node: ast.If) -> ast.AST | list[ast.stmt]:
        self.generic_visit(node)
        checking = isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        return node.orelse if checking else node


@lru_cache(maxsize=1000)
def code_of_ours(module: str) -> dict[str, str]:
    """Return the same for a module of ours, quickly: comments and docstrings count, too."""
    if _source(module) is None:
        return {module.partition(".")[0]: installed(module, str(_file(module))).version}
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


# ---- code without a file -------------------------------------------------------------------------


def _bytecode(kinds: Iterable[Any]) -> dict[str, str]:
    walk = Walk(None)
    tokens = [walk.visit(kind) for kind in kinds]

    def noted(channel: str) -> list[bytes]:
        return [text(n.where) + n.digest for n in walk.notes if n.channel == channel]

    code = {BYTECODE: _hex([*tokens, *noted(CODE)])}
    values = noted(HIDDEN)
    return code | {GLOBALS: _hex(values)} if values else code


def _hex(tokens: Iterable[bytes]) -> str:
    return blake2b(digest(*tokens), digest_size=8).hexdigest()
