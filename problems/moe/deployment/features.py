"""Features of a joint deployment for learned models."""

from __future__ import annotations

import numpy as np

from problems._arrays import Floats, Ints
from problems.moe.deployment.space import DesignSpace
from problems.moe.placement.kernels import FEATURES, describe

__all__ = ["feature_names", "features_of"]


def feature_names(space: DesignSpace) -> tuple[str, ...]:
    """Return the names of the columns of `features_of`."""
    layers = range(space.layout.n_layers)
    return (
        *(f"experts {i}" for i in layers),
        *(f"mass lost {i}" for i in layers),
        *(f"slots {i}" for i in layers),
        "slots of the fullest device",
        "log batch",
        "one over batch",
        *FEATURES,
        *(f"policy {name}" for name in space.policies),
    )


def features_of(space: DesignSpace, rows: Ints) -> Floats:
    """Return the features of rows [n, n_var], [n, 3 n_layers + 9 + n_policies]."""
    layout, placed, n = space.layout, space.placed, len(rows)
    gates = (np.zeros((n, layout.n_layers)),) * 2
    if space.levels is not None:
        gates = space.levels.at(rows[:, layout.gates])
    kept = rows[:, layout.capacities].reshape(n, layout.n_layers, layout.n_columns)
    batch_size = np.array(space.batch_sizes, dtype=float)[rows[:, layout.batch_size]]
    spread = np.zeros((n, len(FEATURES)))
    describe(
        np.ascontiguousarray(rows[:, layout.slots]), layout.n_layers, layout.n_devices,
        space.model.n_nodes, placed.moments, placed.mean, placed.together, placed.current,
        spread,
    )  # fmt: skip
    policy = np.eye(len(space.policies))[rows[:, layout.policy]]
    slots = kept.mean(axis=2), kept.sum(axis=1).max(axis=1)
    return np.column_stack((*gates, *slots, np.log(batch_size), 1.0 / batch_size, spread, policy))
