"""Joint deployments that a search starts from: static baselines and single-problem solutions."""

from __future__ import annotations

import numpy as np

from problems._arrays import Ints
from problems.moe.buffering.problem import ExpertBuffering
from problems.moe.deployment.space import DesignSpace, best_policy

__all__ = ["buffer_path", "candidates", "fastest", "smallest"]

# Most batch sizes, buffers and gates that are combined.
_BATCH_SIZES, _BUFFERS, _GATES = 6, 5, 4


def _picked(n: int, most: int) -> list[int]:
    """Return up to `most` of 0 .. n - 1, evenly spaced, both ends among them."""
    return [int(i) for i in np.unique(np.linspace(0, n - 1, min(n, most)).round())]


def smallest(space: DesignSpace) -> Ints:
    """Return the row of least memory: smallest batch, hardest gates, one expert per buffer."""
    layout = space.layout
    row = space.base_row(space.placed.rows["spread"])
    low, _ = layout.bounds()
    for columns in (layout.gates, layout.capacities, layout.batch_size):
        row[columns] = low[columns]
    return row


def fastest(space: DesignSpace) -> Ints:
    """Return the row of the shortest steps: smallest batch, hardest gates, all experts resident."""
    row, columns = smallest(space), space.layout.capacities
    row[columns] = space.layout.bounds()[1][columns]
    return row


def candidates(space: DesignSpace) -> Ints:
    """Return deployments that an engineer would try first, [n, n_var].

    They are all combinations of a few batch sizes, buffers (all resident, and ever smaller ones)
    and thresholds (none, and ever harder ones by price) on spread-out experts, and every named
    placement with all experts resident.
    """
    layout = space.layout
    low, high = layout.bounds()
    gates = [layout.fixed[layout.gates]]
    if space.levels is not None:
        path = space.levels.path()
        gates = [path[i] for i in _picked(len(path), _GATES)]
    batch_sizes = [int(low[layout.batch_size])]
    if "batch" in layout.decide:
        batch_sizes = _picked(layout.n_batch_sizes, _BATCH_SIZES)
    rows = [smallest(space), fastest(space)]
    spread = space.base_row(space.placed.rows["spread"])
    for batch_size in batch_sizes:
        for capacities, policy in _buffers(space, batch_size):
            for levels in gates:
                row = spread.copy()
                row[layout.gates], row[layout.batch_size] = levels, batch_size
                row[layout.capacities], row[layout.policy] = capacities, policy
                rows.append(row)
    for slots in space.placed.rows.values():
        row = space.base_row(slots)
        row[layout.batch_size] = batch_sizes[len(batch_sizes) // 2]
        rows.append(row)
    distinct: Ints = np.unique(np.clip(np.array(rows), low, high), axis=0)
    return distinct


def _buffers(space: DesignSpace, batch_size: int) -> list[tuple[Ints, int]]:
    """Return capacities and policies to try at the batch size of this index."""
    layout = space.layout
    _, high = layout.bounds()
    path = buffer_path(space, batch_size)
    smaller = [(path[i, :-1], int(path[i, -1])) for i in _picked(len(path), _BUFFERS)]
    return [(high[layout.capacities], int(high[layout.policy])), *smaller]


def buffer_path(space: DesignSpace, batch_size: int) -> Ints:
    """Return capacities and policy from large to small buffers, [n, n_capacities + 1].

    Parameters
    ----------
    space : DesignSpace
    batch_size : int
        Index of the batch size whose misses count.
    """
    layout = space.layout
    low, high = (bound[layout.capacities] for bound in layout.bounds())
    if "buffers" not in layout.decide:
        return np.empty((0, len(low) + 1), dtype=np.int64)
    name = best_policy(space.policies)
    policy = space.policies.index(name)
    if layout.n_slots > layout.n_experts:
        # The replay of one buffer per device needs every expert on one device only.
        sizes = np.arange(int(high.max()), 0, -1)
        equal = np.clip(sizes[:, None], low, high)
        return np.column_stack((equal, np.full(len(sizes), policy)))
    single = ExpertBuffering(
        space.model.traces,
        expert_bytes=1.0,
        miss_seconds=1.0,
        placement=space.placement_of(space.placed.rows["spread"]),
        batch_size=space.batch_sizes[batch_size],
        mode=space.model.mode,
        policies=[name],
        per_device=layout.n_columns > 1,
    )
    path = single.marginal(name)
    path[:, -1] = policy
    return path
