"""Ladders of gating thresholds: rules from hard to none, and what each keeps of a trace."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from moe_costmodel import GateRule, RoutingTrace, keep_mask
from moe_costmodel._checks import invalid, one_of
from problems._arrays import Floats

__all__ = ["KINDS", "GateLevels", "default_rules"]

KINDS = ("top-p", "skip", "top-k", "any")
"""What a ladder is made of: one kind of rule, or all of them."""

_TOP_P = (0.2, 0.3, 0.4, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 1.0)
_SKIP = (0.9, 0.8, 0.7, 0.6, 0.5, 0.45, 0.4, 0.35, 0.3, 0.25, 0.2, 0.15, 0.1, 0.05, 0.0)


def default_rules(kind: str, k: int) -> tuple[GateRule, ...]:
    """Return the rules of a ladder; `kind` is one of :data:`KINDS`, `k` the model's experts."""
    one_of("GatingThresholds", "rule", kind, KINDS)
    ladders: dict[str, list[GateRule]] = {
        "top-p": [GateRule("top-p", value) for value in _TOP_P],
        "skip": [GateRule("skip", value) for value in _SKIP],
        "top-k": [GateRule("top-k", value) for value in range(1, k + 1)],
    }
    chosen = ladders.values() if kind == "any" else [ladders[kind]]
    return tuple(rule for ladder in chosen for rule in ladder)


@dataclass(frozen=True)
class GateLevels:
    """What each rule of a ladder does to each layer of each window.

    Attributes
    ----------
    rules : tuple of tuple of GateRule
        Of each layer, from the one that keeps the fewest experts to the one that keeps the most.
    experts : float array [n_windows, n_layers, n_levels]
        Mean experts a token.
    lost : float array [n_windows, n_layers, n_levels]
        Share of the routers' weight that is dropped.
    """

    rules: tuple[tuple[GateRule, ...], ...]
    experts: Floats
    lost: Floats

    @classmethod
    def of(
        cls,
        windows: Sequence[RoutingTrace],
        rules: Sequence[GateRule],
        owner: str = "GatingThresholds",
    ) -> GateLevels:
        """Apply every rule to every layer; `owner` is whose parameters they are, for messages.

        Raises
        ------
        ValueError
            If a trace has no weights, or there are fewer than two rules.
        """
        if len(rules) < 2:
            raise invalid(owner, "rules", len(rules), "at least two GateRules")
        for trace in windows:
            if not trace.has_weights:
                remedy = '; or leave "gates" out of `decide`' * (owner == "MoEDeployment")
                raise invalid(
                    owner,
                    "trace",
                    f"none in {trace.source!r}",
                    "one with the weights of the choices, since thresholds compare them "
                    f"(RoutingTrace.record keeps them{remedy})",
                )
        experts, lost = _kept(windows, [rules] * windows[0].n_layers)
        order = np.lexsort((-lost.mean(axis=0), experts.mean(axis=0)), axis=-1)
        return cls(
            tuple(tuple(rules[int(v)] for v in row) for row in order),
            np.take_along_axis(experts, order[None], axis=2),
            np.take_along_axis(lost, order[None], axis=2),
        )

    @classmethod
    def fixed(cls, windows: Sequence[RoutingTrace], rules: Sequence[GateRule]) -> GateLevels:
        """Return ladders of one rung, a rule for each layer."""
        single = [(rule,) for rule in rules]
        return cls(tuple(single), *_kept(windows, single))

    @property
    def n_levels(self) -> int:
        """Rungs of the ladder."""
        return self.experts.shape[2]

    def path(self) -> NDArray[np.int64]:
        """Return levels from none dropped to most, dropping next what costs least weight an expert.

        Layer by layer only the lower convex hull of weight lost over experts is gone along, so
        that no mix of layers loses less for the same experts at the corners of the path.

        Returns
        -------
        int array [n, n_layers]
        """
        experts, lost = self.experts.mean(axis=0), self.lost.mean(axis=0)
        steps = []
        for layer in range(len(experts)):
            at = self.n_levels - 1
            while at > 0:
                fewer = experts[layer, at] - experts[layer, :at]
                price = (lost[layer, :at] - lost[layer, at]) / np.maximum(fewer, 1e-12)
                price[fewer <= 1e-12] = np.inf
                if not np.isfinite(price).any():
                    break
                # Of equally cheap steps the longest.
                following = int(price.argmin())
                steps.append((float(price[following]), layer, following))
                at = following
        # Prices rise along a hull, so that sorting keeps the order within a layer.
        steps.sort(key=lambda step: step[0])
        rows = [np.full(len(experts), self.n_levels - 1)]
        for _, layer, level in steps:
            rows.append(rows[-1].copy())
            rows[-1][layer] = level
        return np.array(rows, dtype=np.int64)


def _kept(
    windows: Sequence[RoutingTrace], rules: Sequence[Sequence[GateRule]]
) -> tuple[Floats, Floats]:
    """Return mean experts and lost weight of each layer's rules, [windows, layers, levels]."""
    shape = (len(windows), len(rules), len(rules[0]))
    experts, lost = np.empty(shape), np.empty(shape)
    for w, trace in enumerate(windows):
        for layer, ladder in enumerate(rules):
            weights = np.asarray(trace.topk_weights[:, layer], dtype=np.float64)
            total = max(float(weights.sum()), np.finfo(float).tiny)
            for v, rule in enumerate(ladder):
                kept = keep_mask(weights, rule)
                experts[w, layer, v] = kept.sum() / len(kept)
                lost[w, layer, v] = max(0.0, 1.0 - float(weights[kept].sum()) / total)
    return experts, lost
