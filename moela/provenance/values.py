"""Digests of Python's own containers and values, and of numpy's arrays."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable, Iterable
from enum import Enum
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from moela.provenance.functions import refused
from moela.provenance.scalars import ATOMS, bytes_digest, integer, text
from moela.provenance.walk import BEYOND, PART, WHOLE, Handler, Walk, class_code, digest

_POINTERS = (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_wchar_p, ctypes.py_object)
_CALLED = (ctypes._Pointer, ctypes._CFuncPtr)  # type: ignore[attr-defined, unused-ignore]


# ---- containers ----------------------------------------------------------------------------------


def _list(walk: Walk, value: Any) -> bytes:
    return digest(integer(len(value)), *walk.items(value))


def _dict(walk: Walk, value: dict[Any, Any]) -> bytes:
    return walk.mapping(dict.items(value))


def _ordered(walk: Walk, value: Any) -> bytes:
    return walk.mapping(value.items(), ordered=True)


def _defaultdict(walk: Walk, value: Any) -> bytes:
    return digest(walk.visit(value.default_factory), walk.mapping(value.items()))


def _set(walk: Walk, value: Iterable[Any]) -> bytes:
    return digest(*sorted(walk.visit(item) for item in value))


def _views(walk: Walk, value: Iterable[Any]) -> bytes:
    return digest(*walk.items(list(value)))


def _memoryview(walk: Walk, value: memoryview) -> bytes:
    walk.note("", BEYOND)
    return digest(text(value.format), walk.visit(value.shape), ATOMS[bytes](value.tobytes()))


def _enum(walk: Walk, value: Enum) -> bytes:
    walk.note("", BEYOND)
    class_code(walk, type(value))
    more = {key: inner for key, inner in vars(value).items() if not key.startswith("_")}
    parts = (walk.visit(value._name_), walk.visit(value._value_))
    return digest(*parts, walk.attributes(value, more.items()))


def _constant(walk: Walk, value: object) -> bytes:
    return b""


def _named(walk: Walk, value: Any) -> bytes:
    return text(str(value.name))


def _text(walk: Walk, value: object) -> bytes:
    return text(str(value))


def _local(walk: Walk, value: Any) -> bytes:
    walk.note("", BEYOND)
    return walk.attributes(value, vars(value).items())


def _buffer(walk: Walk, value: Any) -> bytes:
    return digest(walk.visit(value.getvalue()), integer(value.tell()))


def _stream(walk: Walk, value: object) -> bytes:
    shared = (sys.stdin, sys.stdout, sys.stderr, sys.__stdin__, sys.__stdout__, sys.__stderr__)
    return b"shared" if any(value is stream for stream in shared) else walk.refuse(value)


# ---- C ------------------------------------------------------------------------------------------


def _c_data(walk: Walk, value: Any) -> bytes:
    walk.note("", BEYOND)
    if _has_pointers(type(value)):
        return walk.refuse(value)
    return ATOMS[bytes](bytes(value))


def _has_pointers(kind: Any) -> bool:
    if issubclass(kind, (*_POINTERS, *_CALLED)):
        return True
    if issubclass(kind, ctypes.Array):
        return _has_pointers(kind._type_)
    fields = getattr(kind, "_fields_", ())
    return any(_has_pointers(field[1]) for field in fields)


def _c_library(walk: Walk, value: Any) -> bytes:
    walk.note("", BEYOND)
    path = Path(str(value._name))
    if not path.is_file():
        return walk.refuse(value, "whose file is not known")
    with path.open("rb") as file:
        digested = blake2b(file.read(), digest_size=16)
    return ATOMS[bytes](digested.digest())


# ---- numpy ---------------------------------------------------------------------------------------


def _array(walk: Walk, value: NDArray[Any]) -> bytes:
    simple = type(value) is np.ndarray and value.size > 16 and value.dtype.itemsize <= 8
    if not simple or value.dtype.hasobject or value.dtype.names is not None:
        return _items(walk, value)
    known = walk.arrays.get(id(value))
    if known is None or known[0] is not value:
        known = walk.arrays[id(value)] = (value, bytes_digest(value))
    return digest(text(value.dtype.str), walk.visit(value.shape), text(known[1]))


def _items(walk: Walk, value: NDArray[Any]) -> bytes:
    plain = np.asarray(value)
    kind = plain.dtype
    parts = [text(kind.str), walk.visit(plain.shape)]
    if kind.names is not None:
        for name in kind.names:  # not the bytes between the fields, which nobody has set
            parts += [text(name), _items(walk, plain[name])]
    elif kind.hasobject or kind.kind == "T":
        parts += walk.items(plain.reshape(-1).tolist())
    else:
        parts.append(text(bytes_digest(_significant(plain))))
    return digest(*parts)


def _significant(value: NDArray[Any]) -> NDArray[Any]:
    """Return long doubles without the bytes that fill them up."""
    long = value.dtype.kind in "fc" and value.dtype.itemsize in (16, 32)
    real = value.dtype.itemsize // (2 if value.dtype.kind == "c" else 1)
    if not long or real != 16 or np.finfo(value.dtype).nmant != 63:
        return value
    return np.ascontiguousarray(value).reshape(-1).view(np.uint8).reshape(-1, 16)[:, :10]


def _masked(walk: Walk, value: Any) -> bytes:
    walk.note("", BEYOND)
    data, mask = np.ma.getdata(value), np.ma.getmaskarray(value)
    return digest(_items(walk, data), _items(walk, mask), walk.visit(value.fill_value))


def _scalar(walk: Walk, value: Any) -> bytes:
    return _items(walk, np.asarray(value))


def _bits(walk: Walk, value: Any) -> bytes:
    return digest(walk.visit(value.state), walk.visit(value.seed_seq))


def _seeds(walk: Walk, value: Any) -> bytes:
    return walk.visit(value.state)


def _ufunc(walk: Walk, value: Any) -> bytes:
    special = sys.modules.get("scipy.special")
    if any(getattr(home, value.__name__, None) is value for home in (np, special)):
        return text(value.__name__)
    return walk.refuse(value)


def _vectorized(walk: Walk, value: Any) -> bytes:
    state = {key: inner for key, inner in vars(value).items() if key not in ("_ufunc", "__doc__")}
    return walk.attributes(value, state.items())


_WHOLE: dict[str, Handler] = {
    "enum.Enum": _enum,
    "types.MappingProxyType": _ordered,
    "builtins.mappingproxy": _ordered,
    "builtins.dict_keys": _views,
    "builtins.dict_values": _views,
    "builtins.dict_items": _views,
    "builtins.memoryview": _memoryview,
    "pathlib.PurePath": _text,
    "pathlib._local.PurePath": _text,
    "_thread.lock": _constant,
    "_thread.RLock": _constant,
    "threading._RLock": _constant,
    "_thread._local": _local,
    "threading.Thread": refused,
    "subprocess.Popen": refused,
    "concurrent.futures._base.Executor": _constant,
    "multiprocessing.pool.Pool": _constant,
    "joblib.parallel.Parallel": _constant,
    "logging.Logger": _named,
    "_io.StringIO": _buffer,
    "_io.BytesIO": _buffer,
    "_io._IOBase": _stream,
    "_ctypes._SimpleCData": _c_data,
    "_ctypes.Structure": _c_data,
    "_ctypes.Union": _c_data,
    "_ctypes.Array": _c_data,
    "_ctypes._Pointer": refused,
    "_ctypes.CFuncPtr": refused,
    "ctypes.CDLL": _c_library,
    "numpy.memmap": _items,
    "numpy.ma.MaskedArray": _masked,
    "numpy.ma.core.MaskedArray": _masked,
    "numpy.generic": _scalar,
    "numpy.dtype": lambda walk, value: text(repr(value)),
    "numpy.random._generator.Generator": lambda walk, value: walk.visit(value.bit_generator),
    "numpy.random.bit_generator.BitGenerator": _bits,
    "numpy.random.bit_generator.SeedSequence": _seeds,
    "numpy.ufunc": _ufunc,
    "numpy.vectorize": _vectorized,
    "numpy._ArrayFunctionDispatcher": WHOLE["builtins.method_descriptor"],
    "numpy.nditer": refused,
    "numpy.flatiter": refused,
}
WHOLE |= _WHOLE


def _atom_handler(kind: type, atom: Callable[[Any], bytes]) -> Handler:
    """Return the handler of the part of an object that a built-in type holds."""
    return lambda walk, value: atom(kind(value))


_PART: dict[str, Handler] = {
    "builtins.list": _list,
    "builtins.tuple": _list,
    "builtins.dict": _dict,
    "builtins.set": _set,
    "builtins.frozenset": _set,
    "collections.OrderedDict": _ordered,
    "collections.defaultdict": _defaultdict,
    "numpy.ndarray": _array,
} | {
    f"builtins.{kind.__name__}": _atom_handler(kind, atom)
    for kind, atom in ATOMS.items()
    if kind in (int, float, complex, str, bytes)
}
PART |= _PART
