"""Levels of gating thresholds: rules from hard to none, and what each keeps of a trace."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from moe_costmodel import GateRule, RoutingTrace, keep_mask
from problems._arrays import Floats, Ints
from problems._checks import check_choice, setting_error

__all__ = ["KINDS", "GateLevels", "chosen_rules", "default_rules"]

_VALUES = {
    "top-p": (0.2, 0.3, 0.4, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 1.0),
    "skip": (0.9, 0.8, 0.7, 0.6, 0.5, 0.45, 0.4, 0.35, 0.3, 0.25, 0.2, 0.15, 0.1, 0.05, 0.0),
}
KINDS = ("top-p", "skip", "top-k", "any")
"""Kinds of rules that levels can be made of; "any" is all of them together."""


def default_rules(kind: str, k: int, owner: str = "GatingThresholds") -> tuple[GateRule, ...]:
    """Return the rules of a kind, one of :data:`KINDS`, for a model that routes to `k` experts."""
    check_choice(owner, "rule", kind, KINDS)
    values = _VALUES | {"top-k": tuple(range(1, k + 1))}
    kinds = values if kind == "any" else (kind,)
    return tuple(GateRule(name, value) for name in kinds for value in values[name])  # type: ignore[arg-type]


def chosen_rules(
    rules: Sequence[GateRule] | None, kind: str, k: int, owner: str
) -> tuple[GateRule, ...]:
    """Return the checked `rules`, or if there are none those of a kind, as `default_rules`."""
    if rules is None:
        return default_rules(kind, k, owner)
    listed = tuple(rules) if isinstance(rules, Iterable) and not isinstance(rules, str) else ()
    if len(listed) < 2 or not all(isinstance(rule, GateRule) for rule in listed):
        kinds = ", ".join(map(repr, KINDS))
        expected = f"at least two GateRules (or give rule=, one of {kinds}, for rules of a kind)"
        raise setting_error(owner, "rules", expected, rules)
    return listed


@dataclass(frozen=True)
class GateLevels:
    """Effect of each rule on each layer of each window.

    Attributes
    ----------
    rules : tuple of tuple of GateRule
        Rules of each layer, from the one that keeps the fewest experts to the one that keeps the
        most.
    experts : float array [n_windows, n_layers, n_levels]
        Mean experts per token.
    lost : float array [n_windows, n_layers, n_levels]
        Fraction of the routers' weight that is dropped.
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
        """Apply every rule to every layer; `owner` is the class to name in messages.

        Raises
        ------
        ValueError
            If a trace has no weights.
        """
        for trace in windows:
            if not trace.has_weights:
                remedy = '; or leave "gates" out of `decide`' * (owner == "MoEDeployment")
                raise setting_error(
                    owner,
                    "trace",
                    "one with the weights of the choices, which thresholds compare "
                    f"(RoutingTrace.record keeps them{remedy})",
                    trace.source,
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
        """Return a single level, with one rule per layer."""
        single = [(rule,) for rule in rules]
        return cls(tuple(single), *_kept(windows, single))

    @property
    def n_levels(self) -> int:
        """Number of levels."""
        return self.experts.shape[2]

    def picked(self, row: Ints) -> tuple[GateRule, ...]:
        """Return the rule of each layer at the levels `row` [n_layers]."""
        return tuple(rules[int(v)] for rules, v in zip(self.rules, row, strict=True))

    def at(self, rows: Ints) -> tuple[Floats, Floats]:
        """Return mean experts and weight lost at the levels `rows`, each [n, n_layers]."""
        layers = np.arange(len(self.rules))
        return self.experts.mean(axis=0)[layers, rows], self.lost.mean(axis=0)[layers, rows]

    def path(self) -> Ints:
        """Return designs that drop ever more, at each step where an expert costs least weight.

        In each layer, only the lower convex hull of weight lost over experts is followed, so that
        no mix of layers loses less weight for the same experts at the corners of the path.

        Returns
        -------
        int array [n, n_layers]
            Levels, from nothing dropped to the most.
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
                # The longest of equally cheap steps.
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
        for layer, levels in enumerate(rules):
            weights = np.asarray(trace.topk_weights[:, layer], dtype=np.float64)
            total = float(weights.sum())
            for v, rule in enumerate(levels):
                kept = keep_mask(weights, rule)
                experts[w, layer, v] = kept.sum() / len(kept)
                # Without any weight there is none to lose.
                left = float(weights[kept].sum()) / total if total > 0 else 1.0
                lost[w, layer, v] = max(0.0, 1.0 - left)
    return experts, lost
