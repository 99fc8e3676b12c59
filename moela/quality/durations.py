"""Durations as users write them."""

from __future__ import annotations

import math
import re
from datetime import timedelta
from typing import TypeAlias

import numpy as np

from moela.quality.words import of_kind

Duration: TypeAlias = "float | str | timedelta"
"""Seconds, a timedelta, or a text such as "90 min"."""

_WORDS = {
    1.0: ("s", "sec", "secs", "second", "seconds"),
    60.0: ("m", "min", "mins", "minute", "minutes"),
    3600.0: ("h", "hr", "hrs", "hour", "hours"),
    86400.0: ("d", "day", "days"),
}
_UNITS = {word: factor for factor, words in _WORDS.items() for word in words}
_PART = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([^\W\d_]+)\.?\s*,?")


def seconds(name: str, given: object, owner: str = "") -> float | None:
    """Return a duration in seconds: a number, timedelta, "90 min", "8h" or "hh:mm:ss"; None stays.

    An error names the `owner` of the parameter, if there is one.

    Raises
    ------
    ValueError
        It is no positive duration.
    """
    return None if given is None else required_seconds(name, given, owner)


def required_seconds(name: str, given: object, owner: str = "") -> float:
    """Return a duration in seconds, as `seconds` does; None is an error."""
    value = _in_seconds(given)
    if not 0 < value < math.inf:
        raise ValueError(
            f"The '{name}' parameter{f' of {owner}' if owner else ''} must be a positive number of "
            f"seconds, a timedelta, or a text such as '90s', '30 min', '8h' or '01:30:00'. "
            f"Got {of_kind(given)} instead.{_advice(given)}"
        )
    return value


def _in_seconds(given: object) -> float:
    """Return a duration in seconds; 0 if it cannot be read."""
    if isinstance(given, timedelta):
        return given.total_seconds()
    if isinstance(given, str):
        return _of_text(given.lower().strip())
    if isinstance(given, bool) or not isinstance(given, int | float | np.integer | np.floating):
        return 0.0
    try:
        return float(given)
    except OverflowError:  # an integer beyond all floating-point numbers
        return math.inf


def _advice(given: object) -> str:
    """Return a sentence on how to write a duration that cannot be read, or an empty text."""
    if not isinstance(given, str):
        return ""
    if re.fullmatch(r"\s*\d+:\d\d\s*", given):
        return " Write hours, minutes and seconds: hh:mm:ss."
    words = [part[2] for part in _PART.finditer(given.lower()) if part[2] not in _UNITS]
    return f" The units are s, min, h and d, not {words[0]!r}." if words else ""


def _of_text(text: str) -> float:
    if re.fullmatch(r"\d+:\d\d:\d\d", text):
        hours, minutes, rest = map(int, text.split(":"))
        return 3600.0 * hours + 60.0 * minutes + rest
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return float(text)
    total, at = 0.0, 0
    while at < len(text):
        part = _PART.match(text, at)
        if part is None or part[2] not in _UNITS:
            return 0.0
        total += float(part[1]) * _UNITS[part[2]]
        at = part.end()
    return total


def shown_seconds(value: float) -> str:
    """Return a duration in words."""
    whole = round(value)
    if whole < 120:
        return f"{value:.3g} s"
    if whole < 7200:
        return f"{whole / 60:.3g} min"
    return f"{whole / 3600:.3g} h"
