"""Joint deployments that a search starts from: static baselines and single-problem solutions."""

from __future__ import annotations

import numpy as np

from moe_costmodel import Placement
from problems._arrays import Ints
from problems.moe.base import evenly
from problems.moe.buffering.problem import ExpertBuffering
from problems.moe.deployment.layout import Layout

__all__ = ["buffer_path", "candidates", "fastest", "smallest"]

# Most batch sizes, buffers and gates that are combined.
_BATCH_SIZES, _BUFFERS, _GATES = 6, 5, 4


def smallest(layout: Layout) -> Ints:
    """Return the row of least memory: smallest batch, hardest gates, one expert per buffer."""
    row = layout.base_row(layout.placed.rows["spread"])
    for columns in (layout.gates, layout.capacities, layout.batch_size):
        row[columns] = layout.xl[columns]
    return row


def fastest(layout: Layout) -> Ints:
    """Return the row of the shortest steps: smallest batch, hardest gates, all experts resident."""
    row = smallest(layout)
    row[layout.capacities] = layout.xu[layout.capacities]
    return row


def candidates(layout: Layout) -> Ints:
    """Return deployments that an engineer would try first, [n, n_var].

    They are all combinations of a few batch sizes, buffers (all resident, and ever smaller ones)
    and thresholds (none, and ever harder ones by price) on spread-out experts, and every named
    placement with all experts resident.
    """
    spread = layout.base_row(layout.placed.rows["spread"])
    gates = spread[None, layout.gates]
    if layout.levels is not None:
        gates = evenly(layout.levels.path(), _GATES)
    low, high = (int(bound[layout.batch_size]) for bound in (layout.xl, layout.xu))
    batch_sizes = evenly(np.arange(low, high + 1), _BATCH_SIZES)
    rows = [smallest(layout), fastest(layout)]
    resident = np.append(layout.xu[layout.capacities], layout.xu[layout.policy])
    for batch_size in batch_sizes:
        smaller = evenly(buffer_path(layout, int(batch_size)), _BUFFERS * len(layout.rules or [0]))
        for buffers in (resident, *smaller):
            for levels in gates:
                row = spread.copy()
                row[layout.gates], row[layout.batch_size] = levels, batch_size
                row[layout.capacities], row[layout.policy] = buffers[:-1], buffers[-1]
                rows.append(row)
    for slots in layout.placed.rows.values():
        row = layout.base_row(slots)
        row[layout.batch_size] = batch_sizes[len(batch_sizes) // 2]
        rows.append(row)
    distinct: Ints = np.unique(np.clip(np.array(rows), layout.xl, layout.xu), axis=0)
    return distinct


def buffer_path(layout: Layout, batch_size: int) -> Ints:
    """Return capacities and policy from large to small buffers, [n, n_capacities + 1].

    Parameters
    ----------
    layout : Layout
    batch_size : int
        Index of the batch size whose misses count. If the traffic has no steps of this size, those
        of its largest steps count: only the order of the layers depends on them.
    """
    low, high = layout.xl[layout.capacities], layout.xu[layout.capacities]
    if "buffers" not in layout.decide:
        return np.empty((0, len(low) + 1), dtype=np.int64)
    if layout.rules:
        return _rule_path(layout)
    policy = layout.policies.index(layout.best_policy)
    if layout.n_slots > layout.n_experts:
        # The replay of one buffer per device needs every expert on one device only.
        sizes = np.arange(int(high.max()), 0, -1)
        equal = np.clip(sizes[:, None], low, high)
        return np.column_stack((equal, np.full(len(sizes), policy)))
    spread = layout.placed.rows["spread"].reshape(layout.n_layers, -1)
    single = ExpertBuffering(
        layout.model.traces,
        expert_bytes=1.0,
        miss_seconds=1.0,
        placement=Placement(spread, layout.n_devices),
        batch_size=min(layout.batch_sizes[batch_size], layout.model.max_batch_size),
        mode=layout.model.mode,
        policies=[layout.best_policy],
        per_device=layout.n_columns > 1,
    )
    path = single.marginal(layout.best_policy)
    path[:, -1] = policy
    return path


def _rule_path(layout: Layout) -> Ints:
    """Return equal capacities from large to small, each with every rule for misses."""
    low, high = layout.xl[layout.capacities], layout.xu[layout.capacities]
    sizes = np.arange(int(high.max()), 0, -1)
    n_rules = len(layout.rules)
    equal = np.repeat(np.clip(sizes[:, None], low, high), n_rules, axis=0)
    return np.column_stack((equal, np.tile(np.arange(n_rules), len(sizes))))
