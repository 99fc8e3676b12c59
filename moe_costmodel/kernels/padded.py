"""Padded batch: one batched product in which all experts are padded to the busiest one."""

from __future__ import annotations

import torch
from torch import Tensor

from moe_costmodel.kernels.dynamic import combine, sort_by_expert
from moe_costmodel.kernels.experts import Experts, check_layer

__all__ = ["padded_batch"]


def padded_batch(x: Tensor, ids: Tensor, weights: Tensor, experts: Experts) -> Tensor:
    """Compute an MoE layer by padding all experts to the busiest one.

    No token is dropped, but every expert computes as many slots as the busiest one, so the waste is
    the skew of the routing. Engines that only have a batched product work in this way.

    Parameters
    ----------
    x, ids, weights, experts
        As for :func:`dynamic_gating`, which names the errors too.

    Returns
    -------
    Tensor of shape (S, d_model)

    Examples
    --------
    >>> import torch
    >>> from moe_costmodel.kernels import Experts, padded_batch
    >>> experts = Experts.random(n_experts=4, d_model=8, d_ffn=16)
    >>> ids, weights = torch.tensor([[0, 1], [2, 3]]), torch.full((2, 2), 0.5)
    >>> padded_batch(torch.ones(2, 8), ids, weights, experts).shape
    torch.Size([2, 8])
    """
    check_layer(x, ids, weights, experts)
    order, counts = sort_by_expert(ids, weights, experts.n_experts)
    if not len(order):
        return torch.zeros_like(x)
    expert = torch.repeat_interleave(counts)
    place = torch.arange(len(order), device=x.device) - (counts.cumsum(0) - counts)[expert]
    slots = x.new_zeros(experts.n_experts, int(counts.max()), x.shape[1])
    slots[expert, place] = x[order // ids.shape[1]]
    return combine(experts.products(slots)[expert, place], order, weights)
