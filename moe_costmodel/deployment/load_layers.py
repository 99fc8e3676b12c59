"""Steps of one MoE layer on windows of loads, which are drawn at any batch size."""

from __future__ import annotations

import numpy as np

from moe_costmodel._arrays import Floats, Ints
from moe_costmodel._checks import invalid
from moe_costmodel.deployment.layers import Kept, LayerCosts, LayerSteps, Steps
from moe_costmodel.gating.rules import GateRule
from moe_costmodel.latency.layer_kernel import Traffic
from moe_costmodel.plans.decision import LayerDecision
from moe_costmodel.traces.sampling import LoadSteps

__all__ = ["LoadCosts"]

# Steps that are drawn for all windows together, and for each of them at least.
_STEPS, _FEWEST = 512, 128
_NO_ENTRIES = np.zeros(0, np.int64), np.zeros(0, np.int32), np.zeros(0, np.int32)


class LoadCosts(LayerCosts):
    """Evaluates layers on windows of loads; see :class:`moe_costmodel.traces.sampling.LoadSteps`.

    Thresholds and buffers depend on the choices of each token in their order, and are refused.
    """

    def _prepare(self) -> None:
        self._drawn: dict[int, list[LoadSteps]] = {}
        self._kept: Kept = np.zeros(0, dtype=np.uint8), np.ones(len(self.windows))

    @property
    def recorded_batch_size(self) -> int:
        """Tokens of the smallest window; larger steps than were recorded are drawn from it."""
        tokens = [trace.loads().sum(axis=(0, 2)).min() / self.shape.k for trace in self.windows]
        return max(1, int(min(tokens)))

    def _make_steps(self, batch_size: int) -> Steps:
        n_steps = max(_FEWEST, _STEPS // len(self.windows))
        drawn = [
            LoadSteps.of(
                trace, batch_size, self.mode, self.shape.k, n_steps=n_steps,
                random_state=np.random.default_rng([self.random_state, number, batch_size]),
            )
            for number, trace in enumerate(self.windows)
        ]  # fmt: skip
        self._drawn[batch_size] = drawn
        bounds = np.cumsum([0, *(steps.n_steps for steps in drawn)])
        return Steps(
            np.zeros(0, dtype=np.int64), np.zeros((0, 0, 0), dtype=np.uint16), bounds,
            np.zeros(int(bounds[-1])), tuple(dict.fromkeys(s.note for s in drawn if s.note)),
            max(steps.spread for steps in drawn),
        )  # fmt: skip

    def kept(self, layer: int, rule: GateRule | None) -> Kept:
        """Return no tokens, and that each window keeps all; a ValueError for a rule."""
        if rule is not None:
            self.require_weights()
        return self._kept

    def mean_experts(self, layer: int, rule: GateRule | None) -> Floats:
        """Return the number of experts per token in each window."""
        return self.shape.k * self.kept(layer, rule)[1]

    def _loads(self, layer: int, batch_size: int) -> Ints:
        """Return the tokens of each expert in each step of all windows, (n_steps, n_experts)."""
        self.steps(batch_size)
        return np.concatenate([
            steps.loads(
                layer, np.random.default_rng([self.random_state, number, batch_size, layer])
            )
            for number, steps in enumerate(self._drawn[batch_size])
        ])  # fmt: skip

    def _traffic(self, layer: int, gate: GateRule | None, batch_size: int) -> Traffic:
        key = (layer, gate, batch_size)
        traffic: Traffic | None = self._cache.get(key)
        if traffic is None:
            bounds = self.steps(batch_size).bounds
            counts = self._loads(layer, batch_size).astype(np.int32)
            if batch_size * self.shape.k <= self.shape.n_experts:
                step, expert = np.nonzero(counts)
                ends = np.searchsorted(step, np.arange(len(counts) + 1)).astype(np.int64)
                entries = ends, expert.astype(np.int32), counts[step, expert]
                counts = counts[:0]
            else:
                entries = _NO_ENTRIES
            traffic = counts, *entries, bounds
            self._cache.put(key, traffic, 500 + sum(part.nbytes for part in traffic[:4]))
        return traffic

    def layer(self, decision: LayerDecision) -> LayerSteps:
        """Return the steps of a layer; a ValueError if it is buffered."""
        if decision.policy is not None:
            raise invalid(
                "DeploymentModel", "decision", "a buffered layer",
                "one that keeps all experts resident, since traces of loads do not show which "
                "tokens follow each other; record the choices of each token for buffers "
                "(RoutingTrace.record; SGLang: mode per_token)",
            )  # fmt: skip
        return super().layer(decision)

    def _sent(self, decision: LayerDecision) -> Floats:
        """Return the other nodes per token, as if its choices were independent, (n_windows,)."""
        if self.n_nodes == 1:
            return np.zeros(len(self.windows))
        slots, n_nodes = decision.slots, self.n_nodes
        held = np.zeros((self.shape.n_experts, n_nodes), dtype=bool)
        held[slots, np.arange(len(slots)) // (len(slots) // n_nodes)] = True
        primary = held.argmax(axis=1)
        out = np.zeros(len(self.windows))
        for w, trace in enumerate(self.windows):
            chosen = np.minimum(self.shape.k * trace.shares()[decision.layer], 1.0)
            for source in range(n_nodes):
                for node in range(n_nodes):
                    away = (primary == node) & ~held[:, source] & (node != source)
                    out[w] += 1.0 - np.prod(1.0 - chosen[away])
        return out / n_nodes
