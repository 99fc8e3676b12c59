"""Types of processing elements: how many, how much power, and where they may sit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Sized
from dataclasses import dataclass, fields

import numpy as np

from problems._checks import check_int, check_ints, check_real, require, setting_error
from problems.noc.chip.files import check_fields
from problems.noc.chip.tables import FAR

__all__ = ["LARGEST", "PEType", "pe_types_of"]

LARGEST = 1e50
"""Largest setting of a platform that is no integer, so that metrics are finite."""
LONGEST_NAME = 100


@dataclass(frozen=True, kw_only=True)
class PEType:
    """A type of processing element (PE).

    Parameters
    ----------
    name : str
        Such as "CPU".
    count : int
        Number of PEs on the chip. Ids run through the types in the order of the platform.
    power : float or sequence of float
        Watts of each PE of the type, one number for all or one per PE.
    allowed_tiles : sequence of int, optional
        Tiles where a PE of the type may sit; everywhere by default.

    Examples
    --------
    >>> from problems.noc import PEType
    >>> PEType(name="CPU", count=8, power=4.0).count
    8
    """

    name: str
    count: int
    power: tuple[float, ...]
    allowed_tiles: tuple[int, ...] | None = None

    def __init__(
        self,
        *,
        name: str,
        count: int,
        power: float | Sequence[float],
        allowed_tiles: Sequence[int] | None = None,
    ) -> None:
        fits = isinstance(name, str) and 1 <= len(name) <= LONGEST_NAME and name.isprintable()
        require("PEType", "name", name, fits, f"1 to {LONGEST_NAME} printable characters")
        owner = f"PEType {name}"
        count = check_int(owner, "count", count, 1, FAR)
        values: Sequence[object] = [power] * count
        if isinstance(power, Sequence) and not isinstance(power, str):
            values = power
        elif isinstance(power, np.ndarray):
            values = power if power.ndim > 0 else [power.item()] * count
        expected = f"one number for all or one for each of {count} PEs"
        require(owner, "power", power, len(values) == count, expected)
        powers = tuple(check_real(owner, "power", watts, 0.0, LARGEST) for watts in values)
        tiles = None
        if allowed_tiles is not None:
            # No platform has more tiles.
            short = not isinstance(allowed_tiles, Sized) or len(allowed_tiles) <= FAR
            require(owner, "allowed_tiles", allowed_tiles, short, f"at most {FAR} tiles")
            tiles = tuple(sorted(set(check_ints(owner, "allowed_tiles", allowed_tiles, 0))))
        vars(self).update(name=name, count=count, power=powers, allowed_tiles=tiles)


def pe_types_of(value: object) -> tuple[PEType, ...]:
    """Return the types of a platform from PETypes or plain data; ValueError for anything else.

    Plain data is a list of objects with the fields of PEType, or a mapping from name to the others.
    """
    entries = value
    if isinstance(value, Mapping):
        entries = [
            {"name": name, **entry} if isinstance(entry, Mapping) else entry
            for name, entry in value.items()
        ]
    known = {f.name for f in fields(PEType)}
    expected = "a sequence of PEType, or of objects with name, count, power, and allowed_tiles"
    if not isinstance(entries, Sequence) or isinstance(entries, str):
        raise setting_error("Platform", "pe_types", expected, value)
    require("Platform", "pe_types", value, len(entries) <= FAR, f"at most {FAR} types")
    for i, entry in enumerate(entries):
        if isinstance(entry, Mapping):
            check_fields(
                f"PE type (entry {i} of 'pe_types')", entry, {"name", "count", "power"}, known
            )
        else:
            expected = "a PEType, or an object with name, count, power, and allowed_tiles"
            require("Platform", f"pe_types[{i}]", entry, isinstance(entry, PEType), expected)
    return tuple(k if isinstance(k, PEType) else PEType(**k) for k in entries)
