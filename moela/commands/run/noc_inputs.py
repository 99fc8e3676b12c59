"""Options of `moela run noc` as parameters of `NoC3D`: platform, objectives, constraints."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from problems.noc import Platform


def platform_of(name: str | None) -> Platform | None:
    """Return the platform of a JSON file, or a preset by its name; None for None."""
    from problems.noc import Platform
    from problems.noc.chip.presets import PRESETS

    if name is None:
        return None
    if name in PRESETS:
        return Platform.preset(name)
    if not Path(name).exists():
        raise ValueError(
            f"--platform must be a JSON file or one of {sorted(PRESETS)}. Got {name!r} instead."
        )
    return Platform.load(name)


def objectives_of(words: Sequence[str]) -> int | list[str]:
    """Return a number of objectives, or their names."""
    if len(words) == 1 and re.fullmatch(r"-?\d+", words[0]):
        return int(words[0])
    return list(words)


def constraints_of(words: Sequence[str] | None) -> dict[str, float]:
    """Return limits by metric; a ValueError names a constraint that can't be read."""
    limits = {}
    for word in words or ():
        match = re.fullmatch(r"\s*([a-z_]+)\s*<=\s*([-+.0-9eE]+)\s*", word)
        try:
            limits[match[1]] = float(match[2])  # type: ignore[index]
        except (TypeError, ValueError):
            raise ValueError(
                f"--constraint must be like 'temperature<=85'. Got {word!r} instead."
            ) from None
    return limits
