"""DeploymentModel: time, memory, quality and balance of a deployment on recorded traffic."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields
from functools import cached_property
from typing import cast

import numpy as np
from numpy.typing import ArrayLike

from moe_costmodel._arrays import Floats
from moe_costmodel._checks import count, one_of
from moe_costmodel.deployment.certainty import Errors, certainty, predicted
from moe_costmodel.deployment.check import PlanCheck, check
from moe_costmodel.deployment.checks import check_fit, check_settings, check_traces
from moe_costmodel.deployment.evaluation import Evaluation
from moe_costmodel.deployment.exchange import exchange_seconds
from moe_costmodel.deployment.fingerprints import sources, versions
from moe_costmodel.deployment.layers import LayerCosts
from moe_costmodel.deployment.load_layers import LoadCosts
from moe_costmodel.gating.rules import GateRule
from moe_costmodel.hardware import Hardware
from moe_costmodel.latency.model import LatencyModel
from moe_costmodel.latency.steps.memory import MemoryModel, bytes_beside_experts
from moe_costmodel.latency.steps.rest_of_model import RestOfModel
from moe_costmodel.objectives import Predicted
from moe_costmodel.offloading.cost import MissCost
from moe_costmodel.offloading.rule import OffloadRule
from moe_costmodel.placement.heuristics import contiguous
from moe_costmodel.placement.placement import Placement
from moe_costmodel.plans.decision import Decision, Gates, in_order, layer_gates
from moe_costmodel.plans.plan import Plan
from moe_costmodel.shapes import DTYPE_BYTES, LayerShape
from moe_costmodel.traces.sampling import routed_layers
from moe_costmodel.traces.trace import Mode, RoutingTrace
from moela.heartbeat.working import long_work

__all__ = ["DeploymentModel", "Evaluation"]

_SETTINGS = (
    "hardware", "latency", "shape", "mode", "n_devices", "n_nodes", "rest", "memory", "context",
    "max_context", "quality", "quality_kind", "kernel", "coverage", "name", "cache_bytes",
    "random_state", "miss_cost",
)  # fmt: skip
Quality = Callable[[tuple[GateRule | None, ...]], float]


class DeploymentModel:
    """Evaluates deployments of an MoE model on windows of recorded traffic.

    The time of a step is the sum of its MoE layers and of the rest of the model. Layers are
    independent: each layer's step times are stored under its own decision, so a
    deployment in which one layer changed computes one layer. Nothing is approximated.

    Parameters
    ----------
    traces : RoutingTrace or sequence of RoutingTrace
        Windows (or domains) of traffic; objectives are reported as mean and worst over the
        windows. Steps of more sequences than a window has repeat its sequences at other positions.
        Steps of traces of loads are drawn at any batch size, see
        :func:`moe_costmodel.sample_loads`; thresholds and buffers need the choices of
        each token. Layers in which no trace has tokens (dense ones) are left out.
    hardware : Hardware
        Its links carry tokens ("device_to_device", and "node_to_node" between several nodes) and
        missing experts ("slow_to_fast", unless buffered layers were measured).
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
        Tokens that each token attends to; by default its own position in the trace. Needed with
        `rest` if the traces hold loads only.
    max_context : int, optional
        Context length that the KV cache is sized for; by default the longest sequence, or `context`
        if the traces hold loads only.
    quality : callable, optional
        ``quality(gates) -> loss``; by default the share of gate mass that is lost. Gate mass is
        not a measure of quality, and is reported under its own name.
    quality_kind : str
        What `quality` returns.
    kernel : str, optional
        One of the latency model's kernels.
    coverage : float
        Coverage of the interval that the latency model's error gives.
    name : str, optional
        Name of the model; by default the source of the first trace.
    cache_bytes : int
        Memory for layers that were evaluated.
    random_state : int
        Seed of the steps that are drawn, because no trace has them.
    miss_cost : MissCost, optional
        For decisions with an `offload`. Layers share the `hidden` time; `base` is not used.

    Raises
    ------
    ValueError
        If the traces do not fit one another or the shape, the hardware lacks a link, or a
        parameter is out of its range.

    Examples
    --------
    >>> from moe_costmodel import DeploymentModel, RoutingTrace
    >>> from moe_costmodel.example import measured
    >>> model = DeploymentModel(
    ...     RoutingTrace.example("code"),
    ...     measured.example_hardware(2),
    ...     measured.example_latency(),
    ...     shape=measured.example_shape(),
    ... )
    >>> model.evaluate(model.decision(batch_size=16))["step_p99_s"] > 0
    True
    """

    @long_work("building the model of a deployment")
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
        random_state: int = 0,
        miss_cost: MissCost | None = None,
    ) -> None:
        owner = "DeploymentModel"
        listed, self.shape = [traces] if isinstance(traces, RoutingTrace) else list(traces), shape
        check_traces(listed, shape)
        self.traces = routed_layers(listed)
        loads_only = self.traces[0].is_load_only
        self.mode = cast(Mode, one_of(owner, "mode", mode, ("prefill", "decode")))
        if n_nodes is None:
            n_nodes = hardware.n_nodes if n_devices is None else 1
        n_devices = hardware.n_devices if n_devices is None else n_devices
        self.n_devices = count(owner, "n_devices", n_devices)
        self.n_nodes = count(owner, "n_nodes", n_nodes)
        check_settings(
            self.traces, shape, n_devices=self.n_devices, n_nodes=self.n_nodes, coverage=coverage,
            rest=rest, memory=memory, context=context, max_context=max_context,
            cache_bytes=cache_bytes, kernel=kernel, kernels=latency.kernels,
        )  # fmt: skip
        self.hardware, self.latency = hardware, latency
        self.rest, self.memory = rest or RestOfModel(), memory
        self.context, self.miss_cost = context, miss_cost
        longest = [int(trace.sequence_lengths.max(initial=1)) for trace in self.traces]
        if max_context is None:
            max_context = max(1, int(context or 1)) if loads_only else max(longest)
        self.max_context = max_context
        self.quality, self.quality_kind = quality, quality_kind if quality else "gate mass lost"
        self.kernel, self.coverage, self.cache_bytes = kernel, coverage, cache_bytes
        self.name = name or self.traces[0].source
        self.random_state = count(owner, "random_state", random_state, 0)
        shared = ("hardware", "latency", "shape", "mode", "n_devices", "n_nodes", "kernel",
                  "cache_bytes", "random_state", "miss_cost")  # fmt: skip
        make = LoadCosts if loads_only else LayerCosts
        self._layers = make(self.traces, **{name: getattr(self, name) for name in shared})
        self._rest: dict[int, Floats] = {}
        self._errors: dict[tuple[int, int, bool, bool], tuple[list[str], Errors]] = {}

    @property
    def n_layers(self) -> int:
        """Number of MoE layers."""
        return self.traces[0].n_layers

    @property
    def layers_computed(self) -> int:
        """Number of layers that were computed so far; the others were in the cache."""
        return self._layers.computed

    @property
    def max_batch_size(self) -> int:
        """Largest batch size for which every window has a full step, or tokens in its loads.

        Steps of larger batch sizes are drawn with repetitions.
        """
        return self._layers.recorded_batch_size

    def n_steps(self, batch_size: int) -> int:
        """Return how many full steps of this batch size all windows have."""
        return self._layers.steps(batch_size).n

    def require_buffering(self) -> None:
        """Raise a ValueError if no measurement, link or MissCost gives the cost of a copy."""
        _ = self.miss_cost or self._layers.copy_cost

    def decision(
        self,
        *,
        placement: Placement | ArrayLike | None = None,
        batch_size: int = 1,
        gates: Gates = None,
        capacities: ArrayLike | None = None,
        policy: str = "paper",
        offload: OffloadRule | None = None,
        start: ArrayLike | None = None,
    ) -> Decision:
        """Return a decision about this model's deployment; errors are those of :class:`Decision`.

        Parameters
        ----------
        placement : Placement or array_like of shape (n_layers, n_slots), integer, optional
            By default experts are placed in order of their ids.
        batch_size, gates, capacities, policy, offload, start
            As for :class:`Decision`.
        """
        if placement is None:
            placement = contiguous(self.n_layers, self.shape.n_experts, self.n_devices)
        if not isinstance(placement, Placement):
            placement = Placement(np.asarray(placement), self.n_devices)
        return Decision(
            placement=in_order(placement),
            batch_size=batch_size,
            gates=layer_gates(gates, placement.n_layers, "Decision"),
            capacities=capacities,  # type: ignore[arg-type]
            policy=policy,
            offload=offload,
            start=start,  # type: ignore[arg-type]
        )

    def evaluate(self, decision: Decision) -> Evaluation:
        """Evaluate a deployment.

        Parameters
        ----------
        decision : Decision
            The deployment; a :class:`moe_costmodel.Plan` is one, too. A layer that is not buffered
            is loaded before the first step; the buffers of the others are empty at the start of
            every window.

        Returns
        -------
        Evaluation

        Raises
        ------
        ValueError
            If the decision is about another model or number of devices, no window has a full step
            of its batch size, the traces have no weights for a threshold, or the cost of a copy is
            unknown.
        """
        check_fit(self, decision)
        if decision.has_thresholds:
            self._layers.require_weights()
        layers = [self._layers.layer(part) for part in decision.by_layer]
        batch_size, placement = decision.batch_size, decision.placement
        resident = float(decision.capacities.sum(axis=0).max()) * self.shape.expert_bytes
        replicas = placement.n_replicas / self.n_devices * self.n_layers
        most_rows = max(layer.most_rows for layer in layers)
        return Evaluation(
            layers,
            rest=self._rest_seconds(batch_size),
            bounds=self._layers.steps(batch_size).bounds,
            batch_size=batch_size,
            bytes_of={
                "expert_bytes": resident,
                "replica_bytes": replicas * self.shape.expert_bytes,
                "memory_bytes": resident + self.other_bytes(batch_size, most_rows),
            },
            quality=None if self.quality is None else float(self.quality(decision.gates)),
            quality_kind=self.quality_kind,
            token_bytes=2 * self.shape.d_model * max(DTYPE_BYTES[self.shape.dtype], 2.0),
            error=self.error(decision),
            outside=self.outside(decision),
            n_devices=self.n_devices,
            spread=self._layers.steps(batch_size).spread,
            notes=self._layers.steps(batch_size).notes,
        )

    def quality_loss(self, gates: Gates) -> Floats:
        """Return the quality lost in each window: gate mass, or what `quality` measures."""
        rules = self._rules(gates)
        if self.quality is not None:
            return np.full(len(self.traces), float(self.quality(rules)))
        if all(rule is None for rule in rules):
            return np.zeros(len(self.traces))
        mass = [self._layers.kept(i, rule)[1] for i, rule in enumerate(rules)]
        return np.asarray(1.0 - np.mean(mass, axis=0))

    def mean_experts(self, gates: Gates) -> float:
        """Return the mean number of experts per token and layer; all windows count alike."""
        rules = self._rules(gates)
        return float(np.mean([self._layers.mean_experts(i, r) for i, r in enumerate(rules)]))

    def _rules(self, gates: Gates) -> tuple[GateRule | None, ...]:
        rules = layer_gates(gates, self.n_layers, "DeploymentModel")
        if any(rule is not None for rule in rules):
            self._layers.require_weights()
        return rules

    def exchange_seconds(self, rows: ArrayLike) -> Floats:
        """Return the time of an exchange of tokens, one way, (n,).

        `rows`, (n, n_devices), are the token-expert pairs that each device receives. The device
        that receives the most decides, or the node that does if its exchange takes longer. Tokens
        start on all devices alike.
        """
        sizes = {"device_to_device": self.n_devices, "node_to_node": self.n_nodes}
        links = [(n, self.hardware.link(name)) for name, n in sizes.items() if n > 1]
        return exchange_seconds(rows, links, self.shape)

    def other_bytes(self, batch_size: int, most_rows: int) -> float:
        """Return the memory of a device beside its experts: activations, and what `memory` holds.

        Sequences, and so the KV cache, are spread evenly over the devices. Activations are those
        of the device with the most token-expert pairs.
        """
        decoding = self.mode == "decode"
        sequences = batch_size if decoding else max(1.0, batch_size / self.max_context)
        parties = sequences, self.max_context, self.n_devices
        return bytes_beside_experts(self.shape, most_rows, self.memory, *parties)

    def outside(self, decision: Decision) -> list[str]:
        """Return why times of a deployment are extrapolated: sizes that were not measured."""
        return self._certainty(decision)[0].copy()

    def error(self, decision: Decision) -> Errors:
        """Return the lowest and highest ratio of measured to predicted times, at `coverage`.

        The pairs are those of MoE layers and of the rest, for sizes of steps that were left out,
        and of their sum, for steps that were measured as a whole.
        """
        return self._certainty(decision)[1]

    def _certainty(self, decision: Decision) -> tuple[list[str], Errors]:
        """Return `outside` and `error`, which depend on little of a decision."""
        key = (
            decision.slots_per_device, decision.batch_size, decision.has_thresholds,
            decision.is_buffered,
        )  # fmt: skip
        if key not in self._errors:
            steps = self._layers.steps(decision.batch_size)
            self._errors[key] = certainty(self, steps, decision)
        return self._errors[key]

    def predict(self, decision: Decision) -> dict[str, Predicted]:
        """Return every objective with its interval: the latency model's error, and the windows.

        A single window is cut in two for the interval. If its halves have no full step of that
        batch size, only the interval of the quality comes from them. Steps that no trace has widen
        the interval further. Errors are those of :meth:`evaluate`.
        """
        return predicted(self, decision)

    @cached_property
    def halves(self) -> DeploymentModel | None:
        """The same model on the two halves of its only window; None if it has several windows."""
        trace = self.traces[0]
        parts = len(trace.loads()) if trace.is_load_only else len(trace.sequence_lengths)
        if len(self.traces) > 1 or parts < 2:
            return None
        return self.on(self.traces[0].split())

    def plan(self, decision: Decision) -> Plan:
        """Return a decision as a plan, with every objective and its interval.

        Errors are those of :meth:`evaluate`.
        """
        return Plan(
            model=self.name,
            shape=self.shape,
            mode=self.mode,
            **{item.name: getattr(decision, item.name) for item in fields(Decision)},
            devices_per_node=self.n_devices // self.n_nodes,
            layers=tuple(int(n) for n in self.traces[0].layers),
            objectives=self.predict(decision),
            quality_kind=self.quality_kind,
            outside=tuple(self.outside(decision)),
            provenance=sources(self),
            versions=versions(),
        )

    def check(
        self,
        plan: Plan,
        other: RoutingTrace | Sequence[RoutingTrace],
        *,
        running: Plan | None = None,
    ) -> PlanCheck:
        """Evaluate a plan on traffic that it was not made for.

        Parameters
        ----------
        plan : Plan
            A plan of this model, on this model's traffic.
        other : RoutingTrace or sequence of RoutingTrace
            The other traffic, or windows of it.
        running : Plan, optional
            The plan that runs now; the result then has the cost of switching to `plan`.

        Raises
        ------
        ValueError
            If plan, traffic and running plan are not of this model.
        """
        return check(self, plan, other, running)

    def on(self, traces: RoutingTrace | Sequence[RoutingTrace]) -> DeploymentModel:
        """Return the same model on other traffic; loads take the mean context of this traffic."""
        settings = {name: getattr(self, name) for name in _SETTINGS}
        first = traces if isinstance(traces, RoutingTrace) else traces[0]
        if first.is_load_only and self.context is None and not self.traces[0].is_load_only:
            settings["context"] = float(np.mean([t.mean_context for t in self.traces]))
        return DeploymentModel(traces, **settings)

    def _rest_seconds(self, batch_size: int) -> Floats:
        if batch_size not in self._rest:
            steps = self._layers.steps(batch_size)
            context = steps.context if self.context is None else np.float64(self.context)
            seconds = self.rest.seconds(batch_size, context, mode=self.mode)
            self._rest[batch_size] = np.broadcast_to(seconds, steps.n)
        return self._rest[batch_size]
