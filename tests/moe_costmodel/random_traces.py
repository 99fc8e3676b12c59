"""Random routing traces for tests."""

import numpy as np

from moe_costmodel import RoutingTrace


def random_trace(rng, *, n_tokens=60, n_layers=2, k=2, n_experts=8, lengths=None):
    """Return a skewed random trace with weights."""
    popularity = rng.dirichlet(np.full(n_experts, 0.6), size=n_layers)
    noise = rng.gumbel(size=(n_tokens, n_layers, n_experts))
    ids = np.argsort(-(np.log(popularity + 1e-9) + noise), axis=2)[:, :, :k]
    weights = np.sort(rng.dirichlet(np.ones(k + 2), size=(n_tokens, n_layers))[:, :, :k])[..., ::-1]
    return RoutingTrace(
        ids.astype(np.uint8), weights, n_experts=n_experts, sequence_lengths=lengths
    )
