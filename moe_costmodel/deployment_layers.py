"""One MoE layer of a deployment on recorded traffic, kept for as long as its choice recurs."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from moe_costmodel._checks import complain
from moe_costmodel.buffer_cost import BufferCost
from moe_costmodel.buffering import ExpertStream
from moe_costmodel.buffering_kernels import compress
from moe_costmodel.deployment_kernels import (
    copy_ranks,
    count_kept,
    kept_choices,
    remote_nodes,
    split_counts,
    table_times,
)
from moe_costmodel.gate_rules import RULES, GateRule
from moe_costmodel.hardware import Hardware
from moe_costmodel.latency import LatencyModel
from moe_costmodel.shapes import DTYPE_BYTES, LayerShape
from moe_costmodel.trace import Mode, RoutingTrace

__all__ = ["GateCosts", "LayerCosts", "LayerSteps", "Steps"]

FloatArray = NDArray[np.float64]
_CODES = {name: code for code, name in enumerate(RULES)}
_MEMO_CELLS = 1 << 20


@dataclass(frozen=True)
class Steps:
    """The steps that a batch size makes of the windows, one window after the other.

    Attributes
    ----------
    of_token : ndarray of shape (n_tokens,), int64
        Step of each token of all windows; -1 for one in a step that is not full.
    bounds : ndarray of shape (n_windows + 1,), int64
        Window w has the steps ``bounds[w]`` to ``bounds[w + 1]``.
    context : ndarray of shape (n_steps,)
        Mean position of the step's tokens in their sequences.
    memo : dict
        Times looked up so far, by the experts of a device.
    """

    of_token: NDArray[np.int64]
    bounds: NDArray[np.int64]
    context: FloatArray
    memo: dict[int, FloatArray]

    @property
    def n(self) -> int:
        """Steps of all windows."""
        return int(self.bounds[-1])


@dataclass(frozen=True)
class GateCosts:
    """What a rule does to one layer.

    Attributes
    ----------
    kept : ndarray of shape (n_tokens,), uint8
        Choices that each token keeps.
    mass, experts : ndarray of shape (n_windows,)
        Share of the weight that is kept, and mean experts a token.
    """

    kept: NDArray[np.uint8]
    mass: FloatArray
    experts: FloatArray


@dataclass(frozen=True)
class LayerSteps:
    """One layer, step by step, under one choice.

    Attributes
    ----------
    seconds : ndarray of shape (n_steps,)
        Exchange there and back, and the slowest device in between.
    waiting : ndarray of shape (n_steps,), or None
        The part of it that waits for experts to be copied; None where all are resident.
    mean_share, p99_share : ndarray of shape (n_windows,)
        Of the largest share of a step's tokens on one device.
    remote : ndarray of shape (n_windows,)
        Other nodes that a token is sent to, on average.
    most_rows : int
        Token-expert pairs of the fullest device in any step.
    """

    seconds: FloatArray
    waiting: FloatArray | None
    mean_share: FloatArray
    p99_share: FloatArray
    remote: FloatArray
    most_rows: int

    @property
    def n_bytes(self) -> int:
        """Memory that keeping it takes."""
        return self.seconds.nbytes * (1 if self.waiting is None else 2) + 600


class _Cache:
    """Keeps what was used last, up to a number of bytes."""

    def __init__(self, n_bytes: int) -> None:
        self.limit, self.used = n_bytes, 0
        self.entries: OrderedDict[Any, tuple[Any, int]] = OrderedDict()

    def get(self, key: Any) -> Any:
        found = self.entries.get(key)
        if found is None:
            return None
        self.entries.move_to_end(key)
        return found[0]

    def put(self, key: Any, value: Any, n_bytes: int) -> None:
        self.entries[key] = value, n_bytes
        self.used += n_bytes
        while self.used > self.limit and len(self.entries) > 1:
            self.used -= self.entries.popitem(last=False)[1][1]


class LayerCosts:
    """Evaluates layers on windows of traffic, and remembers them.

    Parameters
    ----------
    windows : sequence of RoutingTrace
        Of the same layers, experts and choices.
    hardware, latency, shape, kernel
        As for :class:`moe_costmodel.deployment.DeploymentModel`.
    mode : {"prefill", "decode"}
    n_devices, n_nodes : int
    cache_bytes : int
        Memory for layers that were evaluated.
    """

    def __init__(
        self,
        windows: Sequence[RoutingTrace],
        hardware: Hardware,
        latency: LatencyModel,
        *,
        shape: LayerShape,
        mode: Mode,
        n_devices: int,
        n_nodes: int,
        kernel: str | None,
        cache_bytes: int,
    ) -> None:
        self.windows = list(windows)
        self.hardware, self.latency, self.shape, self.kernel = hardware, latency, shape, kernel
        self.mode, self.n_devices, self.n_nodes = mode, n_devices, n_nodes
        self.n_layers = self.windows[0].n_layers
        self._window = np.repeat(
            np.arange(len(self.windows)), [trace.n_tokens for trace in self.windows]
        )
        self.tokens_of = np.bincount(self._window).astype(np.float64)
        self.has_weights = all(trace.has_weights for trace in self.windows)
        self._sort()
        self._cache = _Cache(cache_bytes)
        self._steps: dict[int, Steps] = {}
        self._gates: dict[tuple[int, GateRule | None], GateCosts] = {}
        self.computed = 0

    def _sort(self) -> None:
        """Order every token's choices by weight, heaviest first, as the rules look at them."""
        ids = np.concatenate([np.asarray(trace.topk_ids) for trace in self.windows])
        ids = ids.astype(np.uint16).transpose(1, 0, 2)
        if not self.has_weights:
            self._ids = np.ascontiguousarray(ids)
            self._weights = self._totals = np.zeros((0, 0, 0), np.float32)
            return
        weights = np.concatenate(
            [np.asarray(trace.topk_weights, dtype=np.float32) for trace in self.windows]
        ).transpose(1, 0, 2)
        # In float32 and in the trace's order, as keep_mask adds them.
        total = np.zeros(weights.shape[:2], np.float32)
        for j in range(weights.shape[2]):
            total += weights[:, :, j]
        order = np.argsort(-weights, axis=2, kind="stable")
        self._ids = np.ascontiguousarray(np.take_along_axis(ids, order, axis=2))
        self._weights = np.ascontiguousarray(np.take_along_axis(weights, order, axis=2))
        self._totals = total

    def steps(self, batch: int) -> Steps:
        """Return the steps of a batch size."""
        if batch not in self._steps:
            of_token, context, bounds = [], [], [0]
            for trace in self.windows:
                step = trace.steps(batch, self.mode)
                n = int(step.max()) + 1
                position = np.concatenate([np.arange(1, m + 1) for m in trace.sequence_lengths])
                inside = step >= 0
                context.append(
                    np.bincount(step[inside], weights=position[inside], minlength=n) / batch
                )
                of_token.append(np.where(inside, step + bounds[-1], -1))
                bounds.append(bounds[-1] + n)
            self._steps[batch] = Steps(
                np.concatenate(of_token), np.array(bounds), np.concatenate(context), {}
            )
        return self._steps[batch]

    def gate(self, layer: int, rule: GateRule | None) -> GateCosts:
        """Return what a rule does to a layer."""
        found = self._gates.get((layer, rule))
        if found is None:
            found = self._gate(layer, rule)
            if len(self._gates) > 40 * self.n_layers:
                self._gates.pop(next(iter(self._gates)))
            self._gates[layer, rule] = found
        return found

    def _gate(self, layer: int, rule: GateRule | None) -> GateCosts:
        n_windows, k = len(self.windows), self._ids.shape[2]
        kept = np.full(len(self._window), k, dtype=np.uint8)
        mass = np.ones(n_windows)
        if rule is not None:
            weights = self._weights[layer]
            code = _CODES[rule.kind]
            kept_choices(weights, self._totals[layer], code, rule.value, rule.k_min, kept)
            flags = np.arange(k) < kept[:, None]
            held = np.bincount(self._window, weights=(weights * flags).sum(axis=1, dtype=float))
            all_of_it = np.bincount(self._window, weights=weights.sum(axis=1, dtype=float))
            mass = held / np.maximum(all_of_it, np.finfo(float).tiny)
        experts = np.bincount(self._window, weights=kept) / self.tokens_of
        return GateCosts(kept, mass, experts)

    def loads(self, layer: int, rule: GateRule | None, batch: int) -> NDArray[np.int32]:
        """Return the tokens of each expert in each step, (n_steps, n_experts)."""
        key = (layer, rule, batch)
        counts = self._cache.get(key)
        if counts is None:
            steps = self.steps(batch)
            counts = np.zeros((steps.n, self.shape.n_experts), dtype=np.int32)
            count_kept(self._ids[layer], self.gate(layer, rule).kept, steps.of_token, counts)
            self._cache.put(key, counts, counts.nbytes)
        return counts

    def layer(
        self,
        layer: int,
        rule: GateRule | None,
        batch: int,
        slots: NDArray[np.int64],
        capacities: NDArray[np.int64],
        policy: str,
        key: Any,
    ) -> LayerSteps:
        """Return a layer under a choice.

        Parameters
        ----------
        slots : ndarray of shape (n_slots,), int64
            Expert of each slot; ascending on each device.
        capacities : ndarray of shape (n_devices,), int64
            Experts that each device keeps.
        key : hashable
            Of the choice.
        """
        found: LayerSteps | None = self._cache.get(key)
        if found is None:
            found = self._compute(layer, rule, batch, slots, capacities, policy)
            self._cache.put(key, found, found.n_bytes)
            self.computed += 1
        return found

    def _compute(
        self,
        layer: int,
        rule: GateRule | None,
        batch: int,
        slots: NDArray[np.int64],
        capacities: NDArray[np.int64],
        policy: str,
    ) -> LayerSteps:
        n_experts, n_devices = self.shape.n_experts, self.n_devices
        copies, rank = copy_ranks(slots, n_experts)
        if (copies == 0).any():
            raise complain(
                "placement",
                "DeploymentModel.evaluate",
                "complete, every expert in a slot of every layer",
                f"none for expert {int(np.argmin(copies))} of layer {layer}",
            )
        n_local = len(slots) // n_devices
        steps = self.steps(batch)
        counts = self.loads(layer, rule, batch)
        tokens = np.empty((steps.n, len(slots)), dtype=np.int32)
        for start, end in pairwise(steps.bounds):
            split_counts(counts[start:end], slots, copies, rank, tokens[start:end])
        shape = replace(self.shape, n_local=n_local)
        table = self.latency.table(shape, kernel=self.kernel)
        seconds = np.empty((steps.n, n_devices))
        active = np.empty((steps.n, n_devices), dtype=np.int64)
        rows = np.empty((steps.n, n_devices), dtype=np.int64)
        table_times(
            tokens,
            n_devices,
            (table.active, table.each, table.log_seconds),
            self._memo(steps, n_local, batch),
            seconds,
            active,
            rows,
        )
        exchange = self._exchange(rows)
        waiting = None
        if (capacities < n_local).any():
            misses = self._misses(tokens, steps.bounds, capacities, policy)
            seconds, waiting = self._buffered(seconds, active, misses, exchange)
            slowest = seconds.max(axis=-1)
            waiting = slowest - waiting.max(axis=-1)
            total = slowest + 2 * exchange
        else:
            total = seconds.max(axis=-1) + 2 * exchange
        held = copies_on_devices(slots, n_experts, n_devices)
        mean_share, p99_share = self._shares(counts, held / copies[:, None], steps.bounds)
        return LayerSteps(
            total,
            waiting,
            mean_share,
            p99_share,
            self._remote(layer, rule, held),
            int(rows.max()),
        )

    def _memo(self, steps: Steps, n_local: int, batch: int) -> FloatArray:
        if n_local not in steps.memo:
            most = min(batch * min(self.shape.k, n_local), batch * n_local)
            shape = (n_local + 1, most + 1, batch + 1)
            dense = np.prod(shape, dtype=float) <= _MEMO_CELLS
            steps.memo[n_local] = np.full(shape if dense else (0, 0, 0), np.nan)
        return steps.memo[n_local]

    def _exchange(self, rows: NDArray[np.int64]) -> FloatArray:
        """Return the time of an exchange, one way, as StepModel has it; nodes exchange too."""
        if self.n_devices == 1:
            return np.zeros(len(rows))
        width = self.shape.d_model * max(DTYPE_BYTES[self.shape.dtype], 2.0)
        link = self.hardware.link("device_to_device")
        size = rows.max(axis=-1) * (1 - 1 / self.n_devices) * self.shape.d_model
        size = size * max(DTYPE_BYTES[self.shape.dtype], 2.0)
        seconds: FloatArray = link.latency + size / link.bandwidth
        if self.n_nodes > 1:
            between = self.hardware.link("node_to_node")
            on_node = rows.reshape(len(rows), self.n_nodes, -1).sum(axis=2).max(axis=1)
            size = on_node * (1 - 1 / self.n_nodes) * width
            seconds = np.maximum(seconds, between.latency + size / between.bandwidth)
        return seconds

    def _misses(
        self,
        tokens: NDArray[np.int32],
        bounds: NDArray[np.int64],
        capacities: NDArray[np.int64],
        policy: str,
    ) -> NDArray[np.int32]:
        """Replay every device's buffer, empty at the start of each window."""
        n_local = tokens.shape[1] // self.n_devices
        active = tokens > 0
        out = np.empty((len(tokens), self.n_devices), dtype=np.int32)
        for start, end in pairwise(bounds):
            for device in range(self.n_devices):
                members = np.arange(device * n_local, (device + 1) * n_local)
                ids, ends = compress(active[start:end], members)
                stream = ExpertStream(ids, ends, n_local)
                missed = stream.misses(capacities[device : device + 1], policy)
                out[start:end, device] = missed[:, 0]
        return out

    @property
    def copy_cost(self) -> BufferCost:
        """What copies cost: as measured, or as the link says."""
        if self.latency.buffer_cost is not None:
            return self.latency.buffer_cost
        return BufferCost.of_link((self.latency.hardware or self.hardware).link("slow_to_fast"))

    def _buffered(
        self,
        seconds: FloatArray,
        active: NDArray[np.int64],
        misses: NDArray[np.int32],
        exchange: FloatArray,
    ) -> tuple[FloatArray, FloatArray]:
        """Return the devices' times with their copies and without, as LatencyModel has them."""
        cost = self.copy_cost
        if self.latency.buffer_cost is not None:
            seconds = cost.layer_seconds(seconds, active)
        copying = cost.copy_seconds(self.shape, misses) - exchange[:, None]
        return seconds + np.maximum(copying, 0.0), seconds

    def _shares(
        self, counts: NDArray[np.int32], share: FloatArray, bounds: NDArray[np.int64]
    ) -> tuple[FloatArray, FloatArray]:
        """Return mean and 99th percentile of the steps' largest share, window by window."""
        on_device = counts.astype(np.float64) @ share
        total = on_device.sum(axis=1)
        largest = np.full(len(counts), 1.0 / self.n_devices)
        np.divide(on_device.max(axis=1), total, out=largest, where=total > 0)
        mean, p99 = np.empty(len(bounds) - 1), np.empty(len(bounds) - 1)
        for w in range(len(bounds) - 1):
            part = largest[bounds[w] : bounds[w + 1]]
            mean[w], p99[w] = part.mean(), upper_quantile(part, 0.99)
        return mean, p99

    def _remote(self, layer: int, rule: GateRule | None, held: NDArray[np.int64]) -> FloatArray:
        out = np.zeros(len(self.windows))
        if self.n_nodes > 1:
            per_node = held.reshape(len(held), self.n_nodes, -1).sum(axis=2) > 0
            kept = self.gate(layer, rule).kept
            remote_nodes(self._ids[layer], kept, self._window, per_node, out)
        return out / (self.tokens_of * self.n_nodes)


def copies_on_devices(
    slots: NDArray[np.int64], n_experts: int, n_devices: int
) -> NDArray[np.int64]:
    """Return the copies of each expert on each device, (n_experts, n_devices)."""
    device = np.arange(len(slots)) // (len(slots) // n_devices)
    flat = np.bincount(slots * n_devices + device, minlength=n_experts * n_devices)
    return flat.reshape(n_experts, n_devices)


def upper_quantile(values: FloatArray, q: float) -> float:
    """Return the smallest of the values that a share `q` of them do not exceed."""
    place = max(0, int(np.ceil(q * len(values))) - 1)
    return float(np.partition(values, place)[place])


Quality = Callable[[tuple[GateRule | None, ...]], float]
