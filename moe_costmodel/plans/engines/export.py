"""Export: what is typed to start an engine with a plan, and what the engine cannot express."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["NOT_EXPORTED", "Export", "keeps_all", "numbered", "on_each_machine", "refusal"]

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


def numbered(flags: Sequence[tuple[str, int]], above: int = 0) -> list[str]:
    """Return flags with their numbers; those of `above` or less are left to the engine.

    >>> numbered([("--max-num-seqs", 32), ("--max-model-len", 0)])
    ['--max-num-seqs', '32']
    """
    return [word for flag, number in flags if number > above for word in (flag, str(number))]


def keeps_all(engine: str) -> str:
    """Return the note of an engine that cannot compute experts elsewhere than on the GPU."""
    return f"{engine} keeps all experts on the GPU: check that they fit, or export to SGLang"


def on_each_machine(n: int, ranks: str = "") -> str:
    """Return the note on a command line that each of n machines runs; `ranks` as words of its own.

    By default, ``--node-rank`` counts the machines.
    """
    ranks = ranks or f"--node-rank 0 to {n - 1}"
    address = "and the first machine's address in place of HEAD"
    return f"run it on each of {n} machines, with {ranks} {address}"
