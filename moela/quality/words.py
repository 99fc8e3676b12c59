"""Texts that several messages share: lists of names, suggestions, and short values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches

_MOST_TEXT = 400


def listed(names: Iterable[object]) -> str:
    """Return names in quotes with commas between them, or "none"."""
    return ", ".join(repr(name) for name in names) or "none"


def nearest(name: object, known: Iterable[str]) -> str:
    """Return " Did you mean 'x'?" with the known name closest to `name`, or an empty text."""
    by_lower = {candidate.lower(): candidate for candidate in known}
    close = get_close_matches(str(name).lower(), by_lower, n=1)
    return f" Did you mean {by_lower[close[0]]!r}?" if close else ""


def shown(value: object) -> str:
    """Return a value on one line; the end of a long one is left out."""
    text = " ".join(repr(value).split())
    return text if len(text) <= _MOST_TEXT else text[:_MOST_TEXT] + " ..."


def number(value: float) -> str:
    """Return a number with at most six significant digits."""
    return f"{value:.6g}"


def of_kind(value: object) -> str:
    """Return a value and its type, for errors about a value of the wrong type."""
    return "None" if value is None else f"{shown(value)} ({type(value).__name__})"


def design_text(design: Mapping[str, object]) -> str:
    """Return a design as the dictionary that the function gets, floats with all their digits."""
    return shown(dict(design))
