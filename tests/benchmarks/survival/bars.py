"""A bar of the survival benchmark: what was tried, what happened, and what must happen."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Bar:
    """A claim of the benchmark, with its figure and whether it holds."""

    what: str
    value: str
    must: str
    holds: bool

    def __str__(self) -> str:
        return f"{'' if self.holds else 'MISSED '}{self.what}: {self.value}, {self.must}"


@dataclass(frozen=True)
class Options:
    """The size of a run of the benchmark."""

    seed: int = 1
    fraction: float = 1.0  # of the kills, mutants and seeds of a full run
    processes: int = 1  # cases at the same time

    def share(self, n: int, at_least: int = 1) -> int:
        """Return how many of n cases to try."""
        return max(at_least, round(self.fraction * n))
