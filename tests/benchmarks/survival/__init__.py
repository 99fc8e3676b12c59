"""Attacks on the library, one module each, run by ``python -m tests.benchmarks.survival``.

A module has ``bars(options)``, which yields a `Bar` for each claim as soon as it is known.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Bar", "Options"]


@dataclass(frozen=True)
class Bar:
    """A claim of the benchmark, with its figure and whether it holds."""

    what: str
    value: str
    must: str
    holds: bool


@dataclass(frozen=True)
class Options:
    """The size of a run of the benchmark."""

    seed: int = 1
    quick: bool = False
    fraction: float = 1.0  # of the kills, mutants and seeds of a full run
    processes: int = 1  # cases at the same time

    def share(self, n: int, at_least: int = 1) -> int:
        """Return how many of n cases to try."""
        return max(at_least, round(self.fraction * n))
