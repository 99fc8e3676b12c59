"""Loads of experts in sampled steps, and of the busiest rank under a placement."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from moe_costmodel._arrays import Bools, Floats, Ints
from moe_costmodel._checks import invalid
from moe_costmodel.models.shape import ModelShape
from moe_costmodel.traces.trace import RoutingTrace
from moela.compilation.jit import cached_njit

Shares = NDArray[np.float32]

__all__ = ["N_STEPS", "SampledLoads", "busiest_loads"]

N_STEPS = 100
"""Steps that are sampled, so that the 99th percentile is the second largest."""
# Steps of more tokens have the same means, and deviations that shrink with the root of the tokens.
_MOST_DRAWN = 1024


class SampledLoads:
    """Samples steps of any number of tokens from routing traces.

    From a trace of tokens, the tokens of a step are drawn at random, so that they are independent
    of each other, as those of different sequences; choices of one token in all layers stay
    together. From a trace of loads, the choices of a step are drawn independently from the shares
    of one recorded step. Traces take turns.

    Parameters
    ----------
    traces : sequence of RoutingTrace
        Windows or domains of the traffic.
    shape : ModelShape
        A model with experts, whose MoE layers the traces hold. Layers without any load (the dense
        ones in published dumps) are left out.

    Attributes
    ----------
    shares : ndarray of shape (n_windows, n_layers, n_experts)
        Mean shares of each trace.

    Raises
    ------
    ValueError
        If a trace has other layers, experts, or choices than the model.
    """

    def __init__(self, traces: Sequence[RoutingTrace], shape: ModelShape) -> None:
        self.traces, self.shape = tuple(traces), shape
        experts = shape.experts
        if experts is None:
            raise invalid("SampledLoads", "shape", shape.name, "a model with experts")
        self._k = experts.k
        self.layers: list[Ints] = []
        shares = []
        for trace in self.traces:
            share = trace.shares()
            rows = np.flatnonzero(share.sum(axis=1) > 0)
            wanted = (shape.n_moe_layers, experts.n_experts)
            if (len(rows), trace.n_experts) != wanted:
                expected = f"traces of {wanted[0]} MoE layers of {wanted[1]} experts, as the model"
                got = f"{len(rows)} of {trace.n_experts} in {trace.source!r}"
                raise invalid("SampledLoads", "traces", got, expected)
            if not trace.is_load_only and trace.k != experts.k:
                expected = f"traces of {experts.k} choices a token, as the model"
                raise invalid("SampledLoads", "traces", f"{trace.k} in {trace.source!r}", expected)
            self.layers.append(rows)
            shares.append(share[rows])
        self.shares: Floats = np.array(shares)

    @property
    def has_weights(self) -> bool:
        """Whether all traces hold the weights of choices, which rules need."""
        return all(trace.has_weights for trace in self.traces)

    def steps(self, tokens: float, keep: Sequence[Bools] | None = None) -> Shares:
        """Return the choices of each expert over all choices without rules, in sampled steps.

        Parameters
        ----------
        tokens : float
            Tokens of a step.
        keep : sequence of ndarray of shape (n_tokens, n_layers, k), bool, optional
            Choices that rules keep, by trace.

        Returns
        -------
        ndarray of shape (N_STEPS, n_layers, n_experts)
            A step sums to 1 in each layer without rules.
        """
        out = np.empty((N_STEPS, *self.shares.shape[1:]), dtype=np.float32)
        for w, trace in enumerate(self.traces):
            steps = out[w :: len(self.traces)]
            rng = np.random.default_rng((0, w, int(tokens)))
            if trace.is_load_only:
                self._draw_choices(trace, w, tokens, rng, steps)
            else:
                self._draw_tokens(trace, w, tokens, None if keep is None else keep[w], rng, steps)
        return out

    def _draw_choices(
        self, trace: RoutingTrace, w: int, tokens: float, rng: np.random.Generator, out: Shares
    ) -> None:
        loads = np.asarray(trace.loads(), dtype=np.float64)[:, self.layers[w]]
        total = loads.sum(axis=2, keepdims=True)
        mean = self.shares[w][None]
        shares = np.divide(loads, total, out=np.broadcast_to(mean, loads.shape).copy(),
                           where=total > 0)  # fmt: skip
        at = np.linspace(0, len(shares) - 1, len(out)).round().astype(np.int64)
        expected = shares[at] * max(tokens, 1.0) * self._k
        if tokens > _MOST_DRAWN:  # the normal limit is drawn five times as fast
            drawn = expected + np.sqrt(expected) * rng.standard_normal(expected.shape)
            drawn = np.maximum(drawn, 0.0)
        else:
            drawn = rng.poisson(expected)
        total = drawn.sum(axis=2, keepdims=True)
        out[:] = np.where(total > 0, drawn / np.maximum(total, 1e-9), shares[at])

    def _draw_tokens(
        self,
        trace: RoutingTrace,
        w: int,
        tokens: float,
        keep: Bools | None,
        rng: np.random.Generator,
        out: Shares,
    ) -> None:
        rows = self.layers[w]
        ids = np.ascontiguousarray(trace.topk_ids[:, rows])
        kept = np.ones((1, 1, 1), dtype=np.bool_) if keep is None else keep[:, rows]
        kept = np.broadcast_to(kept, ids.shape)
        n = max(1, min(round(tokens), _MOST_DRAWN))
        chosen = rng.integers(0, len(ids), (len(out), n))
        out[:] = 0.0
        _count(ids, kept, chosen, out)
        out /= n * self._k
        if tokens > n:
            mean = np.zeros((1, *out.shape[1:]), dtype=np.float32)
            _count(ids, kept, np.arange(len(ids))[None], mean)
            mean /= len(ids) * self._k
            out[:] = np.maximum(mean + (out - mean) * np.sqrt(n / tokens), 0.0)


@cached_njit()
def _count(ids: Ints, kept: Bools, chosen: Ints, out: Shares) -> None:
    """Count the kept choices of each expert in each step."""
    for step in range(chosen.shape[0]):
        for token in chosen[step]:
            for layer in range(ids.shape[1]):
                for j in range(ids.shape[2]):
                    if kept[token, layer, j]:
                        out[step, layer, ids[token, layer, j]] += 1.0


@cached_njit()
def busiest_loads(shares: Shares, slots: Ints, n_ranks: int, out: Floats) -> None:
    """Write the base-2 logarithm of each layer's load: the busiest rank over the mean.

    Parameters
    ----------
    shares : ndarray of shape (n_steps, n_layers, n_experts)
        As :meth:`SampledLoads.steps` returns them.
    slots : ndarray of shape (n_layers, n_slots), int64
        Expert in each slot, by rank; copies of an expert share its choices evenly.
    n_ranks : int
        Ranks, which divide the slots.
    out : ndarray of shape (n_layers, n_steps)
    """
    n_steps, n_layers, n_experts = shares.shape
    n_local = slots.shape[1] // n_ranks
    copies = np.empty(n_experts)
    for layer in range(n_layers):
        copies[:] = 0.0
        for expert in slots[layer]:
            copies[expert] += 1.0
        for step in range(n_steps):
            most = 0.0
            for rank in range(n_ranks):
                load = 0.0
                for slot in range(rank * n_local, (rank + 1) * n_local):
                    expert = slots[layer, slot]
                    load += shares[step, layer, expert] / copies[expert]
                most = max(most, load)
            out[layer, step] = np.log2(max(most * n_ranks, 1e-6))
