"""Texts of any objects, also of those whose own text raises an error."""

from __future__ import annotations


def spelled(value: object) -> str:
    """Return a value as Python writes it; an object that cannot be written appears as its type."""
    try:
        return repr(value)
    except Exception:  # of any class of the user's
        pass
    if isinstance(value, dict):
        return f"{{{', '.join(f'{spelled(k)}: {spelled(v)}' for k, v in value.items())}}}"
    if isinstance(value, list | tuple):
        items = ", ".join(spelled(item) for item in value)
        return f"[{items}]" if isinstance(value, list) else f"({items})"
    if isinstance(value, int):  # of more digits than Python prints
        return "a number of many digits"
    return object.__repr__(value)


def printed(value: object) -> str:
    """Return a value as Python prints it; objects that cannot be printed are as in `spelled`."""
    try:
        return str(value)
    except Exception:  # of any class of the user's
        return spelled(value)
