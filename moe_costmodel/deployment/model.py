"""DeploymentModel: what a deployment takes on recorded traffic - time, memory, quality, balance."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from moe_costmodel._checks import count, invalid, one_of
from moe_costmodel.buffering.replay import POLICIES
from moe_costmodel.deployment.checks import (
    Gates,
    check_traces,
    checked_capacities,
    checked_gates,
    checked_slots,
    require_weights,
)
from moe_costmodel.deployment.evaluation import Evaluation
from moe_costmodel.deployment.layers import LayerChoice, LayerCosts, LayerSteps
from moe_costmodel.gating.rules import GateRule
from moe_costmodel.hardware import Hardware
from moe_costmodel.latency.model import LatencyModel
from moe_costmodel.latency.step import MemoryModel, RestOfModel
from moe_costmodel.objectives import OBJECTIVES, Predicted
from moe_costmodel.placement.placement import Placement
from moe_costmodel.plans.plan import Plan
from moe_costmodel.shapes import DTYPE_BYTES, LayerShape
from moe_costmodel.traces.trace import RoutingTrace

__all__ = ["DeploymentModel", "Evaluation"]

Quality = Callable[[tuple[GateRule | None, ...]], float]
_MAX_CODES = 200_000
# Policies that a running system can follow; "min" sees the future.
ONLINE = tuple(name for name in POLICIES if name != "min")


class DeploymentModel:
    """Evaluates deployments of an MoE model on windows of recorded traffic.

    A step is the sum of its MoE layers and the rest of the model. Layers are separable, so each
    layer's step vector is kept under the layer's own choice (gate, batch, slots, capacities,
    policy), and a deployment of which one layer changed costs one layer. Nothing is approximated.

    Parameters
    ----------
    traces : RoutingTrace or sequence of RoutingTrace
        Windows (or domains) of traffic, with the choices of tokens; objectives are reported as
        mean and worst over them.
    hardware : Hardware
        Whose links carry tokens ("device_to_device", and "node_to_node" where there are several
        nodes) and missing experts ("slow_to_fast", unless buffered layers were measured).
    latency : LatencyModel
        Of the experts.
    shape : LayerShape
        An MoE layer as a whole.
    mode : {"prefill", "decode"}
        Whether steps are prompts in chunks, or sequences decoded together.
    n_devices, n_nodes : int, optional
        By default those of the hardware.
    rest : RestOfModel, optional
        Time of everything else; by default none.
    memory : MemoryModel, optional
        Memory of everything else; by default experts and activations alone.
    context : float, optional
        Tokens that each token attends to; by default its own position in the trace.
    max_context : int, optional
        Context that the KV cache is sized for; by default the longest sequence of the traces.
    quality : callable, optional
        ``quality(gates) -> loss``; by default the share of gate mass that is lost, which is no
        measure of quality and is reported as what it is.
    quality_kind : str
        What `quality` returns.
    kernel : str, optional
        One of the latency model's kernels.
    coverage : float
        Of the interval that the latency model's error gives.
    name : str, optional
        Of the model; by default the source of the first trace.
    cache_bytes : int
        Memory for layers that were evaluated.

    Raises
    ------
    ValueError
        If the traces do not fit one another or the shape, the hardware lacks a link, or a
        parameter is out of its range.

    Examples
    --------
    >>> from moe_costmodel import DeploymentModel, RoutingTrace
    >>> from moe_costmodel.example import measured as example
    >>> model = DeploymentModel(
    ...     RoutingTrace.example("code"),
    ...     example.example_hardware(n_devices=2),
    ...     example.example_latency(),
    ...     shape=example.example_shape(),
    ...     n_devices=2,
    ... )
    >>> model.evaluate(batch=16)["step_p99_s"] > 0
    True
    """

    def __init__(
        self,
        traces: RoutingTrace | Sequence[RoutingTrace],
        hardware: Hardware,
        latency: LatencyModel,
        *,
        shape: LayerShape,
        mode: str = "decode",
        n_devices: int | None = None,
        n_nodes: int | None = None,
        rest: RestOfModel | None = None,
        memory: MemoryModel | None = None,
        context: float | None = None,
        max_context: int | None = None,
        quality: Quality | None = None,
        quality_kind: str = "measured loss",
        kernel: str | None = None,
        coverage: float = 0.8,
        name: str | None = None,
        cache_bytes: int = 256 << 20,
    ) -> None:
        owner = "DeploymentModel"
        several = isinstance(traces, Sequence) and not isinstance(traces, str)
        self.traces: list[RoutingTrace] = list(traces) if several else [traces]  # type: ignore
        self.shape = shape
        check_traces(self.traces, shape)
        self.mode = one_of(owner, "mode", mode, ("prefill", "decode"))
        self.n_devices = count(owner, "n_devices", n_devices or hardware.n_devices)
        self.n_nodes = count(
            owner, "n_nodes", n_nodes or (hardware.n_nodes if n_devices is None else 1)
        )
        if self.n_devices > shape.n_experts:
            raise invalid(
                owner,
                "n_devices",
                self.n_devices,
                f"at most the {shape.n_experts} experts of a layer",
            )
        if self.n_devices % self.n_nodes:
            raise invalid(owner, "n_nodes", self.n_nodes, f"a divisor of {self.n_devices} devices")
        if self.n_devices > 1:
            hardware.link("device_to_device")
        if self.n_nodes > 1:
            hardware.link("node_to_node")
        if not 0 < coverage < 1:
            raise invalid(owner, "coverage", coverage, "between 0 and 1")
        self.hardware, self.latency = hardware, latency
        self.rest = rest or RestOfModel()
        self.memory = memory
        if memory is not None and memory.n_moe_layers != self.n_layers:
            raise invalid(
                owner, "memory", memory.n_moe_layers, f"of the traces' {self.n_layers} MoE layers"
            )
        self.context = context
        self.max_context = max_context or max(int(t.sequence_lengths.max()) for t in self.traces)
        self.quality = quality
        self.quality_kind = "gate mass lost" if quality is None else quality_kind
        self.kernel, self.coverage, self.cache_bytes = kernel, coverage, cache_bytes
        self.name = name or self.traces[0].source
        self._layers = LayerCosts(
            self.traces,
            hardware,
            latency,
            shape=shape,
            mode=mode,  # type: ignore[arg-type]
            n_devices=self.n_devices,
            n_nodes=self.n_nodes,
            kernel=kernel,
            cache_bytes=cache_bytes,
        )
        self._rest: dict[int, NDArray[np.float64]] = {}
        self._errors: dict[int, tuple[float, float]] = {}
        self._codes: dict[GateRule | None, int] = {}
        self._next_code = itertools.count()

    @property
    def n_layers(self) -> int:
        """MoE layers."""
        return self.traces[0].n_layers

    @property
    def layers_computed(self) -> int:
        """Layers that were computed so far, and not found among those kept."""
        return self._layers.computed

    @property
    def max_batch(self) -> int:
        """Largest batch of which every window has a full step."""
        if self.mode == "prefill":
            return min(trace.n_tokens for trace in self.traces)
        return min(len(trace.sequence_lengths) for trace in self.traces)

    def n_steps(self, batch: int) -> int:
        """Return how many full steps of this batch size the windows have, all together."""
        return self._layers.steps(batch).n

    def require_gating(self) -> None:
        """Complain where thresholds cannot be evaluated: the traces hold no weights."""
        require_weights(self.traces)

    def require_buffering(self) -> None:
        """Complain where copies cannot be charged: nothing says what one takes."""
        _ = self._layers.copy_cost

    def evaluate(
        self,
        gates: Gates = None,
        capacities: ArrayLike | None = None,
        policy: str = "paper",
        placement: Placement | ArrayLike | None = None,
        batch: int = 1,
    ) -> Evaluation:
        """Evaluate a deployment.

        Parameters
        ----------
        gates : GateRule or sequence of GateRule or None, optional
            One for all layers, or one a layer; None drops nothing.
        capacities : int or array_like of shape (n_layers,) or (n_layers, n_devices), optional
            Experts that a device keeps of a layer; by default all that are placed on it. A layer
            of which every device keeps all is not buffered, and loaded before the first step. The
            buffers of the others are empty at the start of every window.
        policy : str
            One of :data:`moe_costmodel.POLICIES` but "min", which sees the future.
        placement : Placement or array_like of shape (n_layers, n_slots), integer, optional
            By default contiguous. An expert's tokens are dealt out to its copies evenly, and those
            that do not divide in turn.
        batch : int
            Tokens of a step (prefill) or sequences decoded together (decode).

        Returns
        -------
        Evaluation

        Raises
        ------
        ValueError
            If a parameter does not fit, no window has a full step of that batch, the traces have
            no weights for a threshold, or nothing says what a copy costs.
        """
        rules = checked_gates(gates, self.traces, self.n_layers)
        slots = checked_slots(placement, self.n_layers, self.shape.n_experts, self.n_devices)
        n_local = slots.shape[1] // self.n_devices
        keep = checked_capacities(capacities, self.n_layers, self.n_devices, n_local)
        one_of("DeploymentModel.evaluate", "policy", policy, ONLINE)
        batch = count("DeploymentModel.evaluate", "batch", batch)
        steps = self._layers.steps(batch)
        layers = self._find_layers(rules, keep, policy, slots, batch)
        expert = self.shape.expert_bytes
        resident = float(keep.sum(axis=0).max()) * expert
        replicas = (slots.shape[1] - self.shape.n_experts) / self.n_devices * self.n_layers
        most_rows = max(layer.most_rows for layer in layers)
        return Evaluation(
            layers,
            rest=self._rest_seconds(batch),
            bounds=steps.bounds,
            batch=batch,
            bytes_of={
                "expert_bytes": resident,
                "replica_bytes": replicas * expert,
                "memory_bytes": resident + self.other_bytes(batch, most_rows),
            },
            quality=None if self.quality is None else float(self.quality(rules)),
            quality_kind=self.quality_kind,
            token_bytes=2 * self.shape.d_model * max(DTYPE_BYTES[self.shape.dtype], 2.0),
            error=self.error(n_local),
        )

    def _find_layers(
        self,
        rules: tuple[GateRule | None, ...],
        keep: NDArray[np.int64],
        policy: str,
        slots: NDArray[np.int64],
        batch: int,
    ) -> list[LayerSteps]:
        """Return every layer, computed where its choice is new."""
        n_local = slots.shape[1] // self.n_devices
        is_buffered = (keep < n_local).any(axis=1)
        choice = np.empty((self.n_layers, 4 + self.n_devices + slots.shape[1]), dtype=np.int32)
        choice[:, 0] = np.arange(self.n_layers)
        choice[:, 1] = [self._code(rule) for rule in rules]
        choice[:, 2] = np.where(is_buffered, 1 + ONLINE.index(policy), 0)
        choice[:, 3] = batch
        choice[:, 4 : 4 + self.n_devices] = keep
        choice[:, 4 + self.n_devices :] = slots
        keys, width = choice.tobytes(), choice.shape[1] * choice.itemsize
        layers = []
        for i in range(self.n_layers):
            key = keys[i * width : (i + 1) * width]
            found = self._layers.find(key)
            if found is None:
                used = policy if is_buffered[i] else None
                found = self._layers.compute(
                    key, LayerChoice(i, rules[i], batch, slots[i], keep[i], used)
                )
            layers.append(found)
        return layers

    def _code(self, rule: GateRule | None) -> int:
        """Return a number of a rule; never that of another."""
        code = self._codes.get(rule)
        if code is None:
            if len(self._codes) > _MAX_CODES:
                self._codes.clear()
            code = self._codes[rule] = next(self._next_code)
        return code

    def quality_loss(self, gates: Gates) -> NDArray[np.float64]:
        """Return what thresholds lose, window by window: gate mass, or what `quality` says."""
        rules = checked_gates(gates, self.traces, self.n_layers)
        if self.quality is not None:
            return np.full(len(self.traces), float(self.quality(rules)))
        if all(rule is None for rule in rules):
            return np.zeros(len(self.traces))
        mass = [self._layers.kept(i, rule)[1] for i, rule in enumerate(rules)]
        loss: NDArray[np.float64] = 1.0 - np.mean(mass, axis=0)
        return loss

    def mean_experts(self, gates: Gates) -> float:
        """Return the mean experts a token and layer, over windows alike."""
        rules = checked_gates(gates, self.traces, self.n_layers)
        return float(np.mean([self._layers.mean_experts(i, r) for i, r in enumerate(rules)]))

    def exchange_seconds(self, rows: ArrayLike) -> NDArray[np.float64]:
        """Return the time of an exchange of tokens, one way, (n,).

        Parameters
        ----------
        rows : array_like of shape (n, n_devices)
            Token-expert pairs that each device receives. The fullest device decides, and where
            there are several nodes the fullest of them, if it takes longer; tokens start on all
            devices alike.
        """
        array = np.asarray(rows, dtype=np.float64)
        seconds = np.zeros(len(array))
        size = self.shape.d_model * max(DTYPE_BYTES[self.shape.dtype], 2.0)
        for name, n in (("device_to_device", self.n_devices), ("node_to_node", self.n_nodes)):
            if n > 1:
                link = self.hardware.link(name)
                fullest = array.reshape(len(array), n, -1).sum(axis=2).max(axis=1)
                sent = fullest * (1 - 1 / n) * size
                seconds = np.maximum(seconds, link.latency + sent / link.bandwidth)
        return seconds

    def other_bytes(self, batch: int, most_rows: int) -> float:
        """Return the memory of a device beside its experts: activations, and what `memory` says.

        Sequences, and so the KV cache, are spread evenly over the devices; activations are those
        of the device with the most token-expert pairs.
        """
        s = self.shape
        inner = (3 if s.gated else 1) * s.d_ffn
        row = max(DTYPE_BYTES[s.dtype], 2.0) * (2 * s.d_model + inner)
        total = row * most_rows
        if self.memory is not None:
            sequences = batch if self.mode == "decode" else max(1.0, batch / self.max_context)
            kv = float(self.memory.kv_bytes(sequences, self.max_context))
            total += self.memory.weight_bytes + kv / self.n_devices
        return float(total)

    def least_memory(self, batch: int) -> float:
        """Return the memory that no deployment of this batch size goes below.

        One expert of each layer on each device, and activations of an even spread of one expert a
        token.
        """
        rows = -(-batch // self.n_devices)
        return self.n_layers * self.shape.expert_bytes + self.other_bytes(batch, rows)

    def error(self, n_local: int) -> tuple[float, float]:
        """Return the factors between which measured layers were, at the coverage asked for."""
        if n_local not in self._errors:
            one = self.latency.predict(
                replace(self.shape, n_local=n_local),
                np.ones((1, n_local)),
                kernel=self.kernel,
                coverage=self.coverage,
            )
            factors = float(one.low[0] / one.seconds[0]), float(one.high[0] / one.seconds[0])
            self._errors[n_local] = min(factors[0], 1.0), max(factors[1], 1.0)
        return self._errors[n_local]

    def predict(
        self,
        gates: Gates = None,
        capacities: ArrayLike | None = None,
        policy: str = "paper",
        placement: Placement | ArrayLike | None = None,
        batch: int = 1,
    ) -> dict[str, Predicted]:
        """Return every objective with its interval: the latency model's error, and the windows.

        The only window is cut in two for the interval; where its halves have no full step of that
        batch, for that of the quality alone. Parameters and errors are those of :meth:`evaluate`.
        """
        settings = gates, capacities, policy, placement, batch
        whole = self.evaluate(*settings)
        found = {name: whole.predicted(name) for name in OBJECTIVES}
        if self.halves is None:
            return found
        if batch > self.halves.max_batch:
            lost = self.halves.quality_loss(gates)
            ends = {"quality_loss": (float(lost.min()), float(lost.max()))}
        else:
            halves = self.halves.evaluate(*settings)
            ends = {name: (p.low, p.high) for name in found for p in (halves.predicted(name),)}
        for name, (low, high) in ends.items():
            one = found[name]
            low, high = min(one.low, low), max(one.high, high)
            found[name] = Predicted(one.value, low, high, one.worst)
        return found

    @cached_property
    def halves(self) -> DeploymentModel | None:
        """The same model on the two halves of its only window; None where it has several."""
        if len(self.traces) > 1 or len(self.traces[0].sequence_lengths) < 2:
            return None
        return self.on(self.traces[0].split())

    def plan(
        self,
        gates: Gates = None,
        capacities: ArrayLike | None = None,
        policy: str = "paper",
        placement: Placement | ArrayLike | None = None,
        batch: int = 1,
    ) -> Plan:
        """Return a deployment as a plan, with every objective and its interval.

        Parameters and errors are those of :meth:`evaluate`.
        """
        from moe_costmodel.deployment.fingerprints import provenance, versions

        rules = checked_gates(gates, self.traces, self.n_layers)
        slots = checked_slots(placement, self.n_layers, self.shape.n_experts, self.n_devices)
        keep = checked_capacities(
            capacities, self.n_layers, self.n_devices, slots.shape[1] // self.n_devices
        )
        return Plan(
            model=self.name,
            shape=self.shape,
            mode=self.mode,
            batch_size=int(batch),
            placement=Placement(slots, self.n_devices),
            capacities=keep,
            policy=policy,
            gates=rules,
            devices_per_node=self.n_devices // self.n_nodes,
            layers=tuple(int(n) for n in self.traces[0].layers),
            objectives=self.predict(rules, keep, policy, slots, batch),
            quality_kind=self.quality_kind,
            provenance=provenance(self),
            versions=versions(),
            deployment=self,
        )

    def evaluate_plan(self, plan: Plan) -> Evaluation:
        """Evaluate a plan of this model.

        Raises
        ------
        ValueError
            If the plan is of another model, mode or number of devices; it names which.
        """
        for name, here, there in (
            ("shape", self.shape, plan.shape),
            ("layers", self.n_layers, plan.n_layers),
            ("devices", self.n_devices, plan.n_devices),
            ("nodes", self.n_nodes, plan.n_nodes),
            ("mode", self.mode, plan.mode),
        ):
            if here != there:
                raise invalid(
                    "DeploymentModel", "plan", f"{plan.model}, {name} {there}", f"of {name} {here}"
                )
        return self.evaluate(
            plan.gates, plan.capacities, plan.policy, plan.placement, plan.batch_size
        )

    def on(self, traces: RoutingTrace | Sequence[RoutingTrace]) -> DeploymentModel:
        """Return the same model on other traffic."""
        return DeploymentModel(
            traces,
            self.hardware,
            self.latency,
            shape=self.shape,
            mode=self.mode,
            n_devices=self.n_devices,
            n_nodes=self.n_nodes,
            rest=self.rest,
            memory=self.memory,
            context=self.context,
            max_context=self.max_context,
            quality=self.quality,
            quality_kind=self.quality_kind,
            kernel=self.kernel,
            coverage=self.coverage,
            name=self.name,
            cache_bytes=self.cache_bytes,
        )

    def _rest_seconds(self, batch: int) -> NDArray[np.float64]:
        if batch not in self._rest:
            steps = self._layers.steps(batch)
            context: Any = steps.context if self.context is None else self.context
            self._rest[batch] = np.broadcast_to(self.rest.seconds(batch, context), steps.n)
        return self._rest[batch]
