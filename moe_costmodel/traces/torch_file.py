"""Reading the files of ``torch.save`` as plain values and numpy arrays, without torch.

``torch.load(weights_only=True)`` does not run code, but it calls what it allows with any arguments:
a file of 200 bytes makes it allocate gigabytes (``bytearray(3_000_000_000)``). This reader knows
the few instructions that plain containers and dense tensors need, and takes no memory for them
before it has compared their sizes with those of the file.
"""

from __future__ import annotations

import io
import math
import os
import pickle
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, ClassVar

import numpy as np

from moe_costmodel._arrays import Array
from moe_costmodel.traces.members import Member, stored_members
from moela.files.guard import check_size, invalid_file, open_file

__all__ = ["read_torch"]

_DTYPES = {
    "DoubleStorage": "<f8", "FloatStorage": "<f4", "HalfStorage": "<f2", "LongStorage": "<i8",
    "IntStorage": "<i4", "ShortStorage": "<i2", "CharStorage": "<i1", "ByteStorage": "<u1",
    "BoolStorage": "?",
}  # fmt: skip
_EXPECTED = "a complete file of torch.save, with plain tensors and containers only"
# A byte of a pickle can become an empty list or dictionary of 64 bytes.
_BYTES_OF_VALUES = 64
_FEW_BITS = 2**31  # keys above may all have the same hash, and then take quadratic time
_LONGEST_EMPTY = 10_000
_PICKLE = """PROTO STOP FRAME MARK NONE NEWTRUE NEWFALSE BININT BININT1 BININT2 LONG1 LONG4
BINFLOAT BINUNICODE SHORT_BINUNICODE EMPTY_LIST APPEND APPENDS EMPTY_DICT SETITEM SETITEMS
EMPTY_TUPLE TUPLE1 TUPLE2 TUPLE3 TUPLE BINPUT LONG_BINPUT MEMOIZE BINGET LONG_BINGET GLOBAL
STACK_GLOBAL REDUCE BINPERSID"""


class _Storage:
    """A type of storage, by its name in torch."""

    def __init__(self, name: str) -> None:
        self.name = name


class Unsupported:
    """A tensor of a type that has no counterpart in numpy."""

    def __init__(self, name: str) -> None:
        self.name = name


def read_torch(path: str | Path) -> object:
    """Return the value of a file that ``torch.save`` wrote; a ValueError names file and fault.

    Tensors become numpy arrays, which may be read-only; those without a type of numpy become
    `Unsupported`. Files of torch before 1.6, sparse and quantized tensors, and all other classes
    are refused.
    """
    with open_file(path) as file:
        # Not a zip: torch wrote pickles and tar files before version 1.6.
        if file.read(4) != b"PK\3\4":
            raise invalid_file(path, "another format than a zip file", _EXPECTED)
        members = stored_members(file, path, _EXPECTED)
        check_size(path, os.fstat(file.fileno()).st_size, "arrays")
        folders = [name for name in members if name.count("/") == 1 and name.endswith("/data.pkl")]
        if len(folders) != 1:
            raise invalid_file(path, f"{len(folders)} of them", "present once", "data.pkl")
        folder = folders[0].removesuffix("data.pkl")
        order = members.get(f"{folder}byteorder")
        # The only other word is "big".
        if order is not None and order.size != len("little"):
            raise invalid_file(path, "another one", "little", "byteorder")
        pickled = members[folders[0]]
        check_size(path, _BYTES_OF_VALUES * pickled.size, "json", "data.pkl")
        try:
            data = _bytes_of(file, pickled, "data.pkl")
            reader = _Unpickler(data, lambda key: _storage(file, members, f"{folder}data/{key}"))
            return reader.load()
        except _WrongError as error:
            raise invalid_file(path, str(error), _EXPECTED, error.field) from None
        except OSError:
            raise
        # Damaged pickles raise errors of nearly every kind.
        except Exception as error:
            got = f"{type(error).__name__}: {error}"
            raise invalid_file(path, got, _EXPECTED, "data.pkl") from error


class _WrongError(Exception):
    """An instruction, class or value that plain values do not need, and the member it is in."""

    def __init__(self, got: str, field: str = "data.pkl") -> None:
        super().__init__(got)
        self.field = field


def _storage(file: IO[bytes], members: dict[str, Member], name: str) -> bytes:
    if name not in members:
        raise _WrongError("none", name)
    return _bytes_of(file, members[name], name)


def _bytes_of(file: IO[bytes], member: Member, name: str) -> bytes:
    file.seek(member.start)
    data = file.read(member.size)
    if zlib.crc32(data) != member.checksum:
        raise _WrongError("bytes of another checksum", name)
    return data


class _Unpickler(pickle._Unpickler):  # type: ignore[name-defined, misc]
    """Python's own unpickler, reduced to a few instructions; the C version cannot be reduced."""

    stack: list[Any]  # of the class above, where types are not declared
    pop_mark: Callable[[], list[Any]]
    dispatch: ClassVar[dict[int, Callable[[Any], None]]] = {
        getattr(pickle, name)[0]: pickle._Unpickler.dispatch[getattr(pickle, name)[0]]  # type: ignore[attr-defined]
        for name in _PICKLE.split()
    }

    def __init__(self, data: bytes, read: Callable[[str], bytes]) -> None:
        super().__init__(io.BytesIO(data), encoding="utf-8", errors="strict")
        self._read, self._storages = read, dict[str, bytes]()

    def find_class(self, module: str, name: str) -> object:
        if module == "torch" and name.endswith("Storage"):
            return _Storage(name)
        known = {
            ("torch._utils", "_rebuild_tensor_v2"): _rebuild,
            ("collections", "OrderedDict"): _ordered,
        }
        if (module, name) not in known:
            raise _WrongError(f"{module}.{name}")
        return known[module, name]

    def persistent_load(self, pid: object) -> Array | Unsupported:
        """Return the storage that an id names, as a flat array."""
        kind, storage, key, _, numel = pid if isinstance(pid, tuple) and len(pid) == 5 else [0] * 5
        if kind != "storage" or type(storage) is not _Storage or type(key) is not str:
            raise _WrongError(f"the reference {kind!r}")
        if storage.name not in _DTYPES:
            return Unsupported(storage.name)
        dtype = np.dtype(_DTYPES[storage.name])
        if key not in self._storages:
            self._storages[key] = self._read(key)
        held = len(self._storages[key])
        if type(numel) is not int or numel * dtype.itemsize != held:
            raise _WrongError(f"a storage of {numel!r} numbers in {held} bytes")
        return np.frombuffer(self._storages[key], dtype)

    def _load_reduce(self) -> None:
        arguments = self.stack.pop()
        call = self.stack[-1]
        if call not in (_rebuild, _ordered) or type(arguments) is not tuple:
            raise _WrongError("a call of a value")
        self.stack[-1] = call(*arguments)

    dispatch[pickle.REDUCE[0]] = _load_reduce

    def _load_setitem(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        _set_items(self.stack[-1], [key, value])

    dispatch[pickle.SETITEM[0]] = _load_setitem

    def _load_setitems(self) -> None:
        items = self.pop_mark()
        _set_items(self.stack[-1], items)

    dispatch[pickle.SETITEMS[0]] = _load_setitems

    def _load_append(self) -> None:
        value = self.stack.pop()
        _extend(self.stack[-1], [value])

    dispatch[pickle.APPEND[0]] = _load_append

    def _load_appends(self) -> None:
        values = self.pop_mark()
        _extend(self.stack[-1], values)

    dispatch[pickle.APPENDS[0]] = _load_appends


def _extend(target: object, values: list[object]) -> None:
    if type(target) is not list:
        raise _WrongError(f"items of a {type(target).__name__}")
    target.extend(values)


def _set_items(target: object, items: list[object]) -> None:
    if type(target) is not dict:
        raise _WrongError(f"keys of a {type(target).__name__}")
    for key, value in zip(items[::2], items[1::2], strict=True):
        short = type(key) is int and -_FEW_BITS < key < _FEW_BITS
        if not short and type(key) is not str:
            raise _WrongError(f"a key that is a {type(key).__name__}, or long")
        target[key] = value


def _ordered(*arguments: object) -> dict[object, object]:
    if arguments:
        raise _WrongError("an OrderedDict of values")
    return {}


def _rebuild(
    storage: object, offset: object, size: object, stride: object, *_: object
) -> Array | Unsupported:
    """Return a tensor of a storage, all of whose numbers must be inside it, and no more of them."""
    if isinstance(storage, Unsupported):
        return storage
    if not isinstance(storage, np.ndarray) or storage.ndim != 1:
        raise _WrongError("a tensor without a storage")
    numbers = [offset, *(n for part in (size, stride) if type(part) is tuple for n in part)]
    if type(size) is not tuple or type(stride) is not tuple or len(size) != len(stride):
        raise _WrongError("a tensor without a shape")
    if not all(type(n) is int and 0 <= n < 2**63 for n in numbers) or len(size) > 32:
        raise _WrongError("a tensor with a shape of odd numbers")
    count = math.prod(size)
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))  # type: ignore[operator]
    if count > len(storage) or (count and last >= len(storage)):
        raise _WrongError(f"a tensor of shape {size} in a storage of {len(storage)} numbers")
    if not count:
        # No program can loop over the longest axes that an empty tensor may claim.
        if max(size) > _LONGEST_EMPTY:
            raise _WrongError(f"a tensor of shape {size}")
        return np.zeros(size, storage.dtype)
    strides = [step * storage.itemsize for step in stride]
    return np.lib.stride_tricks.as_strided(storage[offset:], size, strides, writeable=False)  # type: ignore[call-overload, misc]
