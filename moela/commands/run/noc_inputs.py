"""Options of `moela run noc` as parameters of `NoC3D`: platform, objectives, constraints."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from moela._arrays import Floats
from moela.commands.traffic import with_technology

if TYPE_CHECKING:
    from problems.noc import Design, PhysicalFigures, Platform


def platform_of(name: str | None, technology: str | None = None) -> Platform | None:
    """Return the platform of a JSON file, or a preset by its name; None for None.

    A technology replaces that of the platform, by default that of the paper.
    """
    from problems.noc import Platform

    platform = _platform_of(name)
    if technology is None:
        return platform
    return with_technology(platform or Platform.paper_4x4x4(), technology)


def save_design(design: Design, traffic: Floats, path: Path) -> PhysicalFigures | None:
    """Write a design as JSON, with its figures in physical units if its platform has them.

    Parameters
    ----------
    design : Design
    traffic : float array [n_apps, n_tiles, n_tiles]
        Of several applications, the figures are those under the mean.
    path : Path

    Returns
    -------
    PhysicalFigures or None
    """
    if design.platform.technology is None:
        design.save(path)
        return None
    figures = design.physical(traffic.reshape(-1, *traffic.shape[-2:]).mean(axis=0))
    data = {**design.to_dict(), "physical": figures.to_dict()}
    path.write_text(json.dumps(data) + "\n", encoding="utf-8")
    return figures


def _platform_of(name: str | None) -> Platform | None:
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
