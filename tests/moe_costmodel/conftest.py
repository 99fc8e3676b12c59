import os
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from moe_costmodel.traces.trace import RoutingTrace

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """Small kernels on several threads are slower, and far slower on a busy machine."""
    if find_spec("torch") is not None:
        import torch

        torch.set_num_threads(1)


@pytest.fixture(scope="session")
def shared_data():
    folder = os.environ.get("MOELA_DATA")
    if not folder:
        pytest.skip("MOELA_DATA is not set, so the shared data is not at hand")
    return Path(folder)


@pytest.fixture(scope="session")
def deepseek(shared_data):
    return {
        domain: RoutingTrace.load(shared_data / f"routing/deepseek-v2-lite-{domain}.npz")
        for domain in ("intent", "translation")
    }


@pytest.fixture
def rng():
    return np.random.default_rng(7)


def random_trace(rng, *, n_tokens=60, n_layers=2, k=2, n_experts=8, lengths=None):
    """A skewed random trace with weights."""
    popularity = rng.dirichlet(np.full(n_experts, 0.6), size=n_layers)
    noise = rng.gumbel(size=(n_tokens, n_layers, n_experts))
    ids = np.argsort(-(np.log(popularity + 1e-9) + noise), axis=2)[:, :, :k]
    weights = np.sort(rng.dirichlet(np.ones(k + 2), size=(n_tokens, n_layers))[:, :, :k])[..., ::-1]
    return RoutingTrace(
        ids.astype(np.uint8), weights, n_experts=n_experts, sequence_lengths=lengths
    )


@pytest.fixture
def trace(rng):
    return random_trace(rng, lengths=[10, 25, 5, 13, 7])
