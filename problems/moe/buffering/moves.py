"""Moves of buffers: all devices change a capacity together, or give slots up for a budget."""

from __future__ import annotations

import numpy as np

from problems._arrays import Ints
from problems.moe.ordinal import Variables

__all__ = ["move_round", "within_budget"]


def move_round(
    X: Ints, variables: Variables, n_layers: int, random_state: np.random.Generator
) -> Ints:
    """Return rows in which each device changed one capacity, all up or all down.

    The fullest device determines the memory, so that devices have to change their size together.

    Parameters
    ----------
    X : int array [n, n_layers * n_columns + 1]
        Capacities, with the columns of a layer side by side; then the policy, which stays.
    variables : Variables
        Bounds of the columns.
    n_layers : int
    """
    n_columns = (X.shape[1] - 1) // n_layers
    at = random_state.integers(0, n_layers, (len(X), n_columns)) * n_columns
    at += np.arange(n_columns)
    change = np.where(random_state.random(len(X)) < 0.5, 1, -1)[:, None]
    rows = np.arange(len(X))[:, None]
    out = X.copy()
    out[rows, at] = np.clip(X[rows, at] + change, variables.xl[at], variables.xu[at])
    return out


def within_budget(X: Ints, n_layers: int, most: int, random_state: np.random.Generator) -> Ints:
    """Return rows that keep at most `most` experts on a device, given up one by one at random."""
    out = X.copy()
    for row in out:
        kept = row[:-1].reshape(n_layers, -1)
        for device in range(kept.shape[1]):
            column = kept[:, device]
            while column.sum() > most:
                can = np.flatnonzero(column > 1)
                column[can[random_state.integers(len(can))]] -= 1
    return out
