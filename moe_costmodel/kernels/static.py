"""Static gating: fixed expert capacity, a dense dispatch mask, and dropped tokens."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from moe_costmodel._checks import check_number, require
from moe_costmodel.kernels.experts import Experts, check_layer

__all__ = ["capacity_of", "dispatch_positions", "static_gating"]


def capacity_of(n_tokens: int, capacity_factor: float) -> int:
    """Return the expert capacity: the tokens of a step times the capacity factor, at least 1.

    Fractions are rounded up, but not those that the product of two floats rounds to: 0.07 times 100
    tokens is 7.
    """
    owner, expected = "static_gating", "a positive, finite number"
    factor = check_number(owner, "capacity_factor", capacity_factor, expected)
    require(owner, "capacity_factor", capacity_factor, factor > 0, expected)
    capacity = factor * n_tokens
    if math.isinf(capacity):  # of a factor far above those that have fractions
        return int(factor) * n_tokens
    whole = round(capacity)
    return max(1, whole if math.isclose(capacity, whole, rel_tol=1e-12) else math.ceil(capacity))


def dispatch_positions(ids: Tensor, weights: Tensor, n_experts: int) -> Tensor:
    """Return the position of each choice in the queue of its expert, (S, k), starting at 0.

    First choices come before second choices, and earlier tokens before later tokens.
    """
    places = torch.empty_like(ids)
    queued = torch.zeros(n_experts, dtype=ids.dtype, device=ids.device)
    for j in range(ids.shape[1]):
        chosen = torch.nn.functional.one_hot(ids[:, j].long(), n_experts)
        chosen = chosen * (weights[:, j : j + 1] != 0)
        places[:, j] = ((chosen.cumsum(0) - 1 + queued) * chosen).sum(dim=1)
        queued = queued + chosen.sum(dim=0)
    return places


def static_gating(
    x: Tensor, ids: Tensor, weights: Tensor, experts: Experts, *, capacity_factor: float = 1.0
) -> Tensor:
    """Compute an MoE layer by static gating (arXiv 2303.06182, section 2; fairseq's method).

    A mask of shape (tokens, experts, capacity) dispatches tokens to slots and combines the
    results, both by dense products of O(S^2 E C D). Every expert computes its full capacity.
    Tokens over the capacity of an expert are dropped: they get nothing from it.

    Parameters
    ----------
    x, ids, weights, experts
        As for :func:`dynamic_gating`; the first choices of tokens come first in `ids`.
    capacity_factor : float
        Capacity of every expert as a share of the S tokens; 1 never drops a token, unless the
        token chooses an expert twice. No capacity is larger than the S k choices.

    Returns
    -------
    Tensor of shape (S, d_model)

    Raises
    ------
    ValueError
        If shapes do not fit, or the capacity factor is not positive and finite.

    Examples
    --------
    >>> import torch
    >>> from moe_costmodel.kernels import Experts, static_gating
    >>> experts = Experts.random(n_experts=4, d_model=8, d_ffn=16)
    >>> ids, weights = torch.tensor([[0, 1], [2, 3]]), torch.full((2, 2), 0.5)
    >>> static_gating(torch.ones(2, 8), ids, weights, experts).shape
    torch.Size([2, 8])
    """
    check_layer(x, ids, weights, experts)
    n_tokens, k = ids.shape
    capacity = min(capacity_of(n_tokens, capacity_factor), max(1, n_tokens * k))
    places = dispatch_positions(ids, weights, experts.n_experts)
    combine = torch.zeros(n_tokens, experts.n_experts, capacity, dtype=x.dtype, device=x.device)
    token = torch.arange(n_tokens, device=x.device)[:, None].expand(-1, k)
    kept = (places < capacity) & (weights != 0)
    combine[token[kept], ids[kept].long(), places[kept].long()] = weights[kept].to(x.dtype)
    dispatch = (combine != 0).to(x.dtype)
    computed = experts.products(torch.einsum("sec,sm->ecm", dispatch, x))
    return torch.einsum("sec,ecm->sm", combine, computed)
