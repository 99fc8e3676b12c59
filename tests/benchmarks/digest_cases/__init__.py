"""The fixed small cases of `tests.benchmarks.digests`, by area.

A case is a function without parameters that returns the parts of its digest by name: numbers,
arrays, texts, and lists and dictionaries of these. No part may depend on the time, a path, a
message, or the name of a class or module.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import classic, comparison, costmodel, evaluation, kernels, moe, noc, search

Case = Callable[[], dict[str, Any]]

SEARCHES = ("moela", "rival", "evaluator", "experiment")
"""Cases that begin so are whole searches; in others, the parts that begin with "run" are."""

SLOW = (
    "moela noc-3", "moela noc-5", "moela qap", "moela knapsack", "moela mnk", "moela zdt1",
    "moela dtlz2", "moela bnh", "moela mw7", "moela tours",
    "moela some models off", "moela other settings", "evaluator with a store",
    "evaluator two workers", "evaluator two threads", "evaluator failures",
    "evaluator warm start from a store", "noc 3 objectives", "noc all metrics", "moe gating",
    "moe buffering", "moe placement", "moe deployment", "moe other deployments", "cost latency",
    "classic knapsack", "experiment", "compare", "compare with settings",
)  # fmt: skip
"""Cases that take two seconds or more, some of them because they compile or make runs first."""


def all_cases(*, quick: bool = False) -> dict[str, Case]:
    """Return all cases by name, or the fast ones, in the order in which they run."""
    areas = (search, evaluation, noc, moe, costmodel, kernels, classic, comparison)
    cases = {name: case for area in areas for name, case in area.CASES.items()}
    return {name: case for name, case in cases.items() if not (quick and name in SLOW)}


def is_run(name: str, part: str) -> bool:
    """Return whether a part of a case is of whole searches, which must be equal bit for bit."""
    return name.startswith(SEARCHES) or part.startswith("run")
