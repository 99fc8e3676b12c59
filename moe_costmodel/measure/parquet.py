"""Columns of a parquet file, whose pages are measured before any of them is decompressed."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from moe_costmodel._arrays import Ints
from moela.files.extras import needed_by
from moela.files.guard import check_count, check_size, invalid_file, open_file

if TYPE_CHECKING:
    from moe_costmodel._arrays import Array

__all__ = ["Texts", "column_names", "read_columns"]

_EXPECTED = "a complete parquet file"
_LONGEST_TEXT = 200
_DEEPEST = 8  # structures within a page's header
_PREFIXED = (
    7  # DELTA_BYTE_ARRAY: a text is a part of the one before it, so a page may hold millions
)


class Texts(NamedTuple):
    """A column of text: its different values in ascending order, and the index of each row's."""

    values: list[str]
    codes: Ints


def column_names(path: str | Path) -> list[str]:
    """Return the names of the columns of a parquet file."""
    with needed_by("A file of parquet"):
        import pyarrow.parquet as pq

    with open_file(path) as opened:
        check_size(path, os.fstat(opened.fileno()).st_size, "arrays")
        try:
            return list(pq.ParquetFile(opened).schema_arrow.names)
        except _errors() as error:
            raise invalid_file(path, str(error), _EXPECTED) from error


def read_columns(
    path: str | Path, numbers: Sequence[str], texts: Sequence[str]
) -> tuple[dict[str, Array], dict[str, Texts]]:
    """Return columns of numbers and of text; a ValueError names the file and the column.

    A few hundred bytes of parquet can hold millions of rows, and pages of gigabytes.
    """
    with needed_by("A file of parquet"):
        import pyarrow as pa
        import pyarrow.parquet as pq

    with open_file(path) as opened:
        check_size(path, size := os.fstat(opened.fileno()).st_size, "arrays")
        data = opened.read(size)
    names = [*numbers, *texts]
    try:
        file = pq.ParquetFile(pa.BufferReader(data))
        found, kinds = file.schema_arrow.names, file.schema_arrow.types
        n_rows, chunks = file.metadata.num_rows, list(_chunks(file.metadata, names))
    except _errors() as error:
        raise invalid_file(path, str(error), _EXPECTED) from error
    for name in names:
        if found.count(name) != 1:
            got = f"{found.count(name)} of this name among {', '.join(map(repr, found))}"
            raise invalid_file(path, got, "present once", name)
        kind = kinds[found.index(name)]
        if pa.types.is_dictionary(kind):  # pandas writes categories so
            kind = kind.value_type
        is_text = pa.types.is_string(kind) or pa.types.is_large_string(kind)
        is_number = pa.types.is_integer(kind) or pa.types.is_floating(kind)
        if not (is_text if name in texts else is_number):
            expected = "text" if name in texts else "numbers"
            raise invalid_file(path, f"type {kind}", expected, name)
    check_count(path, n_rows * len(names), "cells")
    _check_pages(path, data, chunks)
    try:
        # As a dictionary, a long text that occurs in many rows is kept once.
        file = pq.ParquetFile(pa.BufferReader(data), read_dictionary=list(texts))
        table = file.read(columns=names, use_threads=False).unify_dictionaries()
        # Reading does not check that text is UTF-8 and that categories exist.
        table.validate(full=True)
    except _errors() as error:
        raise invalid_file(path, str(error), _EXPECTED) from error
    for name in names:
        if table[name].null_count:
            got = f"{table[name].null_count} missing values"
            raise invalid_file(path, got, "without gaps", name)
    return (
        {name: _numbers(table[name]) for name in numbers},
        {name: _texts(path, name, table[name]) for name in texts},
    )


def _errors() -> tuple[type[Exception], ...]:
    import pyarrow as pa

    return (pa.ArrowException, OSError, ValueError, KeyError, IndexError, OverflowError)


def _numbers(column: Any) -> Array:
    kind = column.type
    if hasattr(kind, "value_type"):
        column = column.cast(kind.value_type)
    return np.asarray(column.to_numpy())


def _texts(path: str | Path, name: str, column: Any) -> Texts:
    if not hasattr(column.type, "value_type"):
        column = column.dictionary_encode()
    column = column.combine_chunks()
    chunk = column.chunk(0) if hasattr(column, "chunks") else column
    values: list[str] = chunk.dictionary.to_pylist()
    codes = chunk.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    used, codes = np.unique(codes, return_inverse=True)
    values = [values[i] for i in used]
    if longest := max((v for v in values if len(v) > _LONGEST_TEXT), default=""):
        got = f"{len(longest)} characters"
        raise invalid_file(path, got, f"at most {_LONGEST_TEXT} characters long", name)
    ordered = sorted(set(values))
    place = {value: i for i, value in enumerate(ordered)}
    return Texts(ordered, np.array([place[v] for v in values], dtype=np.int64)[codes.ravel()])


def _chunks(metadata: Any, names: Sequence[str]) -> Iterator[tuple[str, int, int]]:
    """Yield the name of each part of some columns, and where its pages begin and end."""
    for group in range(metadata.num_row_groups):
        for number in range(metadata.num_columns):
            column = metadata.row_group(group).column(number)
            if column.path_in_schema in names:
                at = column.data_page_offset
                if column.has_dictionary_page and 0 < (column.dictionary_page_offset or 0) < at:
                    at = column.dictionary_page_offset
                yield column.path_in_schema, at, at + column.total_compressed_size


def _check_pages(path: str | Path, data: bytes, chunks: Sequence[tuple[str, int, int]]) -> None:
    """Raise ValueError if the pages of some columns take too much memory together.

    The sizes in the file's metadata may be wrong; pages are read by those in their own headers.
    """
    total = 0
    for name, at, end in chunks:
        while at < end:
            try:
                header, at = _read_struct(data, at if at >= 0 else len(data), _DEEPEST)
                size, packed = int(header[2]), int(header[3])
                # Both versions of the format, in which pages of data have other headers.
                encodings = [dict(header.get(n, {})).get(field) for n, field in ((5, 2), (8, 4))]
            except (IndexError, KeyError, ValueError, TypeError) as error:
                got = f"a page without a header ({type(error).__name__})"
                raise invalid_file(path, got, _EXPECTED, name) from error
            if not 0 <= packed <= len(data) - at or size < 0 or _PREFIXED in encodings:
                got = f"a page of {packed} bytes in encoding {encodings}"
                expected = f"{_EXPECTED}, in plain or dictionary encoding"
                raise invalid_file(path, got, expected, name)
            total += size
            check_size(path, total, "arrays", name)
            at += packed


def _read_struct(data: bytes, at: int, depth: int) -> tuple[dict[int, Any], int]:
    """Return the fields of a structure in Thrift's compact protocol, and where it ends."""
    if depth == 0:
        raise ValueError("nested too deeply")
    found: dict[int, Any] = {}
    field = 0
    while kind := data[at]:
        at += 1
        step, kind = kind >> 4, kind & 15
        if step:
            field += step
        else:
            field, at = _read_integer(data, at)
        found[field], at = _read_value(data, at, kind, depth)
    return found, at + 1


def _read_value(data: bytes, at: int, kind: int, depth: int) -> tuple[Any, int]:
    if kind in (1, 2):  # a truth value is its type
        return kind == 1, at
    if kind == 3:
        return data[at], at + 1
    if kind in (4, 5, 6):
        return _read_integer(data, at)
    if kind == 7:
        return None, at + 8
    if kind == 8:
        length, at = _read_varint(data, at)
        return None, at + length
    if kind == 12:
        return _read_struct(data, at, depth - 1)
    raise ValueError(f"a value of kind {kind}")  # lists and maps, which no page's header has


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while shift < 64:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7
    raise ValueError("an integer of more than 64 bits")


def _read_integer(data: bytes, at: int) -> tuple[int, int]:
    value, at = _read_varint(data, at)
    return (value >> 1) ^ -(value & 1), at
