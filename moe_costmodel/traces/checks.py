"""Checks of a trace's fields; an error names trace and field, what was expected and what came."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "MAX_EXPERTS",
    "check_ids",
    "checked_layers",
    "checked_lengths",
    "checked_weights",
    "fault",
]

# Far above any model; a damaged file that claims more would ask for terabytes of counts.
MAX_EXPERTS = 65_536


def fault(source: str, field: str, expected: str, got: object) -> ValueError:
    """Return the one form of error about a field of a trace."""
    return ValueError(f"{source}: field '{field}' must be {expected}. Got {got} instead.")


def check_ids(ids: NDArray[Any], n_experts: int, source: str) -> None:
    """Complain about ids that are no distinct experts, (tokens, layers, k)."""
    if ids.ndim != 3 or ids.dtype.kind not in "ui":
        raise fault(
            source,
            "topk_ids",
            "integers of shape (tokens, layers, k), every layer alike",
            f"shape {ids.shape}, dtype {ids.dtype}",
        )
    if ids.size == 0:
        raise fault(source, "topk_ids", "of at least one token, layer and choice", ids.shape)
    if ids.shape[2] > n_experts:
        raise fault(
            source, "topk_ids", f"at most n_experts = {n_experts} a token", f"k = {ids.shape[2]}"
        )
    if int(ids.min()) < 0 or int(ids.max()) >= n_experts:
        place = tuple(int(i) for i in np.argwhere((ids < 0) | (ids >= n_experts))[0])
        raise fault(source, "topk_ids", f"in 0 .. {n_experts - 1}", f"{ids[place]} at {place}")
    if ids.shape[2] > 1:
        ordered = np.sort(ids, axis=2)
        twice = (ordered[:, :, 1:] == ordered[:, :, :-1]).any(axis=2)
        if twice.any():
            token, layer = (int(i) for i in np.argwhere(twice)[0])
            raise fault(
                source,
                "topk_ids",
                "distinct within a token",
                f"{ids[token, layer].tolist()} at token {token}, layer {layer}",
            )


def checked_weights(
    weights: ArrayLike, ids: NDArray[np.integer], source: str
) -> NDArray[np.floating]:
    """Return the weights, or complain that they are not finite floats from 0, one an id."""
    array = np.asanyarray(weights)
    if array.shape != ids.shape or array.dtype.kind != "f":
        raise fault(
            source,
            "topk_weights",
            f"floats of the shape of topk_ids, {ids.shape}",
            f"shape {array.shape}, dtype {array.dtype}",
        )
    good = np.isfinite(array) & (array >= 0)
    if not good.all():
        place = tuple(int(i) for i in np.argwhere(~good)[0])
        raise fault(source, "topk_weights", "finite and not negative", f"{array[place]} at {place}")
    return array


def checked_lengths(lengths: ArrayLike, n_tokens: int, source: str) -> NDArray[np.int64]:
    """Return the lengths, or complain that they are not positive or sum to something else."""
    array = np.asarray(lengths)
    if array.ndim != 1 or array.dtype.kind not in "ui" or (array < 1).any():
        raise fault(source, "sequence_lengths", "a list of positive integers", array)
    total = sum(array.tolist())
    if total != n_tokens:
        raise fault(source, "sequence_lengths", f"{n_tokens} tokens in all", total)
    return array.astype(np.int64)


def checked_layers(layers: ArrayLike | None, n: int, source: str) -> NDArray[np.int64]:
    """Return the layers' numbers, by default 0 .. n - 1, or complain."""
    if layers is None:
        return np.arange(n)
    array = np.asarray(layers)
    if array.shape != (n,) or array.dtype.kind not in "ui":
        raise fault(source, "layers", f"{n} integers", f"shape {array.shape}, {array.dtype}")
    return array.astype(np.int64)
