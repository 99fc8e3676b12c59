"""Checks of the steps that a latency model predicts."""

from __future__ import annotations

from functools import partial

from numpy.typing import ArrayLike

from moe_costmodel._arrays import Array
from moe_costmodel._checks import array_of, check_nonnegative, first_where, invalid, shape_of
from moe_costmodel.shapes import LayerShape

__all__ = ["check_copies", "check_counts", "check_numbers"]


def check_counts(owner: str, shape: LayerShape, counts: ArrayLike) -> Array:
    """Return tokens of each expert as an array, (..., n_local), finite and not negative."""
    array = check_numbers(owner, "counts", counts)
    if array.ndim == 0 or array.shape[-1] != shape.n_local:
        raise invalid(owner, "counts", array.shape, f"of shape (..., {shape.n_local})")
    return array


def check_copies(
    owner: str,
    shape: LayerShape,
    misses: ArrayLike,
    capacity: ArrayLike | None,
    overlapped: ArrayLike,
) -> None:
    """Raise unless a step can have these misses, slots of its buffer, and overlapped seconds."""
    missed = check_numbers(owner, "misses", misses)
    if wrong := first_where(missed, missed > shape.n_local):
        expected = f"at most the {shape.n_local} experts of the device"
        raise invalid(owner, "misses", wrong, expected)
    check_numbers(owner, "overlapped", overlapped)
    if capacity is not None:
        slots = check_numbers(owner, "capacity", capacity)
        if wrong := first_where(slots, slots < 1):
            raise invalid(owner, "capacity", wrong, "at least 1")


def check_numbers(owner: str, name: str, value: ArrayLike) -> Array:
    """Return numbers as an array; they must be finite and not negative."""
    array = array_of(owner, name, value)
    if array.dtype.kind not in "buif" and array.size:
        raise invalid(owner, name, shape_of(array), "an array of numbers")
    check_nonnegative(array, partial(invalid, owner, name))
    return array
