"""Names and patterns of modules in quantization fields.

The patterns come with a stranger's file, so that Python's own regular expressions, which may take
exponential time, never see them. The part that config.json files use is read here: characters,
classes, quantifiers of one character, and alternatives. To match a name of n characters takes
O(n^2) steps for each item of a pattern.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import TypeAlias

__all__ = ["NAMES_AND_PATTERNS", "matcher_of"]

NAMES_AND_PATTERNS = (
    "a name of a module, or a regular expression of at most 1,000 characters with classes such as "
    "[0-9], the quantifiers *, + and ? of one character, and alternatives such as (a|b) (list the "
    "modules by name instead)"
)

Atom: TypeAlias = tuple[str, str]  # one character, of those that are meant, or an end; quantifier
Item: TypeAlias = Atom | list[list[Atom]]  # alternatives in parentheses

_ATOM = re.compile(
    r"(?P<end>[\^$])(?![*+?])|(?P<one>\\[dw.\-_/]|\[(?:[A-Za-z0-9]-[A-Za-z0-9]|\\[dw.]|[A-Za-z0-9_.])+\]|"
    r"[A-Za-z0-9_\-/:,\ .])(?P<many>[*+?]?)\??"
)
_MOST = 1_000
_SYNTAX = frozenset("\\()|+^${}")
_GLOB = frozenset("*?[")


def matcher_of(pattern: str) -> Callable[[str], bool]:
    """Return a function that tells whether a module's name is one of those that are meant.

    A plain name means all modules whose names contain it, as AWQ's exceptions do, but no part of a
    number: "layers.6" is not "layers.60". With * it is a pattern of file names for the module or
    one that holds it. A text that begins with "re:" or ".*", or has other signs of a regular
    expression, matches the beginning of a name, as ``re.match`` does.

    Raises
    ------
    ValueError
        If the pattern is none of these.
    """
    if pattern.startswith(("re:", ".*")) or _SYNTAX.intersection(pattern):
        alternatives = _parsed(pattern.removeprefix("re:"))
        return lambda name: any(_matches(items, name) for items in alternatives)
    if _GLOB.intersection(pattern):
        return lambda name: fnmatchcase(name, pattern) or fnmatchcase(name, f"{pattern}.*")
    if not pattern.strip():
        raise ValueError("an empty pattern")
    return lambda name: pattern in name and _is_whole(pattern, name)


def _is_whole(text: str, name: str) -> bool:
    """Tell whether a name holds a text that begins and ends with no part of a number."""
    place = name.find(text)
    while place >= 0:
        around = name[place - 1 : place] + text[0], text[-1] + name[place + len(text) :][:1]
        if not any(len(pair) == 2 and pair.isdigit() for pair in around):
            return True
        place = name.find(text, place + 1)
    return False


def _parsed(text: str) -> list[list[Item]]:
    """Return the alternatives of a regular expression, each a list of items."""
    if len(text) > _MOST:
        raise ValueError("a longer pattern")
    whole: list[list[Item]] = [[]]
    inside: list[list[Atom]] | None = None
    place = 0
    while place < len(text):
        if text[place] == "(" and inside is None:
            inside, place = [[]], place + (3 if text.startswith("(?:", place) else 1)
        elif text[place] == ")" and inside is not None:
            place += 1
            if text.startswith("?", place):
                inside.append([])
                place += 1
            whole[-1].append(inside)
            inside = None
        elif text[place] == "|":
            (whole if inside is None else inside).append([])
            place += 1
        else:
            found = _ATOM.match(text, place)
            if found is None:
                raise ValueError(f"{text[place : place + 10]!r} in a pattern")
            atom = found["end"] or _characters(found["one"]), found["many"] or ""
            (whole if inside is None else inside)[-1].append(atom)
            place = found.end()
    if inside is not None:
        raise ValueError("a parenthesis without an end")
    return whole


@lru_cache(maxsize=256)
def _characters(one: str) -> str:
    """Return the characters of names that a pattern of one character matches."""
    try:
        return "".join(c for c in map(chr, range(32, 127)) if re.fullmatch(one, c))
    except re.error as error:  # such as [9-0]
        raise ValueError(str(error)) from error


def _matches(items: list[Item], name: str) -> bool:
    """Tell whether the beginning of a name is matched."""
    places = {0}
    for item in items:
        if isinstance(item, tuple):
            places = _after(item, name, places)
        else:
            found = set()
            for atoms in item:
                ends = places
                for atom in atoms:
                    ends = _after(atom, name, ends)
                found |= ends
            places = found
    return bool(places)


def _after(atom: Atom, name: str, places: set[int]) -> set[int]:
    """Return the places in a name that an atom can lead to from some places."""
    one, many = atom
    if one in ("^", "$"):
        return places & {0 if one == "^" else len(name)}
    found = set(places) if many in ("*", "?") else set()
    for start in places:
        end = start
        while end < len(name) and name[end] in one:
            end += 1
            found.add(end)
            if many in ("", "?"):
                break
    return found
