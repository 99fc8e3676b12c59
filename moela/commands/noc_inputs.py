"""What the commands about networks-on-chip share: reading platforms, traffic and constraints."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def platform_of(name: str | None) -> Any:
    """Return the platform of a JSON file, or a ready-made one by its name; None for no name."""
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
    """Return objectives as NoC3D takes them: a number, or names."""
    if len(words) == 1 and re.fullmatch(r"-?\d+", words[0]):
        return int(words[0])
    return list(words)


def constraints_of(words: Sequence[str] | None) -> dict[str, float]:
    """Return constraints as NoC3D takes them; a ValueError names one that cannot be read."""
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


def change_lines(beside: dict[str, tuple[float, float, float]]) -> list[str]:
    """Return a table of a design beside the mesh, a line an objective."""
    width = max(map(len, beside))
    lines = [f"{'':{width}}  {'design':>12}  {'mesh':>12}  {'change':>8}"]
    for name, (ours, mesh, change) in beside.items():
        lines.append(f"{name:{width}}  {ours:12.5g}  {mesh:12.5g}  {change:+7.1f}%")
    return lines
