"""Headroom of a trace that is a sum over steps: static lists alone, for independent tokens."""

from __future__ import annotations

import numpy as np

from moe_costmodel._arrays import Floats
from moe_costmodel._checks import invalid
from moe_costmodel.offloading.cost import MissCost
from moe_costmodel.traces.trace import RoutingTrace

__all__ = ["list_misses", "needed_of_step"]


def needed_of_step(trace: RoutingTrace, top_k: int, batch_size: int) -> Floats:
    """Return the probability that a step needs each expert, (n_layers, n_experts).

    Tokens are taken to choose independently. Layers without tokens have zeros.

    Raises
    ------
    ValueError
        If an expert has more than every token's choice, so that `top_k` is too large.
    """
    of_token = top_k * trace.shares()
    if of_token.max() > 1.0 + 1e-9:
        most = int(1.0 / trace.shares().max())
        expected = f"at most {most}, since the busiest expert has {trace.shares().max():.1%}"
        raise invalid("headroom", "top_k", top_k, expected)
    return np.asarray(1.0 - (1.0 - np.minimum(of_token, 1.0)) ** batch_size)


def list_misses(fitted: Floats, needed: Floats, slots: int) -> float:
    """Return the misses of a step if each layer keeps its most used experts.

    Parameters
    ----------
    fitted, needed : ndarray of shape (n_layers, n_experts)
        Uses that the list is fitted to, and probabilities that a step needs an expert.
    slots : int
        Experts of a layer that fit.
    """
    order = np.argsort(-fitted, axis=1, kind="stable")
    return float(np.take_along_axis(needed, order[:, slots:], axis=1).sum())


def list_seconds(fitted: Floats, needed: Floats, slots: int, cost: MissCost) -> float:
    """Return the mean seconds of a step with such lists; parameters as above."""
    return float(cost.step_seconds(list_misses(fitted, needed, slots), 0.0))
