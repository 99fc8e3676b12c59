"""Checks of a trace's fields; an error names the trace, the field, and the entry."""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import ArrayLike, NDArray

from moe_costmodel._arrays import Array, Floats, Ints
from moe_costmodel._checks import check_nonnegative, first_where, invalid_field, shape_of

__all__ = [
    "MAX_EXPERTS",
    "check_ids",
    "checked_counts",
    "checked_layers",
    "checked_lengths",
    "checked_weights",
]

# Far above any model; a damaged file that claims more would ask for terabytes of counts.
MAX_EXPERTS = 65_536


def check_ids(ids: Array, n_experts: int, source: str) -> None:
    """Raise unless ids (tokens, layers, k) are integers that name distinct experts of a layer."""
    invalid = partial(invalid_field, source, "topk_ids")
    if ids.ndim != 3 or ids.dtype.kind not in "ui":
        expected = "integers of shape (tokens, layers, k), every layer alike"
        raise invalid(shape_of(ids), expected)
    if ids.size == 0:
        raise invalid(ids.shape, "of at least one token, layer and choice")
    if ids.shape[2] > n_experts:
        raise invalid(f"k = {ids.shape[2]}", f"at most n_experts = {n_experts} a token")
    if int(ids.min()) < 0 or int(ids.max()) >= n_experts:
        wrong = first_where(ids, (ids < 0) | (ids >= n_experts))
        raise invalid(wrong, f"in 0 .. {n_experts - 1}")
    ordered = np.sort(ids, axis=2)
    twice = (ordered[:, :, 1:] == ordered[:, :, :-1]).any(axis=2)
    if twice.any():
        token, layer = (int(i) for i in np.argwhere(twice)[0])
        got = f"{ids[token, layer].tolist()} at token {token}, layer {layer}"
        raise invalid(got, "distinct within a token")


def checked_weights(
    weights: ArrayLike, ids: NDArray[np.integer], source: str
) -> NDArray[np.floating]:
    """Return the weights, which must be finite floats from 0, one for each id."""
    array = np.asanyarray(weights)
    invalid = partial(invalid_field, source, "topk_weights")
    if array.shape != ids.shape or array.dtype.kind != "f":
        raise invalid(shape_of(array), f"floats of the shape of topk_ids, {ids.shape}")
    check_nonnegative(array, invalid)
    return array


def checked_counts(counts: ArrayLike, source: str) -> Floats:
    """Return counts of shape (steps, layers, experts), which must not be negative or all zero."""
    invalid = partial(invalid_field, source, "logical_count")
    try:
        array = np.asarray(counts)
        if array.dtype.kind not in "uif":
            raise ValueError(f"dtype {array.dtype}")
        array = array.astype(np.float64)
    except ValueError as error:
        raise invalid(error, "a rectangular array of numbers") from error
    if array.ndim == 2:
        array = array[None]
    if array.ndim != 3 or array.size == 0:
        raise invalid(shape_of(array), "of shape (steps, layers, experts)")
    check_nonnegative(array, invalid)
    if not array.any():
        raise invalid("zeros only", "above zero somewhere")
    return array


def checked_lengths(lengths: ArrayLike, n_tokens: int, source: str) -> Ints:
    """Return the lengths, which must be positive and sum to the number of tokens."""
    array = np.asarray(lengths)
    if array.ndim != 1 or array.dtype.kind not in "ui" or (array < 1).any():
        raise invalid_field(source, "sequence_lengths", array, "a list of positive integers")
    total = sum(array.tolist())
    if total != n_tokens:
        raise invalid_field(source, "sequence_lengths", total, f"{n_tokens} tokens in all")
    return array.astype(np.int64)


def checked_layers(layers: ArrayLike | None, n: int, source: str) -> Ints:
    """Return the layers' numbers, by default 0 .. n - 1; there must be n of them."""
    if layers is None:
        return np.arange(n)
    array = np.asarray(layers)
    if array.shape != (n,) or array.dtype.kind not in "ui":
        raise invalid_field(source, "layers", shape_of(array), f"{n} integers")
    return array.astype(np.int64)
