"""Text files: lines, numbers, and JSON."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from moela.files.guard import check_size, invalid_file, read_bytes

__all__ = ["is_deep", "lines_of", "number_of", "parse_json", "read_json", "read_text"]

_EXPECTED = "text in UTF-8"
# UTF-32 first: its mark begins with that of UTF-16.
_MARKS = {
    b"\xff\xfe\0\0": "UTF-32", b"\0\0\xfe\xff": "UTF-32", b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
}  # fmt: skip
_END = re.compile(r"\r\n|\r|\n")
_PIECE = 2**16  # characters
_MOST_LEVELS = 64  # of lists and objects in each other
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
# Bytes that a list or object, a key, and a value take at most in CPython, apart from long texts.
_BYTES = {"[": 90, "{": 90, ":": 60, ",": 36}


def read_text(path: str | Path) -> str:
    """Return the content of a UTF-8 file, with or without a byte order mark.

    Ends of lines stay as they are; see `lines_of`. Other encodings, and NUL characters, which no
    text file has, raise a ValueError.
    """
    data = read_bytes(path)
    for mark, name in _MARKS.items():
        if data.startswith(mark):
            raise invalid_file(path, f"{name}; save the file again as UTF-8", _EXPECTED)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        got = f"byte {data[error.start]:#04x} at position {error.start} ({error.reason})"
        raise invalid_file(path, got, _EXPECTED) from None
    if (place := text.find("\0")) >= 0:
        raise invalid_file(path, f"a NUL character at position {place}", _EXPECTED)
    return text


def lines_of(text: str) -> Iterator[tuple[int, str]]:
    r"""Yield the number, from 1, and the content of each line; lines end with \n, \r\n or \r."""
    number, start = 1, 0
    # A piece at a time: the list of all lines of a file could take fifty times its size.
    while start < len(text):
        match = _END.search(text, start + _PIECE)
        end = match.end() if match else len(text)
        lines = text[start:end].replace("\r\n", "\n").replace("\r", "\n").split("\n")
        if not lines[-1]:
            lines.pop()  # an end of a line begins no line
        yield from enumerate(lines, number)
        number, start = number + len(lines), end


def number_of(word: str) -> float | None:
    """Return the number that a word of a text file stands for, None if it is no number.

    Python would also read ``1_000`` and the digits of every script; other programs do not.
    """
    if not word.isascii() or "_" in word:
        return None
    try:
        return float(word)
    except ValueError:
        return None


def read_json(path: str | Path) -> object:
    """Return the content of a JSON file; see `parse_json`."""
    return parse_json(read_text(path), path)


def parse_json(text: str, source: str | Path, field: str = "") -> object:
    """Return the value of a JSON text; errors name the `source`, and the `field` that holds it.

    An object with the same key twice is refused, since programs disagree which of the two counts;
    so is half of a pair of surrogates, which cannot be written again. The memory that the values
    take is estimated before they are made.
    """
    check_size(source, len(text), "text", field)
    check_size(source, sum(n * text.count(mark) for mark, n in _BYTES.items()), "json", field)

    def unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
        value = dict(pairs)
        if len(value) < len(pairs):
            raise _TwiceError(Counter(key for key, _ in pairs).most_common(1)[0][0])
        return value

    try:
        value: object = json.loads(text, object_pairs_hook=unique)
        if _SURROGATE.search(text):
            json.dumps(value, ensure_ascii=False).encode()
    except _TwiceError as error:
        place = f"{field}: {error}" if field else str(error) or "(empty)"
        raise invalid_file(source, "two of this name", "a key only once", place) from None
    except RecursionError:
        raise invalid_file(source, "lists or objects nested too deeply", "JSON", field) from None
    except UnicodeEncodeError:
        raise invalid_file(source, "half of a surrogate pair", "JSON in UTF-8", field) from None
    except ValueError as error:  # includes integers of more digits than Python reads
        got = str(error) if text.strip() else "nothing"
        raise invalid_file(source, got, "JSON", field) from None
    if is_deep(value, _MOST_LEVELS):
        raise invalid_file(source, "lists or objects nested too deeply", "JSON", field)
    return value


def is_deep(value: object, most: int) -> bool:
    """Return whether lists and dictionaries are nested in more than `most` levels."""
    level = [value]
    for _ in range(most):
        level = [
            inner
            for outer in level
            if isinstance(outer, list | dict)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, list | dict)
        ]
        if not level:
            return False
    return True


class _TwiceError(Exception):
    """A key that occurs twice in a JSON object."""
