"""Checks of a trace's fields; an error names the trace, the field, and the entry."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
from numpy.typing import ArrayLike, NDArray

from moe_costmodel._arrays import Array, Bools, Floats, Ints
from moe_costmodel._checks import check_nonnegative, rectangular, shape_of
from moe_costmodel.shapes import MAX_EXPERTS
from moela.files.guard import invalid_file

__all__ = ["checked_counts", "checked_ids", "checked_layers", "checked_lengths", "checked_weights"]

_PART = 2**20  # values that are checked at once, so that a mapped file is not read into memory
_MOST_TOKENS = 2.0**53
_MOST_PAIRS = 4  # ids of a token that are compared in pairs; sorting is faster for more
_LAST_LAYER = 2**31 - 1


def _array_of(value: ArrayLike, invalid: Callable[[object, str], ValueError]) -> Array:
    """Return numbers as an array; a tensor may be on any device, and of bfloat16."""
    detach = getattr(value, "detach", None)
    if detach is not None:
        tensor = detach().cpu()
        # numpy has no bfloat16.
        value = tensor.float() if "bfloat16" in str(tensor.dtype) else tensor
    return rectangular(value, invalid)


def checked_ids(values: ArrayLike, n_experts: int, source: str) -> NDArray[np.integer]:
    """Return ids (tokens, layers, k): integers that name distinct experts of a layer."""
    invalid = partial(invalid_file, source, field="topk_ids")
    ids = _array_of(values, invalid)
    if ids.ndim != 3 or ids.dtype.kind not in "ui":
        expected = "integers of shape (tokens, layers, k), every layer alike"
        raise invalid(shape_of(ids), expected)
    if ids.size == 0:
        raise invalid(f"shape {ids.shape}", "of at least one token, layer and choice")
    if ids.shape[2] > n_experts:
        raise invalid(f"k = {ids.shape[2]}", f"at most n_experts = {n_experts} a token")
    for first, part in _parts(ids):
        if int(part.min()) < 0 or int(part.max()) >= n_experts:
            token, layer, choice = _first((part < 0) | (part >= n_experts))
            place = (first + token, layer, choice)
            raise invalid(f"{part[token, layer, choice]} at {place}", f"in 0 .. {n_experts - 1}")
        twice = _have_twice(part)
        if twice.any():
            token, layer = _first(twice)
            got = f"{part[token, layer].tolist()} at token {first + token}, layer {layer}"
            raise invalid(got, "distinct within a token")
    return ids


def _have_twice(ids: Array) -> Bools:
    """Return whether a token has an expert twice, (tokens, layers)."""
    k = ids.shape[2]
    if k > _MOST_PAIRS:
        ordered = np.sort(ids, axis=2)
        return np.asarray((ordered[:, :, 1:] == ordered[:, :, :-1]).any(axis=2))
    twice = np.zeros(ids.shape[:2], dtype=np.bool_)
    for i in range(k):
        for j in range(i):
            twice |= ids[:, :, i] == ids[:, :, j]
    return twice


def _parts(array: Array) -> Iterator[tuple[int, Array]]:
    """Yield runs of tokens and the number of their first one."""
    rows = max(1, _PART // max(1, array[:1].size))
    for first in range(0, len(array), rows):
        yield first, array[first : first + rows]


def _first(bad: Bools) -> tuple[int, ...]:
    """Return the place of the first bad entry."""
    return tuple(int(i) for i in np.unravel_index(int(bad.argmax()), bad.shape))


def checked_weights(
    weights: ArrayLike, ids: NDArray[np.integer], source: str
) -> NDArray[np.floating]:
    """Return the weights, which must be finite floats from 0, one for each id."""
    invalid = partial(invalid_file, source, field="topk_weights")
    array = _array_of(weights, invalid)
    if array.shape != ids.shape or array.dtype.kind != "f":
        raise invalid(shape_of(array), f"floats of the shape of topk_ids, {ids.shape}")
    for first, part in _parts(array):
        good = np.isfinite(part) & (part >= 0)
        if not good.all():
            token, layer, choice = _first(~good)
            got = f"{part[token, layer, choice]} at {(first + token, layer, choice)}"
            raise invalid(got, "finite and not negative")
    return array


def checked_counts(counts: ArrayLike, source: str) -> Floats:
    """Return counts of shape (steps, layers, experts), which must not be negative or all zero."""
    invalid = partial(invalid_file, source, field="logical_count")
    array = np.asarray(_array_of(counts, invalid))
    if array.dtype.kind not in "uif":
        raise invalid(f"dtype {array.dtype}", "a rectangular array of numbers")
    array = array.astype(np.float64)
    if array.ndim == 2:
        array = array[None]
    if array.ndim != 3 or array.size == 0:
        raise invalid(shape_of(array), "of shape (steps, layers, experts)")
    if array.shape[2] > MAX_EXPERTS:
        raise invalid(shape_of(array), f"of at most {MAX_EXPERTS} experts")
    check_nonnegative(array, invalid)
    if array.max() > _MOST_TOKENS:
        raise invalid(
            f"{array.max():g}", "at most 2**53 for each expert, beyond which counts round"
        )
    if not array.any():
        raise invalid("zeros only", "above zero somewhere")
    return array


def checked_lengths(lengths: ArrayLike, n_tokens: int, source: str) -> Ints:
    """Return the lengths, which must be positive and sum to the number of tokens."""
    invalid = partial(invalid_file, source, field="sequence_lengths")
    array = np.asarray(_array_of(lengths, invalid))
    if array.ndim != 1 or array.dtype.kind not in "ui" or (array < 1).any():
        # Not the array itself: numpy takes seconds to print one of many dimensions.
        raise invalid(shape_of(array), "a list of positive integers")
    # Within these bounds the sum cannot overflow.
    too_long = array[array > n_tokens]
    if len(array) > n_tokens or len(too_long):
        got = f"a length of {too_long[0]}" if len(too_long) else f"{len(array)} lengths"
        raise invalid(got, f"{n_tokens} tokens in all")
    total = int(array.sum(dtype=np.int64))
    if total != n_tokens:
        raise invalid(f"{total}", f"{n_tokens} tokens in all")
    return array.astype(np.int64)


def checked_layers(layers: ArrayLike | None, n: int, source: str) -> Ints:
    """Return the layers' n ascending numbers, by default 0 .. n - 1."""
    if layers is None:
        return np.arange(n)
    invalid = partial(invalid_file, source, field="layers")
    array = np.asarray(_array_of(layers, invalid))
    if array.shape != (n,) or array.dtype.kind not in "ui":
        raise invalid(shape_of(array), f"{n} integers")
    if (array < 0).any() or (array > _LAST_LAYER).any():
        raise invalid(f"{array.min()} .. {array.max()}", f"in 0 .. {_LAST_LAYER}")
    falls = array[1:] <= array[:-1]
    if falls.any():
        i = int(falls.argmax())
        expected = "ascending, each layer once (sort the layers of ids, weights and counts alike)"
        raise invalid(f"{array[i + 1]} after {array[i]}", expected)
    return array.astype(np.int64)
