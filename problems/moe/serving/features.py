"""Features of designs for learned models."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from problems._arrays import Floats, Ints
from problems.moe.gating.levels import GateLevels
from problems.moe.serving.columns import Columns
from problems.moe.serving.setup import Choices

__all__ = ["feature_names", "features"]


def feature_names(
    columns: Columns, roles: Sequence[str], methods: Sequence[str]
) -> tuple[str, ...]:
    """Return the names of `features`: sizes of each pool, placement by method, gates by layer."""
    names = [
        f"{role} {name}"
        for role in roles
        for name in ("log tp", "log dp", "log ep", "log pp", "log gpus", "log sequences",
                     "log tokens", "log requests")
    ]  # fmt: skip
    return (
        *names, "redundant experts", *(f"placed by {name}" for name in methods),
        *(f"gate {i}" for i in range(columns.n_layers)),
    )  # fmt: skip


def features(
    rows: Ints, columns: Columns, choices: Choices, levels: GateLevels | None, n_methods: int
) -> Floats:
    """Return the features of rows, [n, n_features]; `levels` are None without gates."""
    sizes = np.log([(v.tp, v.dp, v.moe_ep, v.pp, v.n_gpus) for v in choices.layouts])
    sequences, tokens = np.log(choices.sequences), np.log(choices.tokens)
    parts = []
    for pool in columns.pools:
        layout, n, most = rows[:, pool].T
        whole = sequences[n] + sizes[layout, 1] - sizes[layout, 4]
        parts += [sizes[layout], np.column_stack((sequences[n], tokens[most], whole))]
    copies = np.array(choices.redundant, dtype=float)[rows[:, columns.redundancy]]
    gates = np.zeros((len(rows), columns.n_layers))
    if levels is not None:
        gates = levels.at(rows[:, columns.gates])[0]
    return np.column_stack((*parts, copies, columns.counts(rows, n_methods), gates))
