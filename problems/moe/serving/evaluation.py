"""Evaluation of serving designs: rates of pools, memory, cost, and quality."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from moe_costmodel import Layout, ModelShape, SiliconModel
from moe_costmodel.gating.quality import keep_choices
from moe_costmodel.latency.rule_cost import RuleCost
from moe_costmodel.serving.curves import CurveTable
from moe_costmodel.serving.loads import N_STEPS, SampledLoads, Shares, busiest_loads
from moe_costmodel.serving.steady import Instance, InstanceTimes
from problems._arrays import Floats, Ints
from problems.moe.gating.levels import GateLevels
from problems.moe.serving.placements import PlacementLibrary
from problems.moe.serving.setup import Choices

__all__ = ["Evaluator", "Served", "roles_of"]

_OCTAVES_KEPT = 16  # samples of steps, about 6 MB each for 58 layers of 256 experts
_HOUR, _MILLION = 3600.0, 1e6
# A rule compares and scales a token's choices: two kernels that have next to nothing to do, and
# three passes over ids and weights of four bytes each.
_RULE_KERNELS, _RULE_BYTES, _SMALL_KERNEL = 2, 24.0, 2e-6


def roles_of(mode: str) -> tuple[str, ...]:
    """Return the roles of the pools of a mode."""
    return ("prefill", "decode") if mode == "disaggregated" else (mode,)


@dataclass(frozen=True)
class Served:
    """Predicted values of one design.

    Attributes
    ----------
    values : dict of str to float
        By names of :data:`moe_costmodel.SERVING_OBJECTIVES`; NaN if the mode has no such value.
    replicas : tuple of int
        Instances of each pool.
    used : int
        GPUs that at least one instance of each pool takes, or all pools take.
    """

    values: dict[str, float]
    replicas: tuple[int, ...]
    used: int


class Evaluator:
    """Predicts designs of one model on one kind of GPU.

    Parameters
    ----------
    model, shape : SiliconModel, ModelShape
        GPU and engine, and the model.
    choices : Choices
        Values of the columns.
    mode : str
    n_gpus, input_tokens, output_tokens : int
    kv_dtype : str
    price : float or None
        Price of a GPU for an hour.
    loads : SampledLoads or None
    library : PlacementLibrary or None
    levels : GateLevels or None
    """

    def __init__(
        self,
        model: SiliconModel,
        shape: ModelShape,
        choices: Choices,
        *,
        mode: str,
        n_gpus: int,
        input_tokens: int,
        output_tokens: int,
        kv_dtype: str,
        price: float | None,
        loads: SampledLoads | None,
        library: PlacementLibrary | None,
        levels: GateLevels | None,
    ) -> None:
        self.shape, self.choices, self.mode, self.n_gpus = shape, choices, mode, n_gpus
        self.input_tokens, self.output_tokens, self.price = input_tokens, output_tokens, price
        self.loads, self.library, self.levels = loads, library, levels
        self.gpu = model.tables.gpu
        self.curves = CurveTable(model, shape, kv_dtype)
        self.roles = roles_of(mode)
        self._instances: dict[tuple[object, ...], Instance] = {}
        self._tables: dict[tuple[int, int, int], Floats] = {}
        self._layer = np.arange(shape.n_moe_layers)
        choices_per_token = shape.experts.k if shape.experts else 0
        self._choices_per_token = choices_per_token
        self._rule = RuleCost(_RULE_KERNELS * _SMALL_KERNEL, _RULE_BYTES / self.gpu.bandwidth)
        self._steps = lru_cache(maxsize=_OCTAVES_KEPT)(self._sample)

    def __getstate__(self) -> dict[str, object]:
        return {name: value for name, value in vars(self).items() if name != "_steps"}

    def __setstate__(self, state: dict[str, object]) -> None:
        vars(self).update(state)
        self._steps = lru_cache(maxsize=_OCTAVES_KEPT)(self._sample)

    # ----------------------------------------------------------------------------------- parts

    def instance(self, pool: int, columns: Sequence[int] | Ints, redundancy: int) -> Instance:
        """Return the instance of a pool by its columns of a row."""
        layout, sequences, tokens = (int(v) for v in columns)
        key = (pool, layout, sequences, tokens, redundancy)
        found = self._instances.get(key)
        if found is None:
            found = self._instances[key] = Instance(
                self.curves, self.input_tokens, self.output_tokens, self.roles[pool],
                self.choices.layouts[layout], self.choices.sequences[sequences],
                self.choices.tokens[tokens], self.choices.legal[layout][redundancy],
            )  # fmt: skip
        return found

    def times(self, instance: Instance, methods: Ints, gates: Ints) -> InstanceTimes:
        """Return the times of an instance under the placement and gate of each layer."""
        layout, seconds = instance.layout, {}
        gated = 0 if self.levels is None else int((gates < self.levels.n_levels - 1).sum())
        for name, curve in instance.steps.items():
            loads = None
            if self.loads is not None and curve.n_layers:
                table = self._table(layout, instance.redundant_experts, curve.tokens)
                level = gates if self.levels is not None else 0
                loads = table[self._layer, methods if table.shape[1] > 1 else 0, level]
            seconds[name] = curve.seconds(loads)
            if gated:
                tokens = curve.tokens / layout.dp
                seconds[name] += gated * self._rule.seconds(tokens, self._choices_per_token)
        return instance.times(seconds)

    def _table(self, layout: Layout, redundant: int, tokens: float) -> Floats:
        """Return the loads of all layers, methods and gate levels in sampled steps.

        The result is [n_layers, n_methods, n_levels, N_STEPS]; without expert parallelism, all
        methods are one. Tokens are rounded to a power of two.
        """
        octave = max(0, round(float(np.log2(max(tokens, 1.0)))))
        key = (layout.moe_ep, redundant, octave)
        if key not in self._tables:
            self._tables[key] = self._busiest(*key)
        return self._tables[key]

    def _busiest(self, n_ranks: int, redundant: int, octave: int) -> Floats:
        assert self.loads is not None
        assert self.library is not None
        n_layers = len(self._layer)
        placed = np.tile(np.arange(self.loads.shares.shape[2]), (1, n_layers, 1))
        if n_ranks > 1:
            placed = self.library.slots(n_ranks, redundant)
        elif self.levels is None:
            return np.zeros((n_layers, 1, 1, N_STEPS))  # every rank computes every choice
        n_levels = 1 if self.levels is None else self.levels.n_levels
        found = np.empty((n_layers, len(placed), n_levels, N_STEPS))
        out = np.empty((n_layers, N_STEPS))
        for level in range(n_levels):
            steps = self._steps(octave, level)
            for method, slots in enumerate(placed):
                busiest_loads(steps, slots, n_ranks, out)
                found[:, method, level] = out
        return found

    def _sample(self, octave: int, level: int) -> Shares:
        """Return the shares of experts in sampled steps under one gate level in all layers."""
        assert self.loads is not None
        keep = None
        if self.levels is not None:
            rules = [layer[level] for layer in self.levels.rules]
            keep = [keep_choices(trace, rules) for trace in self.loads.traces]
        return self.loads.steps(2.0**octave, keep)

    # ---------------------------------------------------------------------------------- designs

    def serve(
        self,
        instances: Sequence[Instance],
        methods: Ints,
        gates: Ints,
        replicas: tuple[int, ...] | None = None,
    ) -> Served:
        """Return the values of a design from an instance of each pool.

        If `replicas` is None, each pool has the number of instances that serves the most requests.
        """
        times = [self.times(instance, methods, gates) for instance in instances]
        sizes = [instance.layout.n_gpus for instance in instances]
        rates = [t.requests_per_s for t in times]
        if replicas is not None:
            rate = min(n * served for n, served in zip(replicas, rates, strict=True))
        elif len(instances) == 1:
            replicas = (self.n_gpus // sizes[0],)
            rate = replicas[0] * rates[0]
        else:
            replicas, rate = self._balanced(sizes, rates)
        first, last = times[0], times[-1]
        ttft, tpot = first.ttft, last.tpot_mean
        if len(instances) == 2:
            ttft += self._transfer(instances)
        counted = self.input_tokens if self.mode == "prefill" else self.output_tokens
        per_gpu = rate * counted / self.n_gpus
        user = self.input_tokens / ttft if self.mode == "prefill" else 1.0 / tpot
        values = {
            "tokens_per_s_per_user": user,
            "tokens_per_s_per_gpu": per_gpu,
            "ttft": ttft,
            "tpot_mean": tpot,
            "tpot_p99": last.tpot_p99,
            "memory_bytes": max(instance.memory_bytes for instance in instances),
            "quality_loss": self._lost(gates),
        }
        if self.price is not None:
            cost = self.price / _HOUR / per_gpu * _MILLION if per_gpu > 0 else np.inf
            values["cost_per_million_tokens"] = cost
        used = max(sum(sizes), sum(n * s for n, s in zip(replicas, sizes, strict=True)))
        return Served(values, replicas, used)

    def _lost(self, gates: Ints) -> float:
        if self.levels is None:
            return 0.0
        return float(self.levels.at(gates[None])[1].mean())

    def _balanced(
        self, sizes: Sequence[int], rates: Sequence[float]
    ) -> tuple[tuple[int, int], float]:
        """Return the numbers of prefill and decode instances that serve most requests."""
        best, rate = (1, 1), min(rates)
        if sum(sizes) > self.n_gpus:
            return best, rate
        for n in range(1, (self.n_gpus - sizes[1]) // sizes[0] + 1):
            m = (self.n_gpus - n * sizes[0]) // sizes[1]
            # No more instances of either pool than the other keeps busy.
            served = min(n * rates[0], m * rates[1])
            if served > rate * (1 + 1e-12):
                needed = int(np.ceil(served / rates[1] * (1 - 1e-12)))
                best, rate = (n, min(m, max(1, needed))), served
        return best, rate

    def _transfer(self, instances: Sequence[Instance]) -> float:
        """Return the seconds that the cache of a prompt takes between pools, over the network."""
        data = self.shape.kv_bytes(self.input_tokens, self.curves.kv_dtype)
        links = min(instance.layout.tp * instance.layout.pp for instance in instances)
        return data / (links * self.gpu.network_bandwidth)
