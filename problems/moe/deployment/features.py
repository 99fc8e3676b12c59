"""Features of a joint deployment for learned models."""

from __future__ import annotations

import numpy as np

from problems._arrays import Floats, Ints
from problems.moe.deployment.layout import Layout
from problems.moe.placement.kernels import FEATURES

__all__ = ["feature_names", "features_of"]


def feature_names(layout: Layout) -> tuple[str, ...]:
    """Return the names of the columns of `features_of`."""
    layers = range(layout.n_layers)
    return (
        *(f"experts {i}" for i in layers),
        *(f"mass lost {i}" for i in layers),
        *(f"slots {i}" for i in layers),
        "slots of the fullest device",
        "log batch",
        "one over batch",
        *FEATURES,
        *(f"policy {name}" for name in layout.policies),
    )


def features_of(layout: Layout, rows: Ints) -> Floats:
    """Return the features of rows [n, n_var], [n, 3 n_layers + 9 + n_policies]."""
    n = len(rows)
    gates = (np.zeros((n, layout.n_layers)),) * 2
    if layout.levels is not None:
        gates = layout.levels.at(rows[:, layout.gates])
    kept = rows[:, layout.capacities].reshape(n, layout.n_layers, layout.n_columns)
    batch_size = np.array(layout.batch_sizes, dtype=float)[rows[:, layout.batch_size]]
    spread = layout.placed.slots.features(rows[:, layout.slots])
    policy = np.eye(len(layout.policies))[rows[:, layout.policy]]
    slots = kept.mean(axis=2), kept.sum(axis=1).max(axis=1)
    return np.column_stack((*gates, *slots, np.log(batch_size), 1.0 / batch_size, spread, policy))
