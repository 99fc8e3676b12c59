"""The one form of parameter errors."""

from __future__ import annotations

from typing import Any


def require(owner: str, name: str, value: Any, holds: bool, expected: str) -> None:
    """Raise the one form of parameter error unless `holds`."""
    if not holds:
        raise ValueError(
            f"The '{name}' parameter of {owner} must be {expected}. Got {value!r} instead."
        )
