"""Durations as users write them."""

from __future__ import annotations

import re
from datetime import timedelta

from moela.functions.model.kinds import is_number
from moela.quality.words import of_kind

_WORDS = {
    1.0: ("s", "sec", "secs", "second", "seconds"),
    60.0: ("m", "min", "mins", "minute", "minutes"),
    3600.0: ("h", "hr", "hrs", "hour", "hours"),
    86400.0: ("d", "day", "days"),
}
_UNITS = {word: factor for factor, words in _WORDS.items() for word in words}
_PART = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([^\W\d_]+)\.?\s*,?")


def seconds(name: str, given: object) -> float | None:
    """Return a duration in seconds: a number, timedelta, "90 min", "8h" or "hh:mm:ss"; None stays.

    Raises
    ------
    ValueError
        It is no positive duration.
    """
    if given is None:
        return None
    value = 0.0
    if is_number(given):
        value = float(given)  # type: ignore[arg-type]
    elif isinstance(given, timedelta):
        value = given.total_seconds()
    elif isinstance(given, str):
        value = _of_text(given.lower().strip())
    if value <= 0:
        raise ValueError(
            f"The '{name}' parameter must be a positive number of seconds, a timedelta, or a text "
            f"such as '90s', '30 min', '8h' or '01:30:00'. Got {of_kind(given)} instead."
            f"{_advice(given)}"
        )
    return value


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
