"""Line-wise reading of instance files with errors that name the file and the line."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

__all__ = ["LineReader"]

_SHOWN = 60


class LineReader:
    """Reads the non-empty lines of a text file one at a time, with checks.

    Parameters
    ----------
    path : str or Path

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is not text, or is empty.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if not self.path.is_file():
            raise FileNotFoundError(f"{self.path}: expected an instance file, found none there.")
        try:
            text = self.path.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise ValueError(
                f"{self.path}: expected a UTF-8 text file, got bytes that are not "
                f"(at byte {error.start})."
            ) from error
        self._lines = [
            (number, line.strip())
            for number, line in enumerate(text.splitlines(), start=1)
            if line.strip()
        ]
        self._last = max(1, len(text.splitlines()))
        self._next = 0
        if not self._lines:
            raise ValueError(f"{self.path}: expected an instance, got an empty file.")

    def error(self, expected: str, got: object, *, back: int = 1) -> ValueError:
        """Return an error about the line read `back` calls ago (0: the next line)."""
        at = self._next - back
        line = self._lines[at][0] if at < len(self._lines) else self._last
        shown = str(got)
        shown = shown if len(shown) <= _SHOWN else shown[:_SHOWN] + "..."
        return ValueError(f"{self.path}, line {line}: expected {expected}, got {shown} instead.")

    @property
    def done(self) -> bool:
        """True if every line has been read."""
        return self._next >= len(self._lines)

    def line(self, expected: str) -> str:
        """Return the next line, or raise with the text `expected` at the end of the file."""
        if self.done:
            raise self.error(expected, "the end of the file", back=0)
        self._next += 1
        return self._lines[self._next - 1][1]

    def numbers(
        self,
        expected: str,
        count: int,
        *,
        whole: bool = True,
        low: float = 0.0,
        high: float = math.inf,
    ) -> list[float]:
        """Return the `count` numbers of the next line, each in [low, high]."""
        tokens = self.line(expected).split()
        if len(tokens) != count:
            raise self.error(f"{expected}: {count} numbers", f"{len(tokens)}: {' '.join(tokens)!r}")
        return self.parse(expected, tokens, whole=whole, low=low, high=high)

    def parse(
        self,
        expected: str,
        tokens: Sequence[str],
        *,
        whole: bool = True,
        low: float = 0.0,
        high: float = math.inf,
    ) -> list[float]:
        """Return `tokens` of the line read last as numbers, each in [low, high]."""
        values = []
        kind = "a whole number" if whole else "a number"
        for column, token in enumerate(tokens, start=1):
            try:
                value = float(token)
            except ValueError:
                value = math.nan
            if not math.isfinite(value) or (whole and (value != int(value) or value > 2**53)):
                raise self.error(f"{expected}: {kind} as entry {column}", repr(token))
            if not low <= value <= high:
                span = f"at least {low:g}" if high == math.inf else f"from {low:g} to {high:g}"
                raise self.error(f"{expected}: {kind} {span} as entry {column}", repr(token))
            values.append(value)
        return values

    def end(self) -> None:
        """Raise unless every line has been read."""
        if not self.done:
            self._next += 1
            raise self.error("the end of the file", repr(self._lines[self._next - 1][1]))
