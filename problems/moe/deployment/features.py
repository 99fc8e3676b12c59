"""What a joint deployment is like, as a few numbers for learned models."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from problems._arrays import Floats, Ints
from problems.moe.placement.kernels import describe

if TYPE_CHECKING:
    from problems.moe.deployment.problem import MoEDeployment

__all__ = ["feature_names", "features_of"]


def feature_names(problem: MoEDeployment) -> tuple[str, ...]:
    """Return the columns of `features_of`."""
    layers = range(problem.layout.n_layers)
    return (
        *(f"experts {i}" for i in layers),
        *(f"mass lost {i}" for i in layers),
        *(f"slots {i}" for i in layers),
        "slots of the fullest device",
        "log batch",
        "one over batch",
        "mean square share",
        "largest mean share",
        "largest root mean square share",
        "experts migrated",
        "experts held",
        "pairs on one node",
        *(f"policy {name}" for name in problem.policies),
    )


def features_of(problem: MoEDeployment, rows: Ints) -> Floats:
    """Return the features of rows [n, n_var], [n, 3 n_layers + 9 + n_policies]."""
    layout, placed, levels = problem.layout, problem.placed, problem.levels
    n, layers = len(rows), np.arange(layout.n_layers)
    gates = np.zeros((n, 2 * layout.n_layers))
    if levels is not None:
        rungs = rows[:, layout.gates]
        gates[:, : layout.n_layers] = levels.experts.mean(axis=0)[layers, rungs]
        gates[:, layout.n_layers :] = levels.lost.mean(axis=0)[layers, rungs]
    kept = rows[:, layout.capacities].reshape(n, layout.n_layers, layout.n_columns)
    batch = np.array(problem.batches, dtype=float)[rows[:, layout.batch]]
    spread = np.zeros((n, 6))
    describe(
        np.ascontiguousarray(rows[:, layout.slots]), layout.n_layers, layout.n_devices,
        problem.model.n_nodes, placed.moments, placed.mean, placed.together, placed.current,
        spread,
    )  # fmt: skip
    policy = np.eye(len(problem.policies))[rows[:, layout.policy]]
    slots = kept.mean(axis=2), kept.sum(axis=1).max(axis=1)
    return np.column_stack((gates, *slots, np.log(batch), 1.0 / batch, spread, policy))
