"""Comparisons and choices on fronts of huge and tiny objectives."""

from __future__ import annotations

import numpy as np
import pytest

from moela import compare


@pytest.fixture
def front():
    F = np.random.default_rng(1).random((20, 3)) + 0.01
    return F / np.linalg.norm(F, axis=1, keepdims=True)


def rows_of(runs):
    """Return the table's rows without volumes, which are in units of the objectives."""
    return [
        {name: value for name, value in row.items() if name != "volume"}
        for row in compare(runs).table().rows
    ]


@pytest.mark.parametrize("e", [830, (-830, 0, 830)])
def test_scaled_runs_compare_in_the_same_way(front, e):
    runs = {"A": [front + 0.01 * k for k in range(3)], "B": [front + 0.02 * k for k in range(3)]}
    scaled = {name: [np.ldexp(F, e) for F in group] for name, group in runs.items()}
    assert rows_of(runs) == rows_of(scaled)
