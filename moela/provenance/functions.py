"""Digests of functions, methods, classes and modules: of their bytecode and of all they refer to.

A function is signed by its name, its defaults, and the values in its closure. Its bytecode and the
global values that it reads are notes, so that a change of them can be told from a change of data.
The code of libraries is not looked at; their versions identify it.
"""

from __future__ import annotations

import dis
import operator
import random
from collections.abc import Iterator
from functools import lru_cache
from types import CodeType, FunctionType, MappingProxyType, ModuleType
from typing import Any

import numpy as np

from moela.provenance import renames
from moela.provenance.scalars import ATOMS, integer, text
from moela.provenance.sources import is_library, is_library_class, is_library_code, module_name
from moela.provenance.walk import (
    BEYOND,
    CODE,
    HIDDEN,
    PART,
    WHOLE,
    Handler,
    Walk,
    class_name,
    digest,
)

_GLOBAL_READS = frozenset(["LOAD_GLOBAL", "LOAD_NAME"])
# Attributes of a class that say nothing of its behavior, or repeat what is noted anyway.
_CLASS_STATE = frozenset(
    ["_abc_impl", "_member_map_", "_member_names_", "_value2member_map_", "_unhashable_values_"]
)
# Generators of Python and numpy that everybody shares; their states are no content of a problem.
_SHARED = (getattr(random, "_inst", None), getattr(np.random.mtrand, "_rand", None))


def code_digest(code: CodeType) -> bytes:
    """Return a digest of bytecode and constants, without names of files, lines and docstrings."""
    constants = code.co_consts
    if constants and isinstance(constants[0], str) and code.co_flags & 0x2:  # a docstring
        constants = (None, *constants[1:])
    counts = (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags)
    names = (code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars)
    return digest(
        *map(integer, counts),
        ATOMS[bytes](code.co_code),
        ATOMS[bytes](getattr(code, "co_exceptiontable", b"")),
        *(_constant(names_of_kind) for names_of_kind in names),
        *map(_constant, constants),
    )


def _constant(value: Any) -> bytes:
    if isinstance(value, CodeType):
        return code_digest(value)
    if isinstance(value, tuple):
        return digest(b"tuple", *map(_constant, value))
    if isinstance(value, frozenset):
        return digest(b"set", *sorted(map(_constant, value)))
    if isinstance(value, slice):
        return digest(b"slice", *map(_constant, (value.start, value.stop, value.step)))
    return ATOMS[type(value)](value)


@lru_cache(maxsize=10_000)
def _global_names(code: CodeType) -> tuple[str, ...]:
    names = {
        instruction.argval
        for instruction in dis.get_instructions(code)
        if instruction.opname in _GLOBAL_READS
    }
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            names |= {*_global_names(constant)}
    return tuple(sorted(names))


def _attribute_names(code: CodeType) -> set[str]:
    names = {*code.co_names}
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            names |= _attribute_names(constant)
    return names


def _function(walk: Walk, function: FunctionType) -> bytes:
    code = function.__code__
    parts = [
        text(renames.public_name(function)),
        walk.visit(function.__defaults__),
        walk.visit(function.__kwdefaults__),
    ]
    dispatched = vars(function).get("registry")
    if isinstance(dispatched, MappingProxyType):  # of functools.singledispatch
        kinds = sorted(dispatched.items(), key=lambda item: class_name(item[0]))
        return digest(*parts, *walk.items([part for pair in kinds for part in pair]))
    for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
        with walk.step(f" ({name})"):
            try:
                parts += [text(name), walk.visit(cell.cell_contents)]
            except ValueError:  # not set yet
                parts.append(text(name))
    own = {key: value for key, value in vars(function).items() if key != "__wrapped__"}
    if own:
        parts.append(walk.attributes(function, own.items()))
    if not is_library_code(code):
        walk.note("", BEYOND)
        walk.note(" (code)", CODE, code_digest(code))
        _globals(walk, code, function.__globals__)
    return digest(*parts)


def _globals(walk: Walk, code: CodeType, values: dict[str, Any]) -> None:
    """Note the global values that a function reads, and the code of the functions it calls."""
    for name in _global_names(code):
        if name not in values:
            continue
        value = values[name]
        if isinstance(value, ModuleType) and not is_library(value.__name__):
            read = _attribute_names(code) & vars(value).keys()
            for inner in sorted(read):
                _note_value(walk, f"global {name}.{inner}", vars(value)[inner])
        else:
            _note_value(walk, f"global {name}", value)


def _note_value(walk: Walk, name: str, value: object) -> None:
    if value is walk.root:
        return
    with walk.step(f" ({name})"):
        walk.note("", HIDDEN, walk.visit(value))


def _class(walk: Walk, kind: type) -> bytes:
    name = text(class_name(kind))
    for base in kind.__mro__:
        if is_library_class(base):
            continue
        for key, value in _class_items(base):
            _note_value(walk, f"class {base.__name__}.{key}", value)
    # No signature has ever held the code of classes.
    walk.notes[:] = [note for note in walk.notes if note.channel != BEYOND]
    return digest(name)


def _class_items(kind: type) -> Iterator[tuple[str, object]]:
    for key, value in sorted(vars(kind).items()):
        dunder = key.startswith("__") and key.endswith("__")
        if key in _CLASS_STATE or (dunder and not isinstance(value, _ROUTINES)):
            continue
        if isinstance(value, _SLOTS):
            continue
        yield key, value


_ROUTINES = (FunctionType, staticmethod, classmethod, property)
_SLOTS = (type(FunctionType.__code__), type(FunctionType.__globals__))


def _module(walk: Walk, module: ModuleType) -> bytes:
    if not is_library(module.__name__):
        walk.note("", BEYOND)
        for key, value in sorted(vars(module).items()):
            dunder = key.startswith("__") and key.endswith("__")
            foreign = isinstance(value, ModuleType) or getattr(
                value, "__module__", module.__name__
            ) not in (module.__name__, None)
            if not dunder and not foreign:
                _note_value(walk, f"module {key}", value)
    return text(module.__name__)


def _builtin(walk: Walk, function: Any) -> bytes:
    owner = getattr(function, "__self__", None)
    name = text(f"{module_name(function)}.{function.__qualname__}")
    if owner is None or isinstance(owner, ModuleType):
        return name
    return digest(name, walk.visit(owner))


def _by_name(walk: Walk, value: Any) -> bytes:
    return text(f"{module_name(value)}.{getattr(value, '__qualname__', value)}")


def _fields(*names: str) -> Any:
    get = operator.attrgetter(*names)

    def handler(walk: Walk, value: Any) -> bytes:
        values = get(value)
        return digest(*walk.items(values if len(names) > 1 else (values,)))

    return handler


def _cached(walk: Walk, function: Any) -> bytes:
    """Digest what functools.lru_cache returns: the function, without what it remembers."""
    return digest(walk.visit(function.__wrapped__), walk.visit(function.cache_parameters()))


def _reduced(walk: Walk, value: Any) -> bytes:
    _, arguments, *_ = value.__reduce__()
    return digest(*walk.items(arguments))


def _partial(walk: Walk, value: Any) -> bytes:
    tokens = [walk.visit(value.func), *walk.items(value.args), walk.visit(value.keywords)]
    return digest(*tokens)


def _weakref(walk: Walk, value: Any) -> bytes:
    return walk.visit(value())


def _generator(walk: Walk, value: Any) -> bytes:
    if any(value is shared for shared in _SHARED):
        return b"shared"
    if isinstance(value, random.SystemRandom):
        return b"system"
    walk.note("", BEYOND)
    state = value.getstate() if isinstance(value, random.Random) else value.get_state(legacy=False)
    return walk.visit(state)


def _code(walk: Walk, value: CodeType) -> bytes:
    walk.note("", CODE, code_digest(value))
    return b"code"


def refused(walk: Walk, value: object) -> bytes:
    """Note that a value cannot be seen into."""
    return walk.refuse(value)


_WHOLE: dict[str, Handler] = {
    "builtins.function": _function,
    "builtins.method": _fields("__func__", "__self__"),
    "builtins.type": _class,
    "builtins.module": _module,
    "builtins.builtin_function_or_method": _builtin,
    "builtins.method-wrapper": _builtin,
    "builtins.method_descriptor": _by_name,
    "builtins.wrapper_descriptor": _by_name,
    "builtins.classmethod_descriptor": _by_name,
    "builtins.getset_descriptor": _by_name,
    "builtins.member_descriptor": _by_name,
    "builtins.code": _code,
    "builtins.property": _fields("fget", "fset", "fdel"),
    "builtins.staticmethod": _fields("__func__"),
    "builtins.classmethod": _fields("__func__"),
    "types.GenericAlias": lambda walk, value: text(repr(value)),
    "types.UnionType": lambda walk, value: text(repr(value)),
    "typing._Final": lambda walk, value: text(repr(value)),
    "functools.cached_property": _fields("func"),
    "functools._lru_cache_wrapper": _cached,
    "functools.partial": _partial,
    "operator.itemgetter": _reduced,
    "operator.attrgetter": _reduced,
    "operator.methodcaller": lambda walk, value: walk.visit(value.__reduce__()),
    "weakref.ReferenceType": _weakref,
    "weakref.ProxyType": refused,
    "weakref.CallableProxyType": refused,
    "random.Random": _generator,
    "numpy.random.mtrand.RandomState": _generator,
    "builtins.generator": refused,
    "builtins.coroutine": refused,
    "builtins.async_generator": refused,
    "builtins.frame": refused,
    "builtins.traceback": refused,
}
WHOLE |= _WHOLE
_PART: dict[str, Handler] = {
    "functools.partialmethod": _partial,
}
PART |= _PART
