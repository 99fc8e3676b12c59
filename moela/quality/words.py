"""Texts that several messages share: lists of names, suggestions, and short values."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from decimal import Decimal
from difflib import get_close_matches

from moela._spelling import spelled

_MOST_TEXT = 400
# A number in a text that has more digits than a name or the number of a job, and does not end where
# the text was cut.
_LONG = re.compile(r"\d{21,}(?:\.\d+)?(?![\d.])(?! \.\.\.$)")


def listed(names: Iterable[object]) -> str:
    """Return names in quotes with commas between them, or "none"."""
    return ", ".join(spelled(name) for name in names) or "none"


def nearest(name: object, known: Iterable[str]) -> str:
    """Return " Did you mean 'x'?" with the known name closest to `name`, or an empty text."""
    by_lower = {candidate.lower(): candidate for candidate in known}
    close = get_close_matches(str(name).lower(), by_lower, n=1)
    return f" Did you mean {by_lower[close[0]]!r}?" if close else ""


def shown(value: object) -> str:
    """Return a value on one line; the end of a long one is left out."""
    text = " ".join(spelled(value).split())
    return text if len(text) <= _MOST_TEXT else text[:_MOST_TEXT] + " ..."


def directions(signs: Mapping[str, float]) -> str:
    """Return names of objectives with their directions; 1 stands for a minimized one, -1 if not.

    >>> directions({"cost": 1.0, "gain": -1.0})
    'cost=min, gain=max'
    """
    return ", ".join(f"{name}={'min' if sign > 0 else 'max'}" for name, sign in signs.items())


def amount(n: int, noun: str) -> str:
    """Return a number with its noun.

    >>> amount(1, "run"), amount(1200, "run")
    ('1 run', '1,200 runs')
    """
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def harmless(line: str) -> str:
    """Return a line without control characters, by which a text could steer a terminal."""
    return "".join(c if c.isprintable() else "\ufffd" for c in line)


def harmless_lines(text: str) -> str:
    """Return a text of several lines without other control characters, as `harmless` does."""
    return "\n".join(map(harmless, text.split("\n")))


def encodable(text: str) -> str:
    """Return a text as UTF-8 can hold it: bytes of a file name that are none become escapes."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def number(value: float) -> str:
    """Return a number with at most six significant digits."""
    return f"{value:.6g}"


def beside(value: float, other: float) -> str:
    """Return a number with as many digits, at least four, as tell it from another one.

    >>> beside(-999998.5, -999999.0), beside(7.7, 7.0)
    ('-999998', '7.7')
    """
    for digits in range(4, 17):
        text, neighbor = f"{value:.{digits}g}", f"{other:.{digits}g}"
        told_apart = text != neighbor and (float(text) > other) == (value > other)
        if value == other or told_apart:
            return text
    return repr(value)


def of_kind(value: object) -> str:
    """Return a value and its type, for errors about a value of the wrong type."""
    return "None" if value is None else f"{shown(value)} ({type(value).__name__})"


def design_text(design: Mapping[str, object]) -> str:
    """Return a design as the dictionary that the function gets, floats with all their digits."""
    return shown(dict(design))


def counted(reasons: Mapping[str, int], most: int = 5) -> str:
    """Return how many evaluations failed and why, the most frequent reasons first.

    Numbers in the reasons that are very long have four digits.

    >>> counted({"timeout": 1, "ValueError: no mesh": 3})
    '4 failed (3 x ValueError: no mesh; 1 x timeout)'
    >>> counted({"stress 1234567890123456789012.5": 1})
    '1 failed (1 x stress 1.235e+21)'
    """
    ordered = sorted(reasons.items(), key=lambda pair: -pair[1])
    listing = "; ".join(
        f"{count} x {_LONG.sub(lambda number: f'{Decimal(number[0]):.4g}', reason)}"
        for reason, count in ordered[:most]
    )
    more = f"; and {len(ordered) - most} other reasons" if len(ordered) > most else ""
    return f"{sum(reasons.values()):,} failed ({listing}{more})"


def duration(seconds: float | None) -> str:
    """Return seconds as hours, minutes and seconds: ``1:02:03``, ``2:03``, or ``5 s``."""
    if seconds is None:
        return "unknown"
    whole = round(seconds)
    hours, minutes = divmod(whole // 60, 60)
    if hours:
        return f"{hours}:{minutes:02}:{whole % 60:02}"
    return f"{minutes}:{whole % 60:02}" if minutes else f"{whole} s"
