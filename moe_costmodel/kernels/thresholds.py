"""Gating thresholds in torch: the router's top-k, and the choices that a rule keeps of it."""

from __future__ import annotations

import torch
from torch import Tensor

from moe_costmodel.gating.rules import GateRule

__all__ = ["apply_rule", "route"]


def route(
    x: Tensor, gate: Tensor, k: int, *, normalize: bool = True, rule: GateRule | None = None
) -> tuple[Tensor, Tensor]:
    """Choose experts: softmax over all of them, the k heaviest, and a rule on top.

    Parameters
    ----------
    x : Tensor of shape (S, d_model)
        Tokens.
    gate : Tensor of shape (n_experts, d_model)
        The router's weights.
    k : int
        Experts a token.
    normalize : bool
        Whether a token's weights are made to sum to 1.
    rule : GateRule, optional
        Applied to the k choices.

    Returns
    -------
    ids, weights : Tensor of shape (S, k)
        Heaviest first; dropped choices have weight 0.

    Examples
    --------
    >>> import torch
    >>> from moe_costmodel.kernels import route
    >>> ids, weights = route(torch.ones(2, 8), torch.eye(4, 8), k=2)
    >>> ids.shape, weights.sum(dim=1).tolist()
    (torch.Size([2, 2]), [1.0, 1.0])
    """
    probabilities = torch.nn.functional.linear(x, gate).float().softmax(dim=-1)
    weights, ids = probabilities.topk(k, dim=-1)
    if normalize:
        weights = weights / weights.sum(dim=-1, keepdim=True)
    return ids, weights if rule is None else apply_rule(weights, rule)


def apply_rule(weights: Tensor, rule: GateRule) -> Tensor:
    """Set the weights of dropped choices to 0, and scale the others to the same sum.

    Parameters
    ----------
    weights : Tensor of shape (S, k)
        Weights of each token's choices, in any order.
    rule : GateRule
        What to keep.

    Returns
    -------
    Tensor of shape (S, k)
        A kernel does not compute a choice of weight 0.

    Examples
    --------
    >>> import torch
    >>> from moe_costmodel import GateRule
    >>> from moe_costmodel.kernels import apply_rule
    >>> apply_rule(torch.tensor([[0.75, 0.25]]), GateRule("top-k", 1)).tolist()
    [[1.0, 0.0]]
    """
    ordered, order = weights.sort(dim=-1, descending=True, stable=True)
    if rule.kind == "skip":
        keep = ordered >= rule.value * ordered[..., :1]
    elif rule.kind == "top-p":
        before = ordered.cumsum(dim=-1) - ordered
        keep = before < rule.value * ordered.sum(dim=-1, keepdim=True)
    else:
        keep = torch.arange(weights.shape[-1], device=weights.device) < rule.value
        keep = keep.expand_as(ordered).clone()
    keep[..., : rule.k_min] = True
    kept = ordered * keep
    scale = ordered.sum(dim=-1, keepdim=True) / kept.sum(dim=-1, keepdim=True).clamp_min(1e-30)
    return torch.empty_like(weights).scatter_(-1, order, kept * scale)
