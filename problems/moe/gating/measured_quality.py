"""Measured loss of a model under gating thresholds, as the quality of a deployment."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from moe_costmodel import GateRule
from moe_costmodel.gating.quality import LossMeter

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

__all__ = ["MeasuredLoss"]


class MeasuredLoss:
    """Loss under thresholds minus the loss without, in nats per token; values are kept.

    Parameters
    ----------
    model, batches
        As for :func:`moe_costmodel.measured_loss`.

    Examples
    --------
    >>> import torch
    >>> from moe_costmodel import GateRule
    >>> from moe_costmodel.example import load_model
    >>> from problems.moe import MeasuredLoss
    >>> loss = MeasuredLoss(load_model(), [torch.arange(32)[None]])
    >>> round(float(loss([GateRule.keep_all()] * 6)), 6)
    0.0
    """

    def __init__(self, model: Module, batches: Iterable[Tensor]) -> None:
        self._meter = LossMeter(model, batches)
        self._known: dict[tuple[GateRule | None, ...], float] = {}
        self.full_loss = self._meter(GateRule.keep_all())[0]

    def __call__(self, gates: Sequence[GateRule | None]) -> float:
        """Return the additional loss under one rule per layer (None drops nothing)."""
        rules = tuple(gates)
        if rules not in self._known:
            loss, _ = self._meter([GateRule.keep_all() if r is None else r for r in rules])
            self._known[rules] = loss - self.full_loss
        return self._known[rules]
