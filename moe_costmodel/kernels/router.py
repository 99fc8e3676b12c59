"""The router: scores, softmax, top-k, and a gate rule."""

from __future__ import annotations

import torch
from torch import Tensor

from moe_costmodel._checks import count, invalid
from moe_costmodel.gating.rules import GateRule, apply_rule

__all__ = ["apply_rule", "route"]


def route(
    x: Tensor, gate: Tensor, k: int, *, normalize: bool = True, rule: GateRule | None = None
) -> tuple[Tensor, Tensor]:
    """Choose experts: a softmax over all experts, then the k heaviest, then a gate rule.

    Parameters
    ----------
    x : Tensor of shape (S, d_model)
        Tokens.
    gate : Tensor of shape (n_experts, d_model)
        The router's weights.
    k : int
        Experts a token.
    normalize : bool
        Whether to scale a token's weights so that they sum to 1.
    rule : GateRule, optional
        Applied to the k choices.

    Returns
    -------
    ids, weights : Tensor of shape (S, k)
        Heaviest first; dropped choices have weight 0.

    Raises
    ------
    ValueError
        If the shapes do not fit, or k is not in 1 .. n_experts.

    Examples
    --------
    >>> import torch
    >>> from moe_costmodel.kernels import route
    >>> ids, weights = route(torch.ones(2, 8), torch.eye(4, 8), k=2)
    >>> ids.shape, weights.sum(dim=1).tolist()
    (torch.Size([2, 2]), [1.0, 1.0])
    """
    if gate.ndim != 2 or x.ndim != 2 or x.shape[1] != gate.shape[1]:
        expected = f"of shape (tokens, d_model), to fit 'gate' of shape {tuple(gate.shape)}"
        raise invalid("route", "x", f"shape {tuple(x.shape)}", expected)
    if count("route", "k", k) > len(gate):
        raise invalid("route", "k", k, f"at most the {len(gate)} experts of 'gate'")
    probabilities = torch.nn.functional.linear(x, gate).float().softmax(dim=-1)
    weights, ids = probabilities.topk(k, dim=-1)
    if normalize:
        weights = weights / weights.sum(dim=-1, keepdim=True)
    return ids, weights if rule is None else apply_rule(weights, rule)
