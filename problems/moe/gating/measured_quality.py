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
        self._known: dict[tuple[GateRule, ...], tuple[float, float]] = {}
        self.full_loss, _ = self.measured([None] * self.n_layers)

    @property
    def n_layers(self) -> int:
        """Number of MoE layers of the model."""
        return self._meter.n_layers

    def __call__(self, gates: Sequence[GateRule | None]) -> float:
        """Return the additional loss under one rule per layer (None drops nothing)."""
        return self.measured(gates)[0] - self.full_loss

    def measured(self, gates: Sequence[GateRule | None]) -> tuple[float, float]:
        """Return the loss and the mean experts per token under one rule per layer."""
        rules = tuple(GateRule.keep_all() if rule is None else rule for rule in gates)
        if rules not in self._known:
            self._known[rules] = self._meter(rules)
        return self._known[rules]

    def __getstate__(self) -> dict[str, object]:
        return self.__dict__ | {"_known": {}}
