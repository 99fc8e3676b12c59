"""Chunk and StepTime: new tokens of a prompt in a step, and the time of a step by operator."""

from __future__ import annotations

from dataclasses import dataclass

from moe_costmodel._checks import count
from moe_costmodel.objectives import beyond
from moe_costmodel.silicon.tables.reader import OperatorTime

__all__ = ["Chunk", "StepTime"]


@dataclass(frozen=True)
class Chunk:
    """New tokens of one prompt that a step computes.

    Parameters
    ----------
    length : int
        Tokens.
    prefix : int
        Tokens of the prompt that earlier steps have computed.
    last : bool
        Whether the prompt ends with this chunk, so that its first token is sampled.

    Examples
    --------
    >>> from moe_costmodel import Chunk
    >>> Chunk(512, prefix=1536)
    Chunk(length=512, prefix=1536, last=True)
    """

    length: int
    prefix: int = 0
    last: bool = True

    def __post_init__(self) -> None:
        count("Chunk", "length", self.length)
        count("Chunk", "prefix", self.prefix, 0)


@dataclass(frozen=True)
class StepTime:
    """Time of a step, by operator.

    Attributes
    ----------
    operators : tuple of OperatorTime
        Operators with their seconds over all layers.
    hidden : float
        Seconds of exchanges that overlap with computation.

    Examples
    --------
    >>> from moe_costmodel.silicon.step_time import StepTime
    >>> StepTime(()).seconds
    0.0
    """

    operators: tuple[OperatorTime, ...]
    hidden: float = 0.0

    @property
    def seconds(self) -> float:
        """Time of the step."""
        return sum(operator.seconds for operator in self.operators) - self.hidden

    @property
    def outside(self) -> float:
        """Largest extrapolation among operators that take 5 % of the step or more."""
        total = sum(operator.seconds for operator in self.operators)
        large = [o.outside for o in self.operators if o.seconds >= 0.05 * total]
        return max(large, default=1.0)

    def by_part(self) -> dict[str, float]:
        """Return seconds by operator, the largest first."""
        parts: dict[str, float] = {}
        for operator in self.operators:
            parts[operator.operator] = parts.get(operator.operator, 0.0) + operator.seconds
        return dict(sorted(parts.items(), key=lambda item: -item[1]))

    def __str__(self) -> str:
        lines = [f"{self.seconds * 1e3:.3g} ms"]
        for o in sorted(self.operators, key=lambda o: -o.seconds):
            if o.seconds > 0:
                note = "" if o.outside <= 1.001 else f", {beyond(o.outside)}"
                lines.append(
                    f"  {o.operator}: {o.seconds * 1e3:.3g} ms ({o.kernel}, {o.source}{note})"
                )
        return "\n".join(lines)
