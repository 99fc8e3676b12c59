"""The rules of a legal design; a broken rule is named with its place."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from moela.files.guard import brief
from problems._arrays import Ints
from problems.noc.chip.layout import components

if TYPE_CHECKING:
    from problems.noc.chip.platform import Platform

__all__ = ["accepted", "broken_row", "broken_rule", "whole_numbers"]

Result = TypeVar("Result")


def accepted(result: Result | None, check: Callable[[Ints], None], *tables: Ints) -> Result:
    """Return what a kernel found for tables of rows, or raise the error of a row that it refused.

    The result is None if it refused one; ``check`` raises the error.
    """
    if result is None:
        for rows in tables:
            check(rows)
        raise AssertionError("The kernel refused rows that break no rule.")
    return result


def whole_numbers(values: ArrayLike, name: str) -> Ints:
    """Return a new int64 array; a ValueError names the first entry that is not an integer."""
    try:
        array = np.asarray(values)
        if array.dtype.kind == "O":
            array = array.astype(np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{name} must hold integers. Got {error} instead.") from None
    if array.dtype.kind not in "iuf":
        raise ValueError(f"{name} must hold integers. Got values of type {array.dtype} instead.")
    if array.dtype.kind in "uf":
        wrong = np.argwhere(~(np.abs(array) < 2.0**53) | (array != np.rint(array)))
        if len(wrong):
            place = tuple(wrong[0].tolist())
            raise ValueError(
                f"{name} must hold integers. Got {array[place]} at index {list(place)} instead."
            )
    return np.array(array, dtype=np.int64, order="C")


def broken_rule(platform: Platform, placement: Ints, pairs: Ints) -> str | None:
    """Return the first rule that a design breaks, and the place; None for a legal design.

    ``placement`` [n_tiles] holds the PE id on each tile, ``pairs`` [n, 2] the tile pairs of the
    links that the design chooses, in any order and direction.
    """
    return _broken_placement(platform, placement) or _broken_links(platform, pairs)


def broken_row(platform: Platform, row: Ints) -> str | None:
    """Return the first rule that a row of X [n_var] breaks, and the place; None if it is legal."""
    n = platform.n_tiles
    low, high = platform.n_planar_candidates, len(platform.candidates)
    for column, link in enumerate(row[n:].tolist(), start=n):
        planar = column < n + platform.n_planar_links
        first, last = (0, low - 1) if planar else (low, high - 1)
        if not first <= link <= last:
            return (
                f"links must be indices from {first} to {last} in platform.candidates. "
                f"Got {link} in column {column}"
            )
    return broken_rule(platform, row[:n], platform.candidates[row[n:]])


def _broken_placement(platform: Platform, placement: Ints) -> str | None:
    n = platform.n_tiles
    if placement.shape != (n,):
        return f"'placement' must hold one PE id for each of {n} tiles. Got shape {placement.shape}"
    outside = np.flatnonzero((placement < 0) | (placement >= n))
    if outside.size:
        got = f"{placement[outside[0]]} on tile {outside[0]}"
        return f"'placement' must hold PE ids from 0 to {n - 1}. Got {got}"
    counts = np.bincount(placement, minlength=n)
    if counts.max() > 1:
        pe = int(counts.argmax())
        got = f"PE {pe} on tiles {brief(np.flatnonzero(placement == pe).tolist())}"
        absent = brief(np.flatnonzero(counts == 0).tolist())
        return f"'placement' must place each PE once. Got {got} and no tile for PEs {absent}"
    kinds = platform.pe_type[placement]
    wrong = np.flatnonzero(~platform.allowed[kinds, np.arange(n)])
    if wrong.size:
        tile = wrong[0]
        kind = platform.pe_types[kinds[tile]]
        tiles = brief(list(kind.allowed_tiles or ()))
        return (
            f"'placement' must keep each {kind.name} on a tile allowed for it ({tiles}). "
            f"Got {kind.name} {placement[tile]} on tile {tile}"
        )
    return None


def _broken_links(platform: Platform, pairs: Ints) -> str | None:
    n, wanted = platform.n_tiles, platform.n_chosen
    kind = "planar links"
    if platform.n_vertical_links is not None:
        kind = f"links, {platform.n_planar_links} planar and {platform.n_vertical_links} vertical"
    if pairs.ndim != 2 or pairs.shape[1] != 2:
        return f"'links' must hold tile pairs, shape [{wanted}, 2]. Got shape {pairs.shape}"
    if len(pairs) != wanted:
        return f"'links' must hold {wanted} {kind}. Got {len(pairs)}"
    outside = np.flatnonzero(((pairs < 0) | (pairs >= n)).any(axis=1))
    if outside.size:
        got = f"{tuple(pairs[outside[0]].tolist())} as link {outside[0]}"
        return f"'links' must join tiles from 0 to {n - 1}. Got {got}"
    chosen = platform.candidate_index(pairs)
    wrong = np.flatnonzero(chosen < 0)
    if wrong.size:
        got = f"{tuple(pairs[wrong[0]].tolist())} as link {wrong[0]}"
        limit = f" at most {platform.max_length} pitches apart" if platform.max_length else ""
        above = "" if platform.n_vertical_links is None else ", or a pair of vertical_links"
        return f"'links' must join two different tiles of one layer{limit}{above}. Got {got}"
    _, index, counts = np.unique(chosen, return_index=True, return_counts=True)
    if counts.max(initial=0) > 1:
        pair = tuple(pairs[index[counts > 1][0]].tolist())
        return f"'links' must hold each link once. Got {pair} {int(counts.max())} times"
    n_vertical = int((chosen >= platform.n_planar_candidates).sum())
    if n_vertical != (platform.n_vertical_links or 0):
        return f"'links' must hold {wanted} {kind}. Got {n_vertical} vertical ones"
    every = np.concatenate((pairs, platform.vertical_array))
    degree = np.bincount(every.ravel(), minlength=n)
    if degree.max() > platform.max_degree:
        tile = int(degree.argmax())
        return (
            f"'links' must leave every router at most {platform.max_degree} links, the vertical "
            f"ones included. Got {degree[tile]} at tile {tile}"
        )
    parts = int(components(n, every).max()) + 1
    return None if parts == 1 else f"'links' must connect all tiles. Got {parts} unconnected parts"
