"""One kind of processing element: how many, how hot, and where they may sit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from problems.noc.chip.checks import integer, integers, number, require

__all__ = ["PEType", "pe_types_of"]


@dataclass(frozen=True, kw_only=True)
class PEType:
    """One kind of processing element (PE).

    Parameters
    ----------
    name : str
        Such as "CPU".
    count : int
        How many the chip has; ids are given type by type, in the order of the platform's types.
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
        require(isinstance(name, str) and name != "", "name", "PEType", "a non-empty string", name)
        owner = f"PEType {name}"
        count = integer(count, "count", owner, 1)
        several = isinstance(power, (Sequence, np.ndarray)) and not isinstance(power, str)
        powers = tuple(
            number(watts, "power", owner)
            for watts in (power if several else [power] * count)  # type: ignore[union-attr]
        )
        require(
            len(powers) == count,
            "power",
            owner,
            f"one number for all or one for each of {count} PEs",
            power,
        )
        tiles = None
        if allowed_tiles is not None:
            tiles = tuple(sorted(set(integers(allowed_tiles, "allowed_tiles", owner, 0))))
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "count", count)
        object.__setattr__(self, "power", powers)
        object.__setattr__(self, "allowed_tiles", tiles)


def pe_types_of(value: Any) -> tuple[PEType, ...]:
    """Return the types of a platform, from PETypes or from plain data.

    Parameters
    ----------
    value : sequence of PEType, list of objects, or mapping from name to object
        An object has count, power and, if need be, allowed_tiles; in a list also its name.

    Raises
    ------
    ValueError
        It is none of these.
    """
    if isinstance(value, Mapping):
        value = [
            {"name": name, **entry} if isinstance(entry, Mapping) else entry
            for name, entry in value.items()
        ]
    known = {f.name for f in fields(PEType)}
    plain = isinstance(value, Sequence) and not isinstance(value, str)
    require(
        plain
        and all(
            isinstance(k, PEType)
            or (isinstance(k, Mapping) and {"name", "count", "power"} <= set(k) <= known)
            for k in value
        ),
        "pe_types",
        "Platform",
        "a sequence of PEType, or objects with name, count, power and, if need be, allowed_tiles",
        value,
    )
    return tuple(k if isinstance(k, PEType) else PEType(**k) for k in value)
