"""Fields of a config.json, by their names in different architectures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from moela.files.fields import whole_in
from moela.files.guard import brief, invalid_file

__all__ = ["ConfigFields"]

_MOST = 2**31


@dataclass(frozen=True)
class ConfigFields:
    """The content of a config.json, with checks that name file and field."""

    content: Mapping[str, object]
    source: str | Path
    prefix: str = ""

    def place(self, name: str) -> str:
        """Return the place of a field in the file."""
        return f"{self.prefix}{name}"

    def get(self, *names: str) -> object:
        """Return the first of some fields that is present and not null, else None."""
        found = (self.content.get(name) for name in names)
        return next((value for value in found if value is not None), None)

    def whole(self, *names: str, default: int | None = None, low: int = 1) -> int:
        """Return an integer field by any of its names."""
        for name in names:
            if self.content.get(name) is not None:
                value = self.content[name]
                return whole_in(self.source, self.place(name), value, low, _MOST)
        if default is None:
            others = f" (or {', '.join(names[1:])})" if names[1:] else ""
            raise invalid_file(
                self.source, "no such field", f"present{others}", self.place(names[0])
            )
        return default

    def same(self, *names: str) -> int:
        """Return an integer field that may be a list of equal integers, one for each layer."""
        name = next((name for name in names if self.content.get(name) is not None), names[0])
        if not isinstance(self.content.get(name), list):
            return self.whole(*names)
        values = self.wholes(name)
        if len(set(values)) != 1 or values[0] < 1:
            expected = "a positive integer, or a list of equal ones"
            raise invalid_file(self.source, brief(values), expected, self.place(name))
        return values[0]

    def flag(self, name: str, default: bool = False) -> bool:
        """Return a field that is true or false."""
        value = self.content.get(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise invalid_file(self.source, value, "true or false", self.place(name))
        return value

    def named(self, *names: str) -> str:
        """Return the place of the first of some fields that is present and not null."""
        present = (name for name in names if self.content.get(name) is not None)
        return self.place(next(present, names[0]))

    def words(self, name: str, n: int, known: Sequence[str]) -> list[str] | None:
        """Return a list of `n` of some known texts, None if the field is absent."""
        value = self.content.get(name)
        if value is None:
            return None
        texts = isinstance(value, list) and all(isinstance(item, str) for item in value)
        if not isinstance(value, list) or not texts or len(value) < n:
            raise invalid_file(self.source, value, f"a list of {n} texts", self.place(name))
        for i, word in enumerate(value[:n]):
            if word not in known:
                expected = f"one of {', '.join(known)}"
                raise invalid_file(self.source, brief(word), expected, self.place(f"{name}[{i}]"))
        return value[:n]

    def wholes(self, name: str) -> list[int]:
        """Return a list of integers, empty if the field is absent."""
        value = self.content.get(name)
        if value is None:
            return []
        if not isinstance(value, list):
            raise invalid_file(self.source, value, "a list of integers", self.place(name))
        place = self.place(name)
        return [whole_in(self.source, f"{place}[{i}]", v, 0, _MOST) for i, v in enumerate(value)]
