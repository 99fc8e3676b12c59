"""Text files and JSON files."""

from __future__ import annotations

import json
from pathlib import Path

from moela.files.guard import invalid_file, read_bytes

__all__ = ["parse_json", "read_json", "read_text"]


def read_text(path: str | Path) -> str:
    """Return the content of a UTF-8 file, with or without a byte order mark."""
    data = read_bytes(path)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        got = f"byte {data[error.start]:#04x} at position {error.start} ({error.reason})"
        raise invalid_file(path, got, "text in UTF-8") from None


def read_json(path: str | Path) -> object:
    """Return the content of a JSON file; see `parse_json`."""
    return parse_json(read_text(path), path)


def parse_json(text: str, source: str | Path) -> object:
    """Return the value of a JSON text; errors name the `source`.

    An object with the same key twice is refused, since programs disagree which of the two counts.
    """

    def unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
        value = dict(pairs)
        if len(value) < len(pairs):
            keys = [key for key, _ in pairs]
            twice = next(key for i, key in enumerate(keys) if key in keys[:i])
            raise _TwiceError(twice)
        return value

    try:
        value: object = json.loads(text, object_pairs_hook=unique)
    except _TwiceError as error:
        raise invalid_file(source, "two of this name", "a key only once", str(error)) from None
    except RecursionError:
        raise invalid_file(source, "lists or objects nested too deeply", "JSON") from None
    except ValueError as error:  # includes integers of more digits than Python reads
        raise invalid_file(source, error, "JSON") from None
    return value


class _TwiceError(Exception):
    """A key that occurs twice in a JSON object."""
