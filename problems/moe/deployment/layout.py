"""Columns of a joint deployment, what their values stand for, and the moves on each part."""

from __future__ import annotations

import numpy as np

from moe_costmodel import Decision, DeploymentModel, GateRule, OffloadRule, Placement
from problems._arrays import Floats, Ints
from problems.moe.base import exchanged
from problems.moe.buffering.moves import move_round
from problems.moe.deployment.setup import Placed
from problems.moe.gating.levels import GateLevels
from problems.moe.ordinal import Variables, step
from problems.moe.placement.kernels import FEATURES

__all__ = ["Layout"]

# Probability of a jump to known settings, of a change of all buffers together, and of each part.
_JUMP, _ROUND = 0.3, 0.33
_WEIGHTS = {"gates": 0.3, "buffers": 0.25, "batch": 0.15, "placement": 0.3}


class Layout:
    """Columns of a row: a gate level per layer, capacities, policy, batch size, and slots.

    Parameters
    ----------
    model : DeploymentModel
    placed : Placed
        Placements to start from.
    levels : GateLevels or None
        None if no gates are decided.
    policies : tuple of str
    batch_sizes : tuple of int
    decide : tuple of str
        Parts that are decided, of `PARTS`; the bounds of the others leave them no choice.
    per_device : bool
        Whether a layer has one capacity per device, or one for all devices.
    rules : tuple of OffloadRule
        Rules for misses that stand behind `policies`; none if every miss is copied.
    start : ndarray of shape (n_layers, n_experts), optional
        Uses by which first contents are chosen.

    Attributes
    ----------
    gates, capacities, slots : slice
        Columns of the gate levels, of the experts kept (layer by layer), and of the expert in each
        slot (by layer and device).
    policy, batch_size : int
        Columns of the indices of eviction policy and batch size.
    xl, xu : int array [n_var]
        Bounds.
    n_local, n_columns : int
        Slots of a layer on one device, and capacities of a layer.
    best_policy : str
        The policy that misses least in general.
    known : dict of str to int array [n, columns of the part]
        Complete settings of "gates" and "buffers" that moves may jump to.
    """

    def __init__(
        self,
        model: DeploymentModel,
        placed: Placed,
        levels: GateLevels | None,
        policies: tuple[str, ...],
        batch_sizes: tuple[int, ...],
        *,
        decide: tuple[str, ...],
        per_device: bool,
        rules: tuple[OffloadRule, ...] = (),
        start: Floats | None = None,
    ) -> None:
        self.model, self.placed, self.levels = model, placed, levels
        self.policies, self.batch_sizes, self.decide = policies, batch_sizes, decide
        self.rules, self.start = rules, start
        self.best_policy = "inactive-lfu" if "inactive-lfu" in policies else policies[0]
        self.n_layers, self.n_experts = placed.slots.mean.shape
        self.n_devices, self.n_slots = model.n_devices, len(placed.today) // self.n_layers
        self.n_local = self.n_slots // self.n_devices
        self.n_columns = self.n_devices if per_device else 1
        self.gates = slice(0, self.n_layers)
        self.capacities = slice(self.n_layers, self.n_layers * (1 + self.n_columns))
        self.policy: int = self.capacities.stop
        self.batch_size = self.policy + 1
        self.slots = slice(self.batch_size + 1, self.batch_size + 1 + self.n_layers * self.n_slots)
        self.known: dict[str, Ints] = {} if levels is None else {"gates": levels.path()}
        self._columns = {
            "gates": self.gates,
            "buffers": slice(self.capacities.start, self.policy + 1),
            "batch": slice(self.batch_size, self.batch_size + 1),
            "placement": self.slots,
        }
        self._set_bounds()
        self._movable = {}
        for name, columns in self._columns.items():
            low, high = self.xl[columns], self.xu[columns]
            if name in decide and name != "placement" and (low < high).any():
                nominal = np.zeros(len(low), dtype=bool)
                nominal[-1] = name == "buffers"
                self._movable[name] = Variables(low, high, nominal)
        # Devices that all hold every expert leave placements no choice.
        everywhere = self.n_slots == self.n_experts * self.n_devices
        self._places = "placement" in decide and not everywhere
        self._rules: list[list[GateRule | None]] = []
        if levels is not None:
            # A rule that keeps all experts on this traffic counts as no rule.
            keeps_all = (levels.experts == model.traces[0].k).all(axis=0)
            self._rules = [
                [None if whole else rule for rule, whole in zip(rules, row, strict=True)]
                for rules, row in zip(levels.rules, keeps_all, strict=True)
            ]

    def _set_bounds(self) -> None:
        """Set the bounds, and the values of columns that are not decided."""
        n_var = self.slots.stop
        self.xl, self.xu = np.zeros(n_var, dtype=np.int64), np.full(n_var, self.n_experts - 1)
        self.xu[self.gates] = 0 if self.levels is None else self.levels.n_levels - 1
        self.xl[self.capacities], self.xu[self.capacities] = 1, self.n_local
        self.xu[self.policy] = len(self.policies) - 1
        self.xu[self.batch_size] = len(self.batch_sizes) - 1
        self._fixed = self.xu.copy()
        self._fixed[self.policy] = self.policies.index(self.best_policy)
        self._fixed[self.batch_size] = 0
        self._fixed[self.slots] = self.placed.today
        for name, columns in self._columns.items():
            if name not in self.decide:
                self.xl[columns] = self.xu[columns] = self._fixed[columns]

    def base_row(self, slots: Ints) -> Ints:
        """Return the row [n_var] of a placement [n_layers * n_slots] with nothing else decided."""
        row = self._fixed.copy()
        row[self.slots] = slots
        return row

    def decision(self, row: Ints, *, gated: bool = True) -> Decision:
        """Return the decision that a row [n_var] stands for, without its rules unless `gated`."""
        levels = zip(self._rules, row, strict=False)
        gates = tuple(rules[level] for rules, level in levels) if gated else ()
        chosen, kept = int(row[self.policy]), row[self.capacities].reshape(self.n_layers, -1)
        rule, start = None, None
        if self.rules and (kept < self.n_local).any():
            rule, start = self.rules[chosen], self.start
        return Decision(
            placement=Placement(row[self.slots].reshape(self.n_layers, -1), self.n_devices),
            batch_size=self.batch_sizes[int(row[self.batch_size])],
            gates=gates or (None,) * self.n_layers,
            capacities=kept,
            policy="paper" if self.rules else self.policies[chosen],
            offload=rule,
            start=start,
        )

    def canonical(self, rows: Ints) -> Ints:
        """Return rows with ascending slots on each device, and the first policy if all resident."""
        out = rows.copy()
        slots = out[:, self.slots].reshape(len(out), -1, self.n_local)
        out[:, self.slots] = np.sort(slots, axis=2).reshape(len(out), -1)
        if "buffers" in self.decide:
            resident = (out[:, self.capacities] == self.n_local).all(axis=1)
            out[resident, self.policy] = 0
        return out

    def feature_names(self) -> tuple[str, ...]:
        """Return the names of the columns of `features`."""
        layers = range(self.n_layers)
        return (
            *(f"{name} {i}" for name in ("experts", "mass lost", "slots") for i in layers),
            "slots of the fullest device", "log batch", "one over batch", *FEATURES,
            *(f"policy {name}" for name in self.policies),
        )  # fmt: skip

    def features(self, rows: Ints) -> Floats:
        """Return the features of rows [n, n_var], [n, 3 n_layers + 9 + n_policies]."""
        n = len(rows)
        gates = (np.zeros((n, self.n_layers)),) * 2
        if self.levels is not None:
            gates = self.levels.at(rows[:, self.gates])
        kept = rows[:, self.capacities].reshape(n, self.n_layers, self.n_columns)
        batch_size = np.array(self.batch_sizes, dtype=float)[rows[:, self.batch_size]]
        return np.column_stack(
            (
                *gates, kept.mean(axis=2), kept.sum(axis=1).max(axis=1),
                np.log(batch_size), 1.0 / batch_size,
                self.placed.slots.features(rows[:, self.slots]),
                np.eye(len(self.policies))[rows[:, self.policy]],
            )
        )  # fmt: skip

    def move(self, X: Ints, chosen: Ints, random_state: np.random.Generator) -> None:
        """Make one move, in one part, in each row whose index is in `chosen`; change X in place.

        If no part has a choice, the rows stay.
        """
        names = [*self._movable, *(["placement"] if self._places else [])]
        if not names:
            return
        weights = np.array([_WEIGHTS[name] for name in names])
        picked = random_state.choice(len(names), len(X), p=weights / weights.sum())[chosen]
        for i, name in enumerate(names):
            at = chosen[picked == i]
            if len(at) == 0:
                continue
            columns = self._columns[name]
            if name == "placement":
                X[at, columns] = self.placed.slots.moved(X[at, columns], random_state)
            else:
                X[at, columns] = self._moved_part(name, X[at, columns], random_state)

    def _moved_part(self, name: str, rows: Ints, random_state: np.random.Generator) -> Ints:
        """Return the columns of a part after one move, [n, columns of the part]."""
        variables, n = self._movable[name], len(rows)
        out = step(rows, variables, random_state)
        if name == "buffers":
            together = move_round(rows, variables, self.n_layers, random_state)
            use = (random_state.random(n) < _ROUND) & (together != rows).any(axis=1)
            out[use] = together[use]
        known = self.known.get(name)
        if known is not None and len(known):
            jump = random_state.random(n) < _JUMP
            others = known[random_state.integers(0, len(known), n)]
            jump &= (others != rows).any(axis=1)
            out[jump] = others[jump]
        return out

    def mixed(self, A: Ints, B: Ints, random_state: np.random.Generator) -> tuple[Ints, Ints]:
        """Exchange layers, policy and batch size between rows of A and B, both [n, n_var].

        The level, capacities and slots of a layer stay together.
        """
        n = len(A)
        share = random_state.random((n, 1))
        layers = random_state.random((n, self.n_layers)) < share
        swap = np.empty(A.shape, dtype=bool)
        swap[:, self.gates] = layers
        swap[:, self.capacities] = np.repeat(layers, self.n_columns, axis=1)
        swap[:, self.policy : self.batch_size + 1] = random_state.random((n, 2)) < 0.5
        swap[:, self.slots] = np.repeat(layers, self.n_slots, axis=1)
        return exchanged(A, B, swap)
