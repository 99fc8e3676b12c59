from importlib.util import find_spec

import numpy as np
import pytest

from moe_costmodel import RoutingTrace
from tests.moe_costmodel.random_traces import random_trace


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """Use one thread: with several, small kernels are slower, above all on a busy machine."""
    if find_spec("torch") is not None:
        import torch

        torch.set_num_threads(1)


@pytest.fixture(scope="session")
def deepseek(shared_data):
    return {
        domain: RoutingTrace.load(shared_data / f"routing/deepseek-v2-lite-{domain}.npz")
        for domain in ("intent", "translation")
    }


@pytest.fixture
def rng():
    return np.random.default_rng(7)


@pytest.fixture
def trace(rng):
    return random_trace(rng, lengths=[10, 25, 5, 13, 7])
