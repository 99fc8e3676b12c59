"""Quality under gate rules: the gate mass kept and the measured loss, compared with a fixed k."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from moe_costmodel._arrays import Bools, Floats
from moe_costmodel._checks import invalid
from moe_costmodel.gating.rules import GateRule, apply_rule, keep_mask, rule_of_each_layer
from moe_costmodel.traces.trace import RoutingTrace
from moela.heartbeat.working import long_work

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

__all__ = ["GateMass", "LossMeter", "LossUnderRule", "gate_mass", "keep_choices", "measured_loss"]

Rules: TypeAlias = GateRule | Sequence[GateRule | None] | None


def _at_equal_k(curve: Floats, mean_experts: float) -> float:
    """Return the value of a curve over k = 1, 2, ... at a mean number of experts, interpolated."""
    return float(np.interp(mean_experts, np.arange(1, len(curve) + 1), curve))


@dataclass(frozen=True)
class GateMass:
    """Share of the routers' weight that a rule keeps.

    A rule is useful only if it keeps more than a fixed k with the same mean number of experts.

    Attributes
    ----------
    experts : ndarray of shape (n_layers,)
        Mean number of experts per token.
    mass : ndarray of shape (n_layers,)
        Share of the choices' total weight that the rule keeps.
    fixed_k_mass : ndarray of shape (k, n_layers)
        Share that the 1, 2, ... k heaviest choices keep.

    Examples
    --------
    >>> from moe_costmodel import GateRule, RoutingTrace, gate_mass
    >>> kept = gate_mass(RoutingTrace.example("code"), GateRule("top-p", 0.8))
    >>> bool((kept.mass >= 0.8).all())
    True
    """

    experts: Floats
    mass: Floats
    fixed_k_mass: Floats

    @property
    def equal_k_mass(self) -> Floats:
        """Mass that a fixed k keeps with the same mean number of experts, (n_layers,)."""
        return np.array(list(map(_at_equal_k, self.fixed_k_mass.T, self.experts)))

    def __str__(self) -> str:
        return (
            f"{self.experts.mean():.2f} experts per token keep {self.mass.mean():.1%} of the gate "
            f"mass; a fixed k with the same mean keeps {self.equal_k_mass.mean():.1%}"
        )


@dataclass(frozen=True)
class LossUnderRule:
    """Measured negative log-likelihood under a rule, in nats per token.

    Attributes
    ----------
    loss : float
        Loss under the rule.
    experts : float
        Mean number of experts per token and layer under the rule.
    full_loss : float
        Loss with all k experts.
    fixed_k_loss : ndarray of shape (k,)
        Loss with the 1, 2, ... k heaviest experts.
    n_tokens : int
        Predicted tokens.

    Examples
    --------
    >>> import torch
    >>> from moe_costmodel import GateRule, measured_loss
    >>> from moe_costmodel.example import load_model
    >>> result = measured_loss(load_model(), [torch.arange(32)[None]], GateRule("top-k", 1))
    >>> result.experts, result.n_tokens
    (1.0, 31)
    """

    loss: float
    experts: float
    full_loss: float
    fixed_k_loss: Floats
    n_tokens: int

    @property
    def equal_k_loss(self) -> float:
        """Loss of a fixed k with the same mean number of experts, interpolated."""
        return _at_equal_k(self.fixed_k_loss, self.experts)

    def __str__(self) -> str:
        return (
            f"loss {self.loss:.4f} nats per token with {self.experts:.2f} experts "
            f"({self.full_loss:.4f} with all {len(self.fixed_k_loss)}); a fixed k with the same "
            f"mean has {self.equal_k_loss:.4f}"
        )


def keep_choices(trace: RoutingTrace, rules: Rules) -> Bools:
    """Return which choices of a trace the rules keep.

    Parameters
    ----------
    trace : RoutingTrace
        A trace with weights.
    rules : GateRule or sequence of GateRule or None
        One rule for all layers, or one for each layer; None drops nothing.

    Returns
    -------
    ndarray of shape (n_tokens, n_layers, k), bool
        As ``trace.loads(..., keep=...)`` takes them.

    Raises
    ------
    ValueError
        If the trace has no weights, or the number or kind of the rules is wrong.

    Examples
    --------
    >>> from moe_costmodel import GateRule, RoutingTrace, keep_choices
    >>> trace = RoutingTrace.example("code")
    >>> keep = keep_choices(trace, GateRule("top-k", 1))
    >>> bool((keep.sum(axis=-1) == 1).all())
    True
    """
    weights = trace.topk_weights
    per_layer = rule_of_each_layer(rules, trace.n_layers, "keep_choices")
    return np.stack([keep_mask(weights[:, i], rule) for i, rule in enumerate(per_layer)], axis=1)


def gate_mass(trace: RoutingTrace, rules: Rules) -> GateMass:
    """Measure the share of a trace's weights that rules keep.

    Parameters
    ----------
    trace, rules
        As for :func:`keep_choices`, which names the errors too.

    Returns
    -------
    GateMass

    Examples
    --------
    >>> from moe_costmodel import GateRule, RoutingTrace, gate_mass
    >>> kept = gate_mass(RoutingTrace.example("code"), GateRule("top-k", 1))
    >>> kept.experts.tolist()
    [1.0, 1.0, 1.0, 1.0, 1.0, 1.0]
    """
    weights = trace.topk_weights.astype(np.float64)
    kept = keep_choices(trace, rules)
    total = np.maximum(weights.sum(axis=(0, 2)), np.finfo(float).tiny)
    descending = -np.sort(-weights, axis=2)
    return GateMass(
        kept.sum(axis=2).mean(axis=0),
        (weights * kept).sum(axis=(0, 2)) / total,
        descending.sum(axis=0).cumsum(axis=1).T / total,
    )


@long_work("measuring the loss under gate rules")
def measured_loss(model: Module, batches: Iterable[Tensor], rules: Rules) -> LossUnderRule:
    """Measure the loss of a causal language model whose routers follow gate rules.

    Parameters
    ----------
    model : Module
        The packaged example model, or a Hugging Face causal language model of a family whose
        routing can be edited (:func:`moe_costmodel.edit_routing`).
    batches : iterable of Tensor of shape (batch, length) or (length,), int64
        Token ids without padding; each is predicted from the tokens before it.
    rules : GateRule or sequence of GateRule or None
        As for :func:`keep_choices`.

    Returns
    -------
    LossUnderRule
        The loss under the rules and of every fixed k, measured on the same batches.

    Raises
    ------
    ValueError
        If there is no batch, or one holds no ids of the model's tokens, or the model or the number
        of rules does not fit.

    Examples
    --------
    >>> import torch
    >>> from moe_costmodel import GateRule, measured_loss
    >>> from moe_costmodel.example import load_model
    >>> result = measured_loss(load_model(), [torch.arange(32)[None]], GateRule.keep_all())
    >>> result.loss == result.full_loss
    True
    """
    run = LossMeter(model, batches)
    loss, experts = run(rules)
    fixed = [run(GateRule("top-k", k))[0] for k in range(1, run.k + 1)]
    return LossUnderRule(loss, experts, fixed[-1], np.array(fixed), run.n_tokens)


class LossMeter:
    """Measures loss and kept experts on the same batches under any rules.

    `n_layers` and `k` are those of the model; `n_tokens` counts the predicted tokens.
    """

    def __init__(self, model: Module, batches: Iterable[Tensor]) -> None:
        from moe_costmodel.traces.record import token_batches

        self.model = model
        checked = token_batches(model, batches, "measured_loss")
        self.batches = batches = [batch for batch in checked if batch.shape[1] > 1]
        if not batches:
            raise invalid("measured_loss", "batches", "none", "at least one of length 2")
        self.n_tokens = sum(batch.shape[0] * (batch.shape[1] - 1) for batch in batches)
        trace = RoutingTrace.record(model, [batches[0][:1, :2]])
        self.n_layers, self.k = trace.n_layers, trace.k

    def __call__(self, rules: Rules) -> tuple[float, float]:
        """Return the loss (nats per token), and the mean experts per token and layer."""
        import torch
        from torch.nn import functional as F

        from moe_costmodel.traces.record import edit_routing

        per_layer = rule_of_each_layer(rules, self.n_layers, "measured_loss")
        kept, routed, total = 0, 0, 0.0

        def edit(layer: int, ids: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
            nonlocal kept, routed
            changed = apply_rule(weights, per_layer[layer])
            kept += int(torch.count_nonzero(changed))
            routed += len(weights)
            return ids, changed

        with torch.no_grad(), edit_routing(self.model, edit):
            for batch in self.batches:
                answer = self.model(batch[:, :-1])
                logits = getattr(answer, "logits", answer).flatten(0, 1).float()
                total += float(F.cross_entropy(logits, batch[:, 1:].flatten(), reduction="sum"))
        return total / self.n_tokens, kept / routed
