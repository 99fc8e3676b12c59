"""Loads of the benchmarks behind tables of experts."""

from __future__ import annotations

import re
from functools import cache

import numpy as np

from moe_costmodel.models.shape import ExpertShape

__all__ = ["benchmark_load"]

_DRAWS = 256
_TOP = 0.8  # largest load of one expert, as a share of the tokens


def benchmark_load(distribution: str, experts: ExpertShape, ep: int, tokens: float) -> float:
    """Return the choices of the busiest rank over the mean of all ranks, in a table's benchmark.

    The tables hold the busiest rank of random loads. Those of a distribution ``power_law_a`` draw
    the load of each expert from a power law of exponent a between 1 and 0.8 of the tokens. The mean
    of such draws explains the times of TensorRT-LLM's kernels, which were measured with even loads,
    too: the ratio of both is 1.94 for DeepSeek-V3 over 16 ranks of an H200 (draws: 2.06), and 1.60
    over 8 ranks (1.57), with 32,768 tokens.

    Parameters
    ----------
    distribution : str
        Name of the distribution in the table; other names than power laws are even loads.
    experts : ExpertShape
        Experts of a layer.
    ep : int
        Ranks of expert parallelism.
    tokens : float
        Tokens of all ranks.

    Returns
    -------
    float
        At least 1.
    """
    exponent = re.fullmatch(r"power_law_([\d.]+)", distribution)
    if ep == 1 or exponent is None:
        return 1.0
    # Powers of two are enough, and keep the draws few.
    rounded = 2 ** max(0, round(float(np.log2(max(tokens, 1.0)))))
    return _drawn(float(exponent.group(1)), experts.n_experts, experts.k, ep, rounded)


@cache
def _drawn(exponent: float, n_experts: int, k: int, ep: int, tokens: int) -> float:
    low, high = (1.0, _TOP * tokens) if tokens * k > n_experts else (0.01, 2.0)
    power = 1.0 - exponent if exponent != 1.0 else 1e-9
    uniform = np.random.default_rng(0).random((_DRAWS, n_experts))
    loads = ((high**power - low**power) * uniform + low**power) ** (1 / power)
    loads *= tokens * k / loads.sum(axis=1, keepdims=True)
    # A token chooses an expert once.
    loads = np.minimum(loads, tokens)
    edges = np.arange(ep) * n_experts // ep
    ranks = np.add.reduceat(loads, edges, axis=1)
    return float((ranks.max(axis=1) * ep / ranks.sum(axis=1)).mean())
