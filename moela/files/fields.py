"""Checks of values in JSON files; errors name the file, the field, and both values."""

from __future__ import annotations

import math
from pathlib import Path

from moela.files.guard import brief, invalid_file

__all__ = ["number_in", "object_in", "text_in", "whole_in"]

# Integers of files are those of numpy.
_SMALLEST, _LARGEST = -(2**63), 2**63 - 1


def number_in(
    path: str | Path, field: str, value: object, low: float = -math.inf, high: float = math.inf
) -> float:
    """Return the value of a field as a float if it is a finite number from low to high."""
    plain = isinstance(value, int | float) and not isinstance(value, bool)
    try:
        number = float(value) if plain else math.nan  # type: ignore[arg-type]
    except OverflowError:
        number = math.inf
    if not math.isfinite(number) or not low <= number <= high:
        span = _span(low, high, -math.inf, math.inf)
        raise invalid_file(path, brief(value), f"a finite number{span}", field)
    return number


def whole_in(
    path: str | Path, field: str, value: object, low: int = _SMALLEST, high: int = _LARGEST
) -> int:
    """Return the value of a field if it is an integer from low to high."""
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        span = _span(low, high, _SMALLEST, _LARGEST) or " of 64 bits"
        raise invalid_file(path, brief(value), f"an integer{span}", field)
    return value


def text_in(path: str | Path, field: str, value: object) -> str:
    """Return the value of a field if it is a text."""
    if not isinstance(value, str):
        raise invalid_file(path, brief(value), "a text", field)
    return value


def object_in(path: str | Path, field: str, value: object) -> dict[str, object]:
    """Return the value of a field if it is a JSON object."""
    if not isinstance(value, dict):
        raise invalid_file(path, brief(value), "a JSON object", field)
    return value


def _span(low: float, high: float, smallest: float, largest: float) -> str:
    least, most = (str(end) if isinstance(end, int) else f"{end:g}" for end in (low, high))
    if low > smallest and high < largest:
        return f" from {least} to {most}"
    return f" of at least {least}" if low > smallest else f" up to {most}" * (high < largest)
