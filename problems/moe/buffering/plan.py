"""BufferPlan: one design of ExpertBuffering."""

from __future__ import annotations

from dataclasses import dataclass

from moe_costmodel import POLICIES, OffloadRule
from problems._arrays import Ints

__all__ = ["BufferPlan"]


@dataclass(frozen=True, eq=False)
class BufferPlan:
    """Buffers of all layers with their predicted objectives.

    Attributes
    ----------
    capacities : int array [n_layers, n_devices]
        Experts that each device keeps of each layer.
    policy : str
        Eviction policy, one of :data:`moe_costmodel.POLICIES`, or of
        :data:`moe_costmodel.OFFLOAD_POLICIES` if there is a rule.
    objectives : dict of str to float
    rule : OffloadRule, optional
        Where misses are computed, and what is uploaded.

    Examples
    --------
    >>> from problems.moe import ExpertBuffering
    >>> problem = ExpertBuffering.example()
    >>> plan = problem.decode(problem.xu)
    >>> plan.capacities.shape
    (6, 1)
    """

    capacities: Ints
    policy: str
    objectives: dict[str, float]
    rule: OffloadRule | None = None

    def __str__(self) -> str:
        values = [f"{name} {value:.6g}" for name, value in self.objectives.items()]
        rows = [f"layer {i}: {row.tolist()}" for i, row in enumerate(self.capacities)]
        first = f"policy {self.policy}: {POLICIES.get(self.policy)}"
        if self.rule is not None:
            first = f"rule: {self.rule}"
        return "\n".join([first, *values, *rows])
