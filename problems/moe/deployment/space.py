"""Design space of a joint deployment: the meaning of the values in a row."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TypedDict

import numpy as np

from moe_costmodel import DeploymentModel, GateRule, Placement
from problems._arrays import Ints
from problems.moe.deployment.layout import Layout
from problems.moe.deployment.setup import Placed
from problems.moe.gating.levels import GateLevels

__all__ = ["DesignSpace", "Settings", "best_policy", "design_space"]


class Settings(TypedDict):
    """A deployment as the parameters of ``DeploymentModel.evaluate``."""

    gates: list[GateRule | None] | None
    capacities: Ints
    policy: str
    placement: Ints
    batch: int


@dataclass(frozen=True, eq=False)
class DesignSpace:
    """Rows of a joint deployment and the values that their columns stand for.

    Attributes
    ----------
    model : DeploymentModel
    placed : Placed
        Placements to start from.
    levels : GateLevels or None
        None if no gates are decided.
    policies : tuple of str
    batch_sizes : tuple of int
    layout : Layout
    """

    model: DeploymentModel
    placed: Placed
    levels: GateLevels | None
    policies: tuple[str, ...]
    batch_sizes: tuple[int, ...]
    layout: Layout

    @cached_property
    def _rules(self) -> list[list[GateRule | None]]:
        """Rule of each layer and level; None if the rule drops nothing on this traffic."""
        levels = self.levels
        if levels is None:
            return []
        keeps_all = (levels.experts == self.model.traces[0].k).all(axis=0)
        return [
            [None if whole else rule for rule, whole in zip(rules, row, strict=True)]
            for rules, row in zip(levels.rules, keeps_all, strict=True)
        ]

    def settings(self, row: Ints) -> Settings:
        """Return a row [n_var] as the parameters of ``DeploymentModel.evaluate``."""
        layout = self.layout
        kept = row[layout.capacities].reshape(layout.n_layers, -1)
        gates = [rules[level] for rules, level in zip(self._rules, row, strict=False)]
        return {
            "gates": gates or None,
            "capacities": np.broadcast_to(kept, (layout.n_layers, layout.n_devices)),
            "policy": self.policies[int(row[layout.policy])],
            "placement": row[layout.slots].reshape(layout.n_layers, -1),
            "batch": self.batch_sizes[int(row[layout.batch_size])],
        }

    def base_row(self, slots: Ints) -> Ints:
        """Return the row [n_var] of a placement [n_layers * n_slots] with nothing else decided."""
        row = self.layout.fixed.copy()
        row[self.layout.slots] = slots
        return row

    def placement_of(self, slots: Ints) -> Placement:
        """Return slots [n_layers * n_slots] as a Placement."""
        return Placement(slots.reshape(self.layout.n_layers, -1), self.layout.n_devices)

    def canonical(self, rows: Ints) -> Ints:
        """Return rows with ascending slots on each device, and the first policy if all resident."""
        layout = self.layout
        out = rows.copy()
        slots = out[:, layout.slots].reshape(len(out), -1, layout.n_local)
        out[:, layout.slots] = np.sort(slots, axis=2).reshape(len(out), -1)
        if "buffers" in layout.decide:
            resident = (out[:, layout.capacities] == layout.n_local).all(axis=1)
            out[resident, layout.policy] = 0
        return out


def design_space(
    model: DeploymentModel,
    placed: Placed,
    levels: GateLevels | None,
    policies: tuple[str, ...],
    batch_sizes: tuple[int, ...],
    *,
    decide: tuple[str, ...],
    per_device: bool,
) -> DesignSpace:
    """Return the design space; parts that are not decided keep their defaults."""
    first, n_devices = model.traces[0], model.n_devices
    n_layers, n_columns = first.n_layers, n_devices if per_device else 1
    n_levels = 1 if levels is None else levels.n_levels
    fixed = np.concatenate(
        [
            np.full(n_layers, n_levels - 1),
            np.full(n_layers * n_columns, placed.n_slots // n_devices),
            [policies.index(best_policy(policies)), 0],
            placed.today,
        ]
    )
    layout = Layout(
        n_layers=n_layers, n_devices=n_devices, n_experts=first.n_experts, n_slots=placed.n_slots,
        n_columns=n_columns, n_levels=n_levels, n_policies=len(policies),
        n_batch_sizes=len(batch_sizes), decide=decide, fixed=fixed.astype(np.int64),
        mean=placed.mean, current=placed.current, library=np.array(list(placed.rows.values())),
        known={},
    )  # fmt: skip
    return DesignSpace(model, placed, levels, policies, batch_sizes, layout)


def best_policy(policies: tuple[str, ...]) -> str:
    """Return the policy that misses least in general."""
    return "inactive-lfu" if "inactive-lfu" in policies else policies[0]
