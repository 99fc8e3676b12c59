"""Steps of one MoE layer on recorded traffic, cached under the decision about the layer."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from moe_costmodel._arrays import Floats, Ints
from moe_costmodel._checks import invalid
from moe_costmodel.buffering.replay import POLICIES
from moe_costmodel.deployment.kernels import kept_choices, remote_nodes, step_counts, step_entries
from moe_costmodel.deployment.offloaded import Charges, charge
from moe_costmodel.gating.rules import RULES, GateRule
from moe_costmodel.hardware import Hardware
from moe_costmodel.latency.buffer_cost import BufferCost
from moe_costmodel.latency.layer_kernel import Costs, Machine, TableAxes, Traffic, layer_times
from moe_costmodel.latency.model import LatencyModel
from moe_costmodel.offloading.cost import MissCost
from moe_costmodel.plans.decision import LayerDecision
from moe_costmodel.shapes import DTYPE_BYTES, LayerShape
from moe_costmodel.traces.sampling import REPEATED, repeated_sequences
from moe_costmodel.traces.trace import Mode, RoutingTrace

__all__ = ["LayerCosts", "LayerSteps", "Steps"]

_RULE_CODES = {name: code for code, name in enumerate(RULES)}
_POLICY_CODES = {name: code for code, name in enumerate(POLICIES)}
_MEMO_CELLS = 1 << 20
_MAX_BATCH_SIZES = 24
_NO_CHARGES = np.zeros((0, 0), np.float32)
_DRAWN_STEPS, _DRAWN_BYTES = (16, 256), 64 << 20  # of steps that no trace can fill
_NO_ENTRIES = np.zeros(0, np.int64), np.zeros(0, np.int32), np.zeros(0, np.int32)
Kept = tuple[NDArray[np.uint8], Floats]
"""Choices that each token keeps, and the share of gate mass that each window keeps."""


@dataclass(frozen=True)
class Steps:
    """The steps that a batch size makes of the windows, one window after the other.

    Window w has the steps ``bounds[w]`` to ``bounds[w + 1]``. Steps that are not full are left out.
    A window that has no full step is repeated, or its steps are drawn from loads; `notes` says so,
    and `spread` is the factor by which the busiest device's excess over the mean may then differ.
    """

    order: Ints  # tokens of all windows in the order of their steps, (n_steps * batch_size,)
    ids: NDArray[np.uint16]  # their choices, heaviest first, (n_layers, n_steps * batch_size, k)
    bounds: Ints  # (n_windows + 1,)
    context: Floats  # mean position of the step's tokens in their sequences, (n_steps,)
    notes: tuple[str, ...] = ()
    spread: float = 1.0
    memo: dict[int, Floats] = field(default_factory=dict)  # times, by the experts of a device

    @property
    def n(self) -> int:
        """Steps of all windows."""
        return int(self.bounds[-1])


@dataclass(frozen=True)
class LayerSteps:
    """Steps of one layer under one decision; `bounds` as of :class:`Steps`."""

    seconds: Floats  # exchange there and back, and the slowest device in between, (n_steps,)
    waiting: Floats | None  # the part that waits for copies; None if the layer is not buffered
    share: Floats  # largest share of the step's tokens on one device, (n_steps,)
    mass: Floats  # share of gate mass that is kept, (n_windows,)
    most_rows: int  # token-expert pairs of the fullest device in any step
    bounds: Ints
    sent: Callable[[], Floats]  # returns the other nodes per token on average, (n_windows,)

    @cached_property
    def counted(self) -> Floats:
        """Mean and 99th percentile of `share`, and other nodes per token, (3, n_windows).

        Computed at the first request, since it takes as long as the steps themselves.
        """
        out = np.empty((3, len(self.mass)))
        for w in range(len(self.mass)):
            part = self.share[self.bounds[w] : self.bounds[w + 1]]
            high = int(np.ceil(0.99 * len(part))) - 1
            out[0, w], out[1, w] = part.mean(), np.partition(part, high)[high]
        out[2] = self.sent()
        return out


class _Cache:
    """Least-recently-used cache with a limit in bytes; copies of it start empty.

    An evaluation looks up every layer, and `cachetools.LRUCache` is slower at that.
    """

    def __init__(self, n_bytes: int) -> None:
        self.limit, self.used = n_bytes, 0
        self._entries: OrderedDict[Hashable, tuple[object, int]] = OrderedDict()

    def __getstate__(self) -> dict[str, object]:
        return {"limit": self.limit, "used": 0, "_entries": OrderedDict()}

    def get(self, key: Hashable) -> Any:
        entry = self._entries.get(key)
        if entry is None:
            return None
        self._entries.move_to_end(key)
        return entry[0]

    def put(self, key: Hashable, value: object, n_bytes: int) -> None:
        self._entries[key] = value, n_bytes
        self.used += n_bytes
        while self.used > self.limit and len(self._entries) > 1:
            self.used -= self._entries.popitem(last=False)[1][1]


class LayerCosts:
    """Evaluates layers on windows of traffic, and caches them.

    The parameters are those of :class:`moe_costmodel.DeploymentModel`, which checks them.
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
        random_state: int,
        miss_cost: MissCost | None = None,
    ) -> None:
        self.windows, self.random_state = list(windows), random_state
        self.hardware, self.latency, self.shape, self.kernel = hardware, latency, shape, kernel
        self.mode, self.n_devices, self.n_nodes = mode, n_devices, n_nodes
        self.miss_cost = miss_cost
        self.n_layers = self.windows[0].n_layers
        self.has_weights = all(trace.has_weights for trace in self.windows)
        self._prepare()
        self._cache = _Cache(cache_bytes)
        self._steps: dict[int, Steps] = {}
        self._tables: dict[int, TableAxes] = {}
        width = float(shape.d_model), max(DTYPE_BYTES[shape.dtype], 2.0)
        self._machine: Machine = n_devices, n_nodes, self._link_costs(), width
        self.computed = 0

    def _prepare(self) -> None:
        """Count the windows' tokens, and sort their choices."""
        n_tokens = [trace.n_tokens for trace in self.windows]
        self._window = np.repeat(np.arange(len(n_tokens)), n_tokens)
        self._n_tokens = np.array(n_tokens, dtype=np.float64)
        self._first_tokens = np.cumsum([0, *n_tokens[:-1]])
        self._sort()

    def _sort(self) -> None:
        """Sort every token's choices by weight, heaviest first, for the gate rules."""
        ids = np.concatenate([np.asarray(trace.topk_ids) for trace in self.windows])
        ids = ids.astype(np.uint16).transpose(1, 0, 2)
        if not self.has_weights:
            self._ids = np.ascontiguousarray(ids)
            return
        weights = np.concatenate(
            [np.asarray(trace.topk_weights, dtype=np.float32) for trace in self.windows]
        ).transpose(1, 0, 2)
        # In float32 and in the order of the trace, as keep_mask adds them.
        total = np.zeros(weights.shape[:2], np.float32)
        for j in range(weights.shape[2]):
            total += weights[:, :, j]
        order = np.argsort(-weights, axis=2, kind="stable")
        self._ids = np.ascontiguousarray(np.take_along_axis(ids, order, axis=2))
        self._weights = np.ascontiguousarray(np.take_along_axis(weights, order, axis=2))
        self._totals = total
        self._mass = np.stack([self._by_window(row) for row in total])

    def _link_costs(self) -> tuple[float, float, float, float]:
        between_devices = between_nodes = 0.0, 1.0
        if self.n_devices > 1:
            link = self.hardware.link("device_to_device")
            between_devices = link.latency, link.bandwidth
        if self.n_nodes > 1:
            link = self.hardware.link("node_to_node")
            between_nodes = link.latency, link.bandwidth
        return *between_devices, *between_nodes

    def require_weights(self) -> None:
        """Raise a ValueError if a trace has no weights, which thresholds need."""
        for trace in self.windows:
            if not trace.has_weights:
                trace.topk_weights  # noqa: B018 (raises, and says what to do)

    @property
    def recorded_batch_size(self) -> int:
        """Largest batch size for which every window has a full step."""
        if self.mode == "prefill":
            return min(trace.n_tokens for trace in self.windows)
        return min(len(trace.sequence_lengths) for trace in self.windows)

    def steps(self, batch_size: int) -> Steps:
        """Return the steps of a batch size."""
        if batch_size not in self._steps:
            if len(self._steps) >= _MAX_BATCH_SIZES:
                del self._steps[next(iter(self._steps))]
            self._steps[batch_size] = self._make_steps(batch_size)
        return self._steps[batch_size]

    def _make_steps(self, batch_size: int) -> Steps:
        order, context, bounds, notes = [], [], [0], []
        for number, (trace, first) in enumerate(
            zip(self.windows, self._first_tokens.tolist(), strict=True)
        ):
            most = len(trace.sequence_lengths) if self.mode == "decode" else trace.n_tokens
            if batch_size <= most:
                step = trace.steps(batch_size, self.mode)
                tokens = np.argsort(step, kind="stable")[np.count_nonzero(step < 0) :]
                tokens = tokens.reshape(-1, batch_size)
            else:
                tokens = self._repeated(trace, batch_size, number)
                unit = "sequences" if self.mode == "decode" else "tokens"
                notes.append(
                    f"{trace.source} has {most} {unit}, so steps of {batch_size} repeat them"
                )
            position = np.concatenate([np.arange(1, m + 1) for m in trace.sequence_lengths])
            context.append(position[tokens].sum(axis=1) / batch_size)
            order.append(first + tokens.ravel())
            bounds.append(bounds[-1] + len(tokens))
        tokens = np.concatenate(order)
        return Steps(
            tokens, self._ids[:, tokens], np.array(bounds), np.concatenate(context),
            tuple(notes), REPEATED if notes else 1.0,
        )  # fmt: skip

    def _repeated(self, trace: RoutingTrace, batch_size: int, number: int) -> Ints:
        """Return the tokens of steps that a window cannot fill, (n_steps, batch_size)."""
        fewest, most = _DRAWN_STEPS
        bytes_of_step = 2 * self.n_layers * batch_size * trace.k
        return repeated_sequences(
            trace, batch_size, self.mode,
            n_steps=int(np.clip(_DRAWN_BYTES // bytes_of_step, fewest, most)),
            random_state=np.random.default_rng([self.random_state, number, batch_size]),
        )  # fmt: skip

    def kept(self, layer: int, rule: GateRule | None) -> Kept:
        """Return how many choices each token keeps, and the share of mass kept in each window."""
        stored: Kept | None = self._cache.get((layer, rule))
        if stored is not None:
            return stored
        kept = np.full(len(self._window), self._ids.shape[2], dtype=np.uint8)
        share = np.ones(len(self.windows))
        if rule is not None:
            mass = np.empty(len(self._window), dtype=np.float32)
            weights, totals = self._weights[layer], self._totals[layer]
            code = _RULE_CODES[rule.kind]
            kept_choices(weights, totals, code, float(rule.value), rule.k_min, kept, mass)
            total = self._mass[layer]
            np.divide(self._by_window(mass), total, out=share, where=total > 0)
        self._cache.put((layer, rule), (kept, share), kept.nbytes + 500)
        return kept, share

    def _by_window(self, values: NDArray[np.generic]) -> Floats:
        """Add up values of tokens, (n_windows,)."""
        return np.add.reduceat(values, self._first_tokens, dtype=np.float64)

    def mean_experts(self, layer: int, rule: GateRule | None) -> Floats:
        """Return the mean number of experts per token in each window."""
        return self._by_window(self.kept(layer, rule)[0]) / self._n_tokens

    def _traffic(self, layer: int, gate: GateRule | None, batch_size: int) -> Traffic:
        """Return the tokens of each expert in each step; if few are active, of those only."""
        key = (layer, gate, batch_size)
        traffic: Traffic | None = self._cache.get(key)
        if traffic is None:
            steps, n_experts = self.steps(batch_size), self.shape.n_experts
            kept = self.kept(layer, gate)[0][steps.order]
            ids = steps.ids[layer]
            if batch_size * self.shape.k <= n_experts:
                counts = np.zeros((0, n_experts), dtype=np.int32)
                entries = step_entries(ids, kept, batch_size, n_experts)
            else:
                counts, entries = np.zeros((steps.n, n_experts), dtype=np.int32), _NO_ENTRIES
                step_counts(ids, kept, batch_size, counts)
            traffic = counts, *entries, steps.bounds
            self._cache.put(key, traffic, 500 + sum(part.nbytes for part in traffic[:4]))
        return traffic

    def layer(self, decision: LayerDecision) -> LayerSteps:
        """Return the steps of a layer, computed if they are not in the cache."""
        stored: LayerSteps | None = self._cache.get(decision)
        return self._compute(decision) if stored is None else stored

    def _compute(self, decision: LayerDecision) -> LayerSteps:
        slots, policy = decision.slots, decision.policy
        n_local = len(slots) // self.n_devices
        steps = self.steps(decision.batch_size)
        traffic = self._traffic(decision.layer, decision.gate, decision.batch_size)
        out = np.empty((3, steps.n))
        code, costs, charges = -1, (1.0, 1.0, 0.0, 0.0, 0.0), _NO_CHARGES
        if decision.offload is not None:
            charged = self._charged(decision, traffic, slots)
            charges = charged[np.arange(self.n_devices), decision.capacities - 1]
        elif policy is not None:
            code, costs = _POLICY_CODES[policy], self._copy_costs
        most_rows = layer_times(
            traffic,
            slots,
            self._machine,
            self._table(n_local),
            self._memo(steps, n_local, decision.batch_size),
            (code, decision.capacities, costs, charges),
            out,
        )
        if decision.gate is not None:
            out[0] += self.latency.rule_seconds(decision.batch_size, self.shape.k)
        computed = LayerSteps(
            out[0],
            None if policy is None else out[1],
            out[2],
            self.kept(decision.layer, decision.gate)[1],
            int(most_rows),
            steps.bounds,
            partial(self._sent, decision),
        )
        self._cache.put(decision, computed, 3 * out[0].nbytes + 1000)
        self.computed += 1
        return computed

    def _charged(self, decision: LayerDecision, traffic: Traffic, slots: Ints) -> Charges:
        """Return what a rule for misses adds, (n_devices, n_local, n_steps), for all capacities."""
        key = decision._replace(packed=slots.tobytes(), policy=None)
        charged: Charges | None = self._cache.get(key)
        if charged is None:
            if self.miss_cost is None:
                expected = "without an 'offload', or a DeploymentModel with a miss_cost (MissCost)"
                raise invalid("DeploymentModel", "decision", decision.offload, expected)
            charged = charge(traffic, slots, decision, self.miss_cost, self.n_layers)
            self._cache.put(key, charged, charged.nbytes + 500)
        return charged

    def _table(self, n_local: int) -> TableAxes:
        if n_local not in self._tables:
            shape = replace(self.shape, n_local=n_local)
            self._tables[n_local] = self.latency.table(shape, kernel=self.kernel).axes
        return self._tables[n_local]

    def _memo(self, steps: Steps, n_local: int, batch_size: int) -> Floats:
        if n_local not in steps.memo:
            shape = (n_local + 1, batch_size * min(self.shape.k, n_local) + 1, batch_size + 1)
            dense = np.prod(shape, dtype=float) <= _MEMO_CELLS
            steps.memo[n_local] = np.full(shape if dense else (0, 0, 0), np.nan)
        return steps.memo[n_local]

    @property
    def copy_cost(self) -> BufferCost:
        """Cost of copies: measured if buffered layers were, else that of the link."""
        if self.latency.buffer_cost is not None:
            return self.latency.buffer_cost
        return BufferCost.of_link((self.latency.hardware or self.hardware).link("slow_to_fast"))

    @cached_property
    def _copy_costs(self) -> Costs:
        cost = self.copy_cost
        each = float(cost.copy_seconds(self.shape, 1))
        return cost.scale, cost.reuse_scale, cost.per_step, cost.per_active, each

    def _sent(self, decision: LayerDecision) -> Floats:
        """Return the number of other nodes that a token is sent to, its mean in each window."""
        remote = np.zeros(len(self.windows))
        if self.n_nodes > 1:
            slots = decision.slots
            node = np.arange(len(slots)) // (len(slots) // self.n_nodes)
            per_node = np.zeros((self.shape.n_experts, self.n_nodes), dtype=np.bool_)
            per_node[slots, node] = True
            kept = self.kept(decision.layer, decision.gate)[0]
            remote_nodes(self._ids[decision.layer], kept, self._window, per_node, remote)
        mean: Floats = remote / (self._n_tokens * self.n_nodes)
        return mean
