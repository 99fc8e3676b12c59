"""Files of numpy arrays: sizes are read from headers before any memory is taken."""

from __future__ import annotations

import errno
import io
import math
import os
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from moela.files.guard import brief, check_size, invalid_file, open_file

__all__ = ["ArraysFile", "open_arrays", "read_array"]

# Longer headers than this are no header of an array of numbers or text.
_HEADER_BYTES = 10_000
# Room for the names of about five thousand arrays; zipfile keeps half a kilobyte for each.
_DIRECTORY_BYTES = 2**19
_PIECE = 2**20  # bytes read at once
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_EXPECTED = "a complete numpy array without Python objects"


def read_array(path: str | Path) -> NDArray[Any]:
    """Return the array of a ``.npy`` file; a ValueError names the file and its fault."""
    with open_file(path) as file:
        return _read(file, os.fstat(file.fileno()).st_size, path, "")


class ArraysFile(Mapping[str, NDArray[Any]]):
    """The arrays of an open ``.npz`` file, each read when it is asked for.

    The sizes of all arrays together are checked first. Errors are ValueErrors that name the file
    and the array. An array that is read holds no Python objects and is writable.
    """

    def __init__(self, archive: zipfile.ZipFile, path: str | Path) -> None:
        self._archive, self._path = archive, path
        self._members: dict[str, zipfile.ZipInfo] = {}
        for member in archive.infolist():
            name = member.filename.removesuffix(".npy")
            if name in self._members:
                raise invalid_file(path, "two of this name", "an array only once", name)
            self._members[name] = member
        check_size(path, sum(m.file_size for m in self._members.values()), "arrays")

    def __getitem__(self, name: str) -> NDArray[Any]:
        with self._open(name) as (file, size):
            return _read(file, size, self._path, name)

    @contextmanager
    def _open(self, name: str) -> Iterator[tuple[IO[bytes], int]]:
        """Open an array; yield its bytes and how many they are."""
        member = self._members.get(name)
        if member is None:
            raise invalid_file(
                self._path, f"arrays {brief(sorted(self._members))}", "present", name
            )
        if member.compress_type not in _METHODS or member.flag_bits & 1:
            raise invalid_file(self._path, "another compression or a password", _EXPECTED, name)
        with _translated(self._path, name):
            file = self._archive.open(member)
        with file:
            yield file, member.file_size

    def form(self, name: str) -> tuple[tuple[int, ...], np.dtype[Any]]:
        """Return shape and dtype of an array, from its header alone."""
        with self._open(name) as (file, _), _translated(self._path, name):
            shape, _, dtype, _ = _header(file)
            return shape, dtype

    def __iter__(self) -> Iterator[str]:
        return iter(self._members)

    def __len__(self) -> int:
        return len(self._members)


@contextmanager
def open_arrays(path: str | Path) -> Iterator[ArraysFile]:
    """Open a ``.npz`` file; a ValueError names the file if it is none."""
    with open_file(path) as file:
        limited = _Limited(file)
        try:
            archive = zipfile.ZipFile(limited)  # type: ignore[arg-type]
        # A damaged directory of a zip file raises errors of many kinds.
        except Exception as error:
            _raise_of_disk(error)
            raise invalid_file(path, _words(error), "a complete npz file") from error
        limited.most = None
        with archive:
            yield ArraysFile(archive, path)


class _Limited:
    """A file that refuses to read more at once than a directory of a zip file may take."""

    def __init__(self, file: IO[bytes]) -> None:
        self.most: int | None = _DIRECTORY_BYTES
        self.seek, self.tell, self._file = file.seek, file.tell, file

    def seekable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        if self.most is None:
            return self._file.read(size)
        data = self._file.read(self.most + 1 if size < 0 else min(size, self.most + 1))
        if len(data) > self.most:
            raise ValueError(f"a directory of more than {self.most:,} bytes")
        return data


def _read(file: IO[bytes], size: int, path: str | Path, field: str) -> NDArray[Any]:
    """Read an array from a stream of `size` bytes."""
    with _translated(path, field):
        shape, fortran, dtype, start = _header(file)
    if dtype.hasobject:
        raise invalid_file(path, f"dtype {dtype}", _EXPECTED, field)
    count = math.prod(shape)
    # An array without numbers may have an axis of any length, over which no program can loop.
    fits = dtype.itemsize > 0 and all(0 <= n <= max(count, _HEADER_BYTES) for n in shape)
    if not fits or start + count * dtype.itemsize != size:
        got = f"{size - start} bytes for shape {shape}, dtype {dtype}"
        raise invalid_file(path, got, _EXPECTED, field)
    check_size(path, size, "arrays", field)
    with _translated(path, field):
        # Memory that is not written to is not taken, so a file that ends early takes none.
        data = np.empty(count * dtype.itemsize, dtype=np.uint8)
        view, done = data.data, 0
        while part := file.read(min(_PIECE, len(view) - done)):
            view[done : done + len(part)] = part
            done += len(part)
        # At its end, zipfile compares the checksum.
        if done < len(view) or file.read(1):
            raise EOFError(f"{done} bytes for shape {shape}, dtype {dtype}")
        return data.view(dtype).reshape(shape, order="F" if fortran else "C")


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any], int]:
    """Return shape, order and dtype of an array, and the position at which its data begins."""
    # numpy reads a header as a Python literal; its own limit counts characters.
    start = io.BytesIO(file.read(12))
    version = np.lib.format.read_magic(start)
    length = int.from_bytes(start.read(2 if version == (1, 0) else 4), "little")
    # Version 3 is for records whose fields have names beyond Latin-1.
    if not 0 < length <= _HEADER_BYTES or version not in ((1, 0), (2, 0)):
        raise ValueError(f"a header of {length} bytes, version {version}")
    start.seek(0, io.SEEK_END)
    begin = 8 + (2 if version == (1, 0) else 4) + length
    start.write(file.read(begin - 12))
    start.seek(8)
    numpy = np.lib.format
    reader = numpy.read_array_header_1_0 if version == (1, 0) else numpy.read_array_header_2_0
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # that of odd literals, and of headers of Python 2
        shape, fortran, dtype = reader(start, max_header_size=_HEADER_BYTES)
    return shape, fortran, dtype, begin


@contextmanager
def _translated(path: str | Path, field: str) -> Iterator[None]:
    """Turn any error of numpy and zipfile about damaged content into one that names the file."""
    try:
        yield
    except Exception as error:
        _raise_of_disk(error)
        raise invalid_file(path, _words(error), _EXPECTED, field) from error


def _raise_of_disk(error: Exception) -> None:
    """Raise an error of the disk as it is, since the file may be good."""
    if isinstance(error, OSError) and error.errno == errno.EIO:
        raise error


def _words(error: Exception) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
