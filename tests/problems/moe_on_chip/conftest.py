"""A small chip and a small trace."""

from __future__ import annotations

import numpy as np
import pytest

from moe_costmodel import RoutingTrace
from problems.moe_on_chip import Activations
from problems.noc import Platform


@pytest.fixture(scope="session")
def chip():
    """Return a chip of 3 x 3 tiles: GPUs with the ids 0 to 6, LLCs 7 and 8."""
    return Platform(
        grid=(3, 3, 1),
        pe_types={"GPU": {"count": 7, "power": 4.0}, "LLC": {"count": 2, "power": 1.0}},
        n_planar_links=12,
    )


@pytest.fixture(scope="session")
def sizes():
    """Return activations of 2 flits on the way to an expert and 4 on the way back."""
    return Activations(d_model=32)


@pytest.fixture(scope="session")
def trace():
    """Return 60 tokens in 5 sequences, 3 layers of 8 experts, of which each token has 3."""
    rng = np.random.default_rng(1)
    ids = np.array([[rng.choice(8, 3, replace=False) for _ in range(3)] for _ in range(60)])
    return RoutingTrace(ids, n_experts=8, sequence_lengths=[10, 14, 8, 16, 12])
