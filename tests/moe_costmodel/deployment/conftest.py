import numpy as np
import pytest

from tests.moe_costmodel.random_traces import random_trace


@pytest.fixture
def traces():
    return [
        random_trace(np.random.default_rng(seed), n_tokens=150, n_layers=3, lengths=[25] * 6)
        for seed in (1, 2)
    ]
