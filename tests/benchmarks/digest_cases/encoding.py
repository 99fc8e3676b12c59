"""Digests of values, and their floats, so that rounding can be told from another result."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np


class Encoding:
    """Digests and floats of numbers, arrays, texts, and lists and dictionaries of these.

    Integers and floats are hashed as 64-bit numbers, float32 as such. Arrays of objects, such as
    designs of mixed variables, are hashed as lists.

    Attributes
    ----------
    exact, form : str
        Digest of everything, and of everything except the values of floats.
    floats : list of array
        The floats, in the order of the value.

    Raises
    ------
    TypeError
        If a value is of another type, such as an object of the library.
    """

    def __init__(self, value: Any) -> None:
        self._exact, self._form = (hashlib.blake2b(digest_size=16) for _ in range(2))
        self.floats: list[np.ndarray] = []
        self._feed(value)
        self.exact, self.form = self._exact.hexdigest(), self._form.hexdigest()

    def _feed(self, value: Any) -> None:
        if value is None or isinstance(value, str):
            self._update(b"text" + json.dumps(value).encode())
        elif isinstance(value, dict):
            self._update(f"dict {len(value)}".encode())
            for key in sorted(value):
                self._feed(key)
                self._feed(value[key])
        elif isinstance(value, list | tuple):
            self._update(f"list {len(value)}".encode())
            for item in value:
                self._feed(item)
        else:
            self._feed_array(np.asarray(value))

    def _feed_array(self, array: np.ndarray) -> None:
        if array.dtype == object:
            if array.ndim == 0:
                raise TypeError(f"A digest is of numbers and texts. Got {array!r} instead.")
            self._feed(list(array))
        elif array.dtype.kind == "U":
            self._feed(array.tolist())
        else:
            wide = {"b": "|b1", "i": "<i8", "u": "<u8", "f": "<f8"}[array.dtype.kind]
            wide = "<f4" if array.dtype == np.float32 else wide
            self._update(f"{wide} {array.shape}".encode())
            data = np.ascontiguousarray(array, dtype=wide)
            self._exact.update(data.tobytes())
            if array.dtype.kind == "f":
                self.floats.append(data.reshape(array.shape).astype(float))
            else:
                self._form.update(data.tobytes())

    def _update(self, data: bytes) -> None:
        self._exact.update(data)
        self._form.update(data)

    @property
    def flat(self) -> np.ndarray:
        """All floats in one array."""
        return np.concatenate([np.empty(0), *(array.ravel() for array in self.floats)])


def distance(before: np.ndarray, after: Encoding) -> float:
    """Return the largest relative difference of floats; infinity if a tie or an order changed.

    Ties are those within a column, such as an objective of several designs, or within a vector.
    """
    sizes = np.cumsum([array.size for array in after.floats])
    largest = 0.0
    for old, new in zip(np.split(before, sizes), after.floats, strict=False):
        size = np.maximum(np.abs(old), np.abs(new.ravel()))
        with np.errstate(invalid="ignore", divide="ignore"):
            apart = np.abs(old - new.ravel()) / size
        same = (old == new.ravel()) | (np.isnan(old) & np.isnan(new.ravel()))
        largest = max(largest, np.where(same, 0.0, np.nan_to_num(apart, nan=np.inf)).max(initial=0))
        if new.ndim and new.size:
            columns = (a.reshape(-1, 1 if new.ndim == 1 else new.shape[-1]).T for a in (old, new))
            for ours, theirs in zip(*columns, strict=True):
                places = (np.unique(column, return_inverse=True)[1] for column in (ours, theirs))
                if not np.array_equal(*places):
                    return np.inf
    return float(largest)


def numbers_of(rows: Any, *, without: tuple[str, ...] = ()) -> list[list[Any]]:
    """Return the numbers of a table by row, except in columns whose name has one of the words."""
    return [
        [
            value
            for name, value in row.items()
            if not isinstance(value, str) and not any(word in name for word in without)
        ]
        for row in rows
    ]
