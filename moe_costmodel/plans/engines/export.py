"""Export: what is typed to start an engine with a plan, and what the engine cannot express."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

__all__ = ["NOT_EXPORTED", "Export", "refusal"]

NOT_EXPORTED = (
    "thresholds are not exported: every token takes all experts that its router chose, so the "
    "plan's times do not hold for this command"
)
"""The note on a plan's thresholds, which no engine takes."""


@dataclass(frozen=True)
class Export:
    """The export of a plan to an engine.

    Attributes
    ----------
    engine : str
        Its name.
    flags : tuple of str
        Words of the command line after the program, in order.
    notes : tuple of str
        Parts of the plan that the engine cannot express, and their costs.
    path : Path or None
        The file that was written, if any.
    program : tuple of str
        Words before the flags; empty if only flags are exported.

    Examples
    --------
    >>> from moe_costmodel.plans.engines.export import Export
    >>> Export("vLLM", ("--tensor-parallel-size", "2"), (), program=("vllm", "serve", "m")).command
    'vllm serve m --tensor-parallel-size 2'
    """

    engine: str
    flags: tuple[str, ...]
    notes: tuple[str, ...]
    path: Path | None = None
    program: tuple[str, ...] = ()

    @property
    def command(self) -> str:
        """The command line, in words of the shell."""
        return shlex.join((*self.program, *self.flags))

    def __str__(self) -> str:
        lines = [f"{self.engine}: {self.command}"]
        lines += [f"  note: {note}" for note in self.notes]
        return "\n".join(lines)


def refusal(engine: str, expected: str, got: object, remedy: str) -> ValueError:
    """Return the error about a plan that an engine cannot express."""
    return ValueError(f"{engine} needs a plan {expected}. Got {got} instead; {remedy}.")
