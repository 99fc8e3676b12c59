"""Joint deployments that a search starts from: static baselines and single-problem solutions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from problems._arrays import Ints
from problems.moe.buffering.problem import ExpertBuffering

if TYPE_CHECKING:
    from problems.moe.deployment.problem import MoEDeployment

__all__ = ["buffer_path", "candidates", "fastest", "smallest"]

_BATCHES, _SIZES, _GATES = 6, 5, 4


def _picked(n: int, most: int) -> list[int]:
    """Return up to `most` of 0 .. n - 1, evenly, both ends among them."""
    return [int(i) for i in np.unique(np.linspace(0, n - 1, min(n, most)).round())]


def smallest(problem: MoEDeployment) -> Ints:
    """Return the row of least memory: smallest batch, hardest gates, one expert a buffer."""
    row = problem.base_row(problem.placed.rows["spread"])
    low, _ = problem.layout.bounds()
    for columns in (problem.layout.gates, problem.layout.capacities):
        row[columns] = low[columns]
    row[problem.layout.batch] = low[problem.layout.batch]
    return row


def fastest(problem: MoEDeployment) -> Ints:
    """Return the row of the shortest steps: smallest batch, hardest gates, all experts resident."""
    row = smallest(problem)
    layout = problem.layout
    row[layout.capacities] = layout.bounds()[1][layout.capacities]
    return row


def candidates(problem: MoEDeployment) -> Ints:
    """Return deployments that a person would try, [n, n_var].

    Every combination of some batch sizes, buffers (all resident, and ever smaller ones) and
    thresholds (none, and ever more by price) on spread-out experts; then every named placement
    with all experts resident.
    """
    layout = problem.layout
    low, high = layout.bounds()
    gates = [layout.fixed[layout.gates]]
    if problem.levels is not None:
        path = problem.levels.path()
        gates = [path[i] for i in _picked(len(path), _GATES)]
    batches = [int(low[layout.batch])]
    if "batch" in layout.decide:
        batches = _picked(layout.n_batches, _BATCHES)
    rows = [smallest(problem), fastest(problem)]
    spread = problem.placed.rows["spread"]
    for batch in batches:
        for sizes, policy in _buffers(problem, batch):
            for rungs in gates:
                row = problem.base_row(spread)
                row[layout.gates], row[layout.batch] = rungs, batch
                row[layout.capacities], row[layout.policy] = sizes, policy
                rows.append(row)
    middle = batches[len(batches) // 2]
    for slots in problem.placed.rows.values():
        row = problem.base_row(slots)
        row[layout.batch] = middle
        rows.append(row)
    found: Ints = np.unique(np.clip(np.array(rows), low, high), axis=0)
    return found


def _buffers(problem: MoEDeployment, batch: int) -> list[tuple[Ints, int]]:
    """Return (capacities, policy) to try at a batch size."""
    layout = problem.layout
    _, high = layout.bounds()
    found = [(high[layout.capacities], int(high[layout.policy]))]
    path = buffer_path(problem, batch)
    found += [(path[i, :-1], int(path[i, -1])) for i in _picked(len(path), _SIZES)]
    return found


def buffer_path(problem: MoEDeployment, batch: int) -> Ints:
    """Return capacities and policy from large to small buffers, [n, n_capacities + 1].

    Parameters
    ----------
    problem : MoEDeployment
    batch : int
        Index of the batch size whose misses count.
    """
    layout = problem.layout
    low, high = (bound[layout.capacities] for bound in layout.bounds())
    if "buffers" not in layout.decide:
        return np.empty((0, len(low) + 1), dtype=np.int64)
    policy = problem.policies.index(problem.best_policy)
    if layout.n_slots > layout.n_experts:
        # The replay of one buffer a device wants every expert on one device.
        sizes = np.arange(int(high.max()), 0, -1)
        equal = np.clip(sizes[:, None], low, high)
        return np.column_stack((equal, np.full(len(sizes), policy)))
    single = ExpertBuffering(
        problem.windows,
        expert_bytes=1.0,
        miss_seconds=1.0,
        placement=problem.placement_of(problem.placed.rows["spread"]),
        batch_size=problem.batches[batch],
        mode=problem.model.mode,
        policies=[problem.best_policy],
        per_device=layout.n_columns > 1,
    )
    path = single.marginal(problem.best_policy)
    path[:, -1] = policy
    return path
