"""The fixed small cases of `tests.benchmarks.digests`, by area.

A case is a function without parameters that returns the parts of its digest by name: numbers,
arrays, texts of file formats, and lists and dictionaries of these. No part may depend on the time,
a path, a message, or the name of a class or module.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Case = Callable[[], dict[str, Any]]


def all_cases() -> dict[str, Case]:
    """Return all cases by name, in the order in which they run."""
    from . import classic, comparison, costmodel, evaluation, kernels, moe, noc, search

    areas = (search, evaluation, noc, moe, costmodel, kernels, classic, comparison)
    return {name: case for area in areas for name, case in area.CASES.items()}
