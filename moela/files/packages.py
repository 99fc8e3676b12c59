"""Packages of this library that a user's module of the same name hides."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path

# The folder that holds moela, problems and moe_costmodel.
_HOME = Path(__file__).parents[2]


def hidden(package: str) -> str | None:
    """Return what hides a package of this library and what to do, or None if Python finds it.

    Parameters
    ----------
    package : str
        Such as "problems". It is not imported.
    """
    expected = _HOME / package / "__init__.py"
    try:
        spec = find_spec(package)
    except ValueError:  # a module without a spec, such as one that a user has put there by hand
        return _advice(package, "one that was put into sys.modules")
    if spec is None:
        return f"The package {package!r} of moela is missing. Install moela again."
    places = [spec.origin] if spec.has_location and spec.origin else []
    places = places or list(spec.submodule_search_locations or [])
    if places and os.path.realpath(places[0]) == os.path.realpath(expected):
        return None
    return _advice(package, ", ".join(places) or str(spec.origin))


def require(package: str) -> None:
    """Raise an ImportError if something hides a package of this library."""
    advice = hidden(package)
    if advice is not None:
        raise ImportError(advice, name=package)


def _advice(package: str, place: str) -> str:
    return (
        f"Another module named {package!r} hides the one that belongs to moela: {place}. Rename "
        "it, or run from another folder."
    )
