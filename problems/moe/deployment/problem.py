"""Joint deployment as a pymoo problem: gates, buffers, placement and batch size together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike

from moe_costmodel import (
    DeploymentModel,
    GateRule,
    Hardware,
    LatencyModel,
    LayerShape,
    MissCost,
    OffloadRule,
    Placement,
    Plan,
    RoutingTrace,
)
from moe_costmodel.deployment.check import PlanCheck
from moe_costmodel.deployment.fingerprints import sources
from moe_costmodel.kernels.replacement import ONLINE_POLICIES
from problems._arrays import Floats, Ints
from problems._checks import check_choice, check_names, setting_error
from problems.moe.base import AGGREGATES, MoEProblem, as_windows
from problems.moe.buffering.rules import checked_rules, uses_of_start
from problems.moe.deployment.layout import Layout
from problems.moe.deployment.setup import (
    SECONDS_PER_TOKEN,
    checked_batch_sizes,
    checked_limits,
    checked_parts,
    decidable,
    named_objectives,
    placements,
    shape_of,
)
from problems.moe.deployment.starts import buffer_path
from problems.moe.deployment.valuation import Valuation, check_limits, first_designs
from problems.moe.gating.levels import GateLevels, chosen_rules
from problems.moe.placement.checks import check_complete

__all__ = ["MoEDeployment"]

EVALUATION = 1
"""Version of the evaluation: increased whenever a design gets other objectives than before."""

_DEFAULT = (SECONDS_PER_TOKEN, "step_p99_s", "memory_bytes", "quality_loss")


class MoEDeployment(MoEProblem):
    """Decide everything about the deployment of an MoE model jointly; all objectives minimized.

    The decisions interact: gating thresholds change which experts are active, which changes cache
    misses and load balance, and a larger batch needs KV cache and activations that leave less
    memory for experts. A row of X holds a gate level per layer, the number of experts that each
    device keeps of each layer, the eviction policy, the batch size, and the expert in each slot;
    ``layout`` gives the columns of each.

    Parameters
    ----------
    trace : RoutingTrace or sequence of RoutingTrace
        Recorded routing. Several traces are windows or domains of the traffic. Traces of loads only
        are enough if neither gates nor buffers are decided; their steps are drawn.
    hardware : Hardware
    latency : LatencyModel
    n_devices, n_nodes : int, optional
        By default those of the hardware.
    shape : LayerShape, optional
        Sizes of a complete MoE layer; known for the packaged example.
    objectives : sequence of str
        Names of :data:`moe_costmodel.OBJECTIVES`. "tokens_per_s" is minimized as
        "seconds_per_token".
    decide : sequence of str, optional
        Parts to decide, of "gates", "buffers", "batch", "placement"; by default all, but "gates"
        only if "quality_loss" is an objective or has a limit, since dropping choices would else
        cost nothing. Parts that are not decided keep their defaults: no thresholds, all experts
        resident, the smallest batch size, and the current placement. With one device there is no
        placement to decide.
    rule, rules
        Rules of the gates, as for ``GatingThresholds``.
    batch_sizes : sequence of int, optional
        Batch sizes to choose from, ascending; by default powers of two that the traces can fill.
    policies : sequence of str, optional
        Eviction policies to choose from; by default all but "min", which knows the future.
    per_device : bool
        Whether devices may keep different numbers of experts of a layer.
    replicas : int
        Slots of a layer beyond one per expert.
    current : Placement, optional
        Placement that runs today; by default contiguous.
    memory_budget : float, optional
        Limit for the memory of a device in bytes; by default the memory of the hardware; infinity
        for no limit.
    slo_s : float, optional
        Limit for the 99th percentile of the step time in seconds.
    max_quality_loss : float, optional
        Limit for "quality_loss".
    aggregate : {"mean", "worst"}
        How the values of several windows become one.
    cost : MissCost, optional
        Cost of misses and uploads (:func:`moe_costmodel.measure_misses`). Misses may then be
        computed where their weights lie, uploads are rationed, and "buffers" chooses among
        `offload_rules` instead of `policies`. Without it, every miss is copied in.
    offload_rules : sequence of OffloadRule, optional
        Rules to choose from if there is a `cost`: where a miss is computed, policy, admission,
        static list, prefetch.
    start : RoutingTrace, optional
        Traffic whose most used experts are resident at first, if there is a `cost`. By default
        buffers begin empty.
    **model
        Further parameters of :class:`moe_costmodel.DeploymentModel`: `mode`, `rest`, `memory`,
        `context`, `max_context`, `quality`, `quality_kind`, `kernel`, `coverage`, `name`,
        `cache_bytes`.

    Attributes
    ----------
    model : DeploymentModel
    quality_kind : str
        How "quality_loss" is determined.
    constraint_names : tuple of str

    Raises
    ------
    ValueError
        If a parameter is out of range; no deployment meets the memory budget or the SLO (the
        message names a limit that can be met); the traces have no weights although gates are
        decided; or the hardware lacks a link.

    References
    ----------
    arXiv 2303.06182 makes these decisions one by one; see ``moe_costmodel.deployment.model``.

    Examples
    --------
    >>> from problems.moe import MoEDeployment
    >>> problem = MoEDeployment.example()
    >>> problem.objective_names
    ('seconds_per_token', 'step_p99_s', 'memory_bytes', 'quality_loss')
    """

    search_shares: ClassVar[dict[str, float]] = {"evolution": 0.5, "search": 0.25, "pareto": 0.25}
    """Base shares of MOELA's parts: children that take each layer from either parent pay here."""

    _mutation = 0.9, 4
    _sample_moves = 8

    def __init__(
        self,
        trace: RoutingTrace | Sequence[RoutingTrace],
        hardware: Hardware,
        latency: LatencyModel,
        *,
        n_devices: int | None = None,
        n_nodes: int | None = None,
        shape: LayerShape | None = None,
        objectives: Sequence[str] = _DEFAULT,
        decide: Sequence[str] | None = None,
        rule: str = "top-p",
        rules: Sequence[GateRule] | None = None,
        batch_sizes: Sequence[int] | None = None,
        policies: Sequence[str] | None = None,
        per_device: bool = True,
        replicas: int = 0,
        current: Placement | None = None,
        memory_budget: float | None = None,
        slo_s: float | None = None,
        max_quality_loss: float | None = None,
        aggregate: str = "mean",
        cost: MissCost | None = None,
        offload_rules: Sequence[OffloadRule] | None = None,
        start: RoutingTrace | None = None,
        **model: Any,
    ) -> None:
        owner = "MoEDeployment"
        listed = as_windows(trace, owner, tokens=False)
        if not isinstance(hardware, Hardware):
            raise setting_error(owner, "hardware", "a Hardware", hardware)
        if not isinstance(latency, LatencyModel):
            raise setting_error(owner, "latency", "a LatencyModel", latency)
        self.objective_names = named_objectives(objectives)
        judged = "quality_loss" in self.objective_names or max_quality_loss not in (None, np.inf)
        decided = decidable(listed, checked_parts(decide, judged=judged))
        self.aggregate = check_choice(owner, "aggregate", aggregate, AGGREGATES)
        self.model = DeploymentModel(
            listed, hardware, latency, shape=shape_of(listed, shape),
            n_devices=n_devices, n_nodes=n_nodes, miss_cost=cost, **model,
        )  # fmt: skip
        self.windows = self.model.traces
        self.quality_kind = self.model.quality_kind
        if self.model.n_devices == 1:
            decided = tuple(name for name in decided if name != "placement")
        if "buffers" in decided:
            self.model.require_buffering()
        self.policies = ONLINE_POLICIES
        if policies is not None:
            self.policies = check_names(owner, "policies", policies, ONLINE_POLICIES)
        self.offload_rules = checked_rules(
            cost, offload_rules, start, {"policies": policies}, owner=owner, name="offload_rules"
        )
        if self.offload_rules:
            self.policies = tuple(str(rule) for rule in self.offload_rules)
            for item in self.offload_rules:
                if item.policy == "min" or (item.is_static and start is None):
                    expected = "without policies that need the future, nor static lists if there "
                    expected += "is no start"
                    raise setting_error(owner, "offload_rules", expected, str(item))
            if replicas and "buffers" in decided:
                expected = "0 if misses have a cost and buffers are decided"
                raise setting_error(owner, "replicas", expected, replicas)
        self.batch_sizes = checked_batch_sizes(self.model, batch_sizes)
        middle, uses, levels = self.batch_sizes[len(self.batch_sizes) // 2], None, None
        if start is not None:
            size = (self.windows[0].n_layers, self.windows[0].n_experts)
            uses = uses_of_start(start, size, middle, self.model.mode, owner)
        if "gates" in decided:
            choice = chosen_rules(rules, rule, self.windows[0].k, owner)
            levels = GateLevels.of(self.windows, choice, owner)
        placed = placements(
            self.model, batch_size=middle, replicas=replicas, current=current,
            decided="placement" in decided,
        )  # fmt: skip
        self._layout = layout = Layout(
            self.model, placed, levels, self.policies, self.batch_sizes,
            decide=decided, per_device=per_device, rules=self.offload_rules, start=uses,
        )  # fmt: skip
        self.feature_names = layout.feature_names()
        budget = hardware.memory_bytes if memory_budget is None else memory_budget
        self._limits = checked_limits(budget, slo_s, max_quality_loss)
        self.constraint_names = tuple(self._limits)
        super().__init__(layout.xl, layout.xu, n_ieq_constr=len(self._limits))
        self._set_version(
            "deployment", EVALUATION, sorted(sources(self.model).items()),
            self.objective_names, self._limits, aggregate, self.policies, self.batch_sizes,
            layout.xl, layout.xu, None if levels is None else levels.rules,
            *(() if cost is None else (repr(cost), uses)),
        )  # fmt: skip
        check_limits(self._valuation)
        layout.known["buffers"] = buffer_path(layout, len(self.batch_sizes) // 2)
        self._starts, self.ref_point = first_designs(self._valuation)
        self.ref_point_source = "the worst of the plans that a person would try, + 5 %"

    @classmethod
    def example(
        cls,
        domain: str = "code",
        *,
        n_devices: int = 4,
        n_nodes: int = 1,
        measured: bool = False,
        n_excerpts: int = 4,
        **settings: Any,
    ) -> MoEDeployment:
        """Return the problem of the packaged example model with packaged kernel measurements.

        Parameters
        ----------
        domain : {"code", "prose"}
        n_devices, n_nodes : int
        measured : bool
            Measure the loss of the model (needs torch and safetensors) instead of the gate mass
            that is dropped.
        n_excerpts : int
            Number of texts, unseen in training, to measure the loss on.
        **settings
            Parameters of the constructor.
        """
        from moe_costmodel.example import measured as example

        if measured:
            from moe_costmodel.example import load_model
            from moe_costmodel.example.record import excerpts
            from problems.moe.gating.measured_quality import MeasuredLoss

            settings["quality"] = MeasuredLoss(load_model(), excerpts(domain, n=n_excerpts))
        rest: dict[str, Any] = {"rest": example.example_rest(), "memory": example.example_memory()}
        return cls(
            RoutingTrace.example(domain),  # type: ignore[arg-type]
            example.example_hardware(n_devices, n_nodes), example.example_latency(),
            n_devices=n_devices, n_nodes=n_nodes, **(rest | settings),
        )  # fmt: skip

    @property
    def layout(self) -> Layout:
        """Columns of a row, and what their values stand for."""
        return self._layout

    @property
    def _valuation(self) -> Valuation:
        limits, mean = self._limits, self.aggregate == "mean"
        return Valuation(self.model, self._layout, self.objective_names, limits, mean)

    # ------------------------------------------------------------------------------- evaluation

    def check(self, X: ArrayLike) -> None:
        """Check designs; the ValueError names a value out of bounds or an expert without a slot."""
        layout = self._layout
        slots = self._rows(X)[:, layout.slots].reshape(-1, layout.n_layers, layout.n_slots)
        check_complete(slots, layout.n_experts, "MoEDeployment")

    def _evaluate(self, x: ArrayLike, out: dict[str, Floats], *args: object, **kw: object) -> None:
        out["F"], G = self._valuation.values(self._rows(x))
        if self._limits:
            out["G"] = G

    @property
    def limits(self) -> dict[str, float]:
        """Upper limits by objective."""
        return dict(self._limits)

    def decided(self, x: ArrayLike) -> tuple[int, str, float]:
        """Return batch size, eviction policy and mean experts per token of one design.

        The policy is "all resident" if nothing is buffered, and a rule if misses have a cost.
        """
        row = self._row(x)[0]
        decision = self._layout.decision(row)
        experts = float(self.model.shape.k)
        if self._layout.levels is not None:
            experts = float(self._layout.levels.at(row[self._layout.gates])[0].mean())
        policy = str(decision.offload or decision.policy)
        policy = policy if decision.is_buffered else "all resident"
        return decision.batch_size, policy, experts

    def outside(self, x: ArrayLike) -> list[str]:
        """Return the reasons why the times of one design are extrapolated; empty if they are not.

        Tokens, contexts or layers were not measured, or steps of the batch size were not recorded.
        """
        return self.model.outside(self._layout.decision(self._row(x)[0]))

    def intervals(self, X: ArrayLike) -> Floats:
        """Return the interval of each objective, lowest and highest value, [n, n_obj, 2].

        Intervals account for the error of the latency model and for differences between windows of
        traffic; see :meth:`moe_costmodel.DeploymentModel.predict`. A row takes a few evaluations.
        """
        return self._valuation.intervals(self._rows(X))

    def today(self) -> Floats | None:
        """Return the objectives [n_obj] of the current placement with nothing else decided.

        The batch size is the largest with which the limits hold; None if there is no such size.
        """
        return self._valuation.today(len(self.batch_sizes))

    def check_plan(
        self, plan: Plan, trace: RoutingTrace, *, running: Plan | None = None
    ) -> PlanCheck:
        """Evaluate a plan on other traffic; see :meth:`moe_costmodel.Plan.check`."""
        return plan.check(trace, running=running, deployment=self.model)

    # ----------------------------------------------------------------------- used by the search

    def canonical(self, X: ArrayLike) -> Ints:
        """Return X with ascending slots on each device, same shape.

        If nothing is buffered, the policy becomes the first, since it has no effect.
        """
        return self._layout.canonical(self._rows(X)).reshape(np.shape(X))

    def _move(self, X: Ints, chosen: Ints, random_state: np.random.Generator) -> None:
        self._layout.move(X, chosen, random_state)

    def mixed(self, A: Ints, B: Ints, random_state: np.random.Generator) -> tuple[Ints, Ints]:
        """Exchange layers, policy and batch size between rows of A and B, both [n, n_var]."""
        return self._layout.mixed(A, B, random_state)

    def starts(self) -> Ints:
        """Return the best of the deployments that an engineer would try first, [n, n_var].

        The first few of them dominate most of the hypervolume of all.
        """
        return self._starts.copy()

    def _some_starts(self, most: int) -> Ints:
        return self._starts[:most]

    def features(self, X: ArrayLike) -> Floats:
        """Return the features named in ``feature_names``, [n, 3 n_layers + 9 + n_policies]."""
        return self._layout.features(self._rows(X))

    def decode(self, x: ArrayLike) -> Plan:
        """Return one design as a Plan: settings, and predicted objectives with their intervals."""
        row = self._row(x)
        self.check(row)
        return self.model.plan(self._layout.decision(self._layout.canonical(row)[0]))
