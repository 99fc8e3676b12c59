"""A whole deployment as a pymoo problem: gates, buffers, placement and batch size, jointly."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import moocore
import numpy as np
from numpy.typing import ArrayLike

from moe_costmodel import (
    POLICIES,
    Decision,
    DeploymentModel,
    GateRule,
    Hardware,
    LatencyModel,
    LayerShape,
    Placement,
    Plan,
    RoutingTrace,
)
from moe_costmodel._checks import check_choice, complain
from problems._arrays import Floats, Ints
from problems.moe.base import OVER, MoEProblem, as_windows, checked_names
from problems.moe.deployment import starts as first_tries
from problems.moe.deployment.features import feature_names, features_of
from problems.moe.deployment.layout import PARTS, Layout
from problems.moe.deployment.operators import (
    DeploymentCrossover,
    DeploymentMutation,
    DeploymentSampling,
)
from problems.moe.deployment.setup import (
    SECONDS_PER_TOKEN,
    batch_sizes,
    named_objectives,
    placements,
    shape_of,
)
from problems.moe.gating.levels import GateLevels, default_rules
from problems.moe.placement.checks import check_complete

__all__ = ["MoEDeployment"]

EVALUATION = 1
"""Counts up whenever the same design would get other objectives than before."""

_DEFAULT = (SECONDS_PER_TOKEN, "step_p99_s", "memory_bytes", "quality_loss")


class MoEDeployment(MoEProblem):
    """Deploy a Mixture-of-Experts model: all that can be decided, at once; everything minimized.

    Thresholds change which experts are active, which changes misses and balance; a larger batch
    takes KV cache and activations, which leave less for experts. A row of X holds a rung of the
    gate ladder for each layer, the experts that each device keeps of each layer, the policy, the
    batch size, and the expert in each slot; ``layout`` says which columns are which.

    Parameters
    ----------
    trace : RoutingTrace or sequence of RoutingTrace
        Several are windows or domains of the traffic.
    hardware : Hardware
    latency : LatencyModel
    devices, nodes : int, optional
        By default those of the hardware.
    shape : LayerShape, optional
        An MoE layer as a whole; known for the packaged measured.
    objectives : sequence of str
        Names of :data:`moe_costmodel.OBJECTIVES`. "tokens_per_s" is minimized as
        "seconds_per_token".
    decide : sequence of str
        Of "gates", "buffers", "batch", "placement": what is decided. What is not stays as it would
        without: nothing dropped, all resident, the smallest of `batches`, today's placement. One
        device leaves no placement to decide.
    rule, rules
        Ladder of the gates, as for ``GatingThresholds``.
    batches : sequence of int, optional
        Batch sizes to choose from, ascending; by default powers of two that the traces can fill.
    policies : sequence of str, optional
        By default all but "min", which sees the future.
    per_device : bool
        Whether devices may keep different numbers of experts of a layer.
    replicas : int
        Slots of a layer beyond one for each expert.
    current : Placement, optional
        What runs today; by default contiguous.
    memory_budget : float, optional
        Bytes of a device; by default the memory of the hardware; infinity for none.
    slo_s : float, optional
        Most seconds of a step, for 99 % of the steps.
    max_quality_loss : float, optional
    over : {"mean", "worst"}
        How several windows become one.
    **model
        Further settings of :class:`moe_costmodel.DeploymentModel`: `mode`, `rest`, `memory`,
        `context`, `max_context`, `quality`, `quality_kind`, `kernel`, `coverage`, `name`,
        `cache_bytes`.

    Attributes
    ----------
    model : DeploymentModel
    quality_kind : str
        What "quality_loss" is.
    constraint_names : tuple of str

    Raises
    ------
    ValueError
        A parameter is wrong; no plan meets the memory budget or the SLO (it says what would); the
        traces have no weights for thresholds; the hardware lacks a link.

    References
    ----------
    arXiv 2303.06182, which decides these one by one; see ``moe_costmodel.deployment.model``.

    Examples
    --------
    >>> from problems.moe import MoEDeployment
    >>> problem = MoEDeployment.example()
    >>> problem.objective_names
    ('seconds_per_token', 'step_p99_s', 'memory_bytes', 'quality_loss')
    """

    def __init__(
        self,
        trace: RoutingTrace | Sequence[RoutingTrace],
        hardware: Hardware,
        latency: LatencyModel,
        *,
        devices: int | None = None,
        nodes: int | None = None,
        shape: LayerShape | None = None,
        objectives: Sequence[str] = _DEFAULT,
        decide: Sequence[str] = PARTS,
        rule: str = "top-p",
        rules: Sequence[GateRule] | None = None,
        batches: Sequence[int] | None = None,
        policies: Sequence[str] | None = None,
        per_device: bool = True,
        replicas: int = 0,
        current: Placement | None = None,
        memory_budget: float | None = None,
        slo_s: float | None = None,
        max_quality_loss: float | None = None,
        over: str = "mean",
        **model: Any,
    ) -> None:
        owner = "MoEDeployment"
        self.windows = as_windows(trace, owner)
        for name, part, kind in (
            ("hardware", hardware, Hardware), ("latency", latency, LatencyModel)
        ):  # fmt: skip
            if not isinstance(part, kind):
                raise complain(name, owner, f"a {kind.__name__}", repr(part))
        decided = checked_names(decide, PARTS, owner, "decide")
        self.objective_names = named_objectives(objectives)
        check_choice(over, OVER, "over", owner)
        self.over = over
        self.model = DeploymentModel(
            self.windows, hardware, latency, shape=shape_of(self.windows, shape),
            n_devices=devices, n_nodes=nodes, **model,
        )  # fmt: skip
        self.quality_kind = self.model.quality_kind
        if self.model.n_devices == 1:
            decided = tuple(name for name in decided if name != "placement")
        if "buffers" in decided:
            self.model.require_buffering()
        self.policies = (
            tuple(name for name in POLICIES if name != "min")
            if policies is None
            else checked_names(policies, sorted(set(POLICIES) - {"min"}), owner, "policies")
        )
        self.best_policy = "inactive-lfu" if "inactive-lfu" in self.policies else self.policies[0]
        self.batches = batch_sizes(self.model, batches)
        self.levels: GateLevels | None = None
        if "gates" in decided:
            ladder = default_rules(rule, self.windows[0].k) if rules is None else tuple(rules)
            self.levels = levels = GateLevels.of(self.windows, ladder, owner)
            # What drops nothing on this traffic is no rule.
            whole = (levels.experts == self.windows[0].k).all(axis=0)
            self._ladder = [
                [None if all_kept else rule for rule, all_kept in zip(rules_, kept_, strict=True)]
                for rules_, kept_ in zip(levels.rules, whole, strict=True)
            ]
        self.placed = placements(
            self.model, self.windows, batch=self.batches[len(self.batches) // 2],
            replicas=replicas, current=current, decided="placement" in decided,
        )  # fmt: skip
        self.layout = self._laid_out(decided, per_device)
        low, high = self.layout.bounds()
        self.feature_names = feature_names(self)
        self._set_limits(memory_budget, slo_s, max_quality_loss)
        super().__init__(
            n_var=self.layout.n_var,
            n_obj=len(self.objective_names),
            n_ieq_constr=len(self._limits),
            xl=low.astype(float),
            xu=high.astype(float),
            vtype=int,
        )
        from moe_costmodel.deployment.fingerprints import sources

        self._set_identity(
            "deployment", EVALUATION, sorted(sources(self.model).items()),
            self.objective_names, self._limits, over, self.policies, self.batches, low, high,
            None if self.levels is None else self.levels.rules,
        )  # fmt: skip
        self._check_limits()
        self._set_starts()

    @classmethod
    def example(
        cls,
        domain: str = "code",
        *,
        devices: int = 4,
        nodes: int = 1,
        measured: bool = False,
        n_excerpts: int = 4,
        **settings: Any,
    ) -> MoEDeployment:
        """Make the problem of the packaged example model on kernels measured before.

        Parameters
        ----------
        domain : {"code", "prose"}
        devices, nodes : int
        measured : bool
            Measure the loss on the model (needs torch and safetensors), instead of the gate mass
            lost.
        n_excerpts : int
            Pieces of unseen text to measure on.
        **settings
            Of the constructor.
        """
        from moe_costmodel.example.measured import (
            example_hardware,
            example_latency,
            example_memory,
            example_rest,
        )

        if measured:
            from moe_costmodel.example import load_model
            from moe_costmodel.example.record import excerpts
            from problems.moe.gating.measured_quality import MeasuredLoss

            settings["quality"] = MeasuredLoss(load_model(), excerpts(domain, n=n_excerpts))
        defaults: dict[str, Any] = {
            "rest": example_rest(), "memory": example_memory()
        }  # fmt: skip
        return cls(
            RoutingTrace.example(domain),  # type: ignore[arg-type]
            example_hardware(devices, nodes), example_latency(),
            devices=devices, nodes=nodes, **(defaults | settings),
        )  # fmt: skip

    # -------------------------------------------------------------------------------- building

    def _laid_out(self, decided: tuple[str, ...], per_device: bool) -> Layout:
        first, placed = self.windows[0], self.placed
        n_layers, n_devices = first.n_layers, self.model.n_devices
        n_columns = n_devices if per_device else 1
        n_levels = 1 if self.levels is None else self.levels.n_levels
        fixed = np.concatenate(
            [
                np.full(n_layers, n_levels - 1),
                np.full(n_layers * n_columns, placed.n_slots // n_devices),
                [self.policies.index(self.best_policy), 0],
                placed.today,
            ]
        )
        return Layout(
            n_layers=n_layers, n_devices=n_devices, n_experts=first.n_experts,
            n_slots=placed.n_slots, n_columns=n_columns, n_levels=n_levels,
            n_policies=len(self.policies), n_batches=len(self.batches), decide=decided,
            fixed=fixed.astype(np.int64), mean=placed.mean, current=placed.current,
            library=np.array(list(placed.rows.values())), known={},
        )  # fmt: skip

    def _set_limits(
        self, memory_budget: float | None, slo_s: float | None, max_quality_loss: float | None
    ) -> None:
        if memory_budget is None:
            memory_budget = self.model.hardware.memory_bytes
        self._limits: dict[str, float] = {}
        for parameter, name, value in (
            ("memory_budget", "memory_bytes", memory_budget),
            ("slo_s", "step_p99_s", slo_s),
            ("max_quality_loss", "quality_loss", max_quality_loss),
        ):
            if value is None or value == float("inf"):
                continue
            # No loss at all is a wish that can be met; no time and no memory are not.
            if not (value > 0 or (value == 0 and name == "quality_loss")):
                raise complain(parameter, "MoEDeployment", "a positive number", value)
            self._limits[name] = float(value)
        self.constraint_names = tuple(self._limits)

    def _check_limits(self) -> None:
        """Complain about limits that no deployment meets, before anything is spent on a search."""
        for parameter, name, row, what in (
            ("memory_budget", "memory_bytes", first_tries.smallest(self),
             "bytes, which one expert of each layer on each device, the rest of the model and the "
             "smallest batch take (more devices, a smaller batch or a shorter context lower it)"),
            ("slo_s", "step_p99_s", first_tries.fastest(self),
             "seconds, which the smallest batch takes with the hardest thresholds and all experts "
             "resident (more devices, or a faster machine, lower it)"),
        ):  # fmt: skip
            if name in self._limits:
                least = self._value(self._evaluation(row), name)
                if least > self._limits[name]:
                    raise complain(
                        parameter, "MoEDeployment", f"at least {least:.6g} {what}",
                        f"{self._limits[name]:.6g}",
                    )  # fmt: skip

    def _set_starts(self) -> None:
        if self.levels is not None:
            self.layout.known["gates"] = self.levels.path()
        middle = len(self.batches) // 2
        self.layout.known["buffers"] = first_tries.buffer_path(self, middle)
        rows = self.canonical(first_tries.candidates(self))
        F, G = self._values(rows)
        worst = F.max(axis=0)
        self.ref_point = np.where(worst > 0, 1.05 * worst, 1e-9)
        self.ref_point_source = "the worst of the plans that a person would try, + 5 %"
        over = np.maximum(G, 0.0).sum(axis=1)
        if (over <= 0).any():
            rows, F = rows[over <= 0], F[over <= 0]
            rows = rows[moocore.is_nondominated(F, keep_weakly=False)]
        else:
            rows = rows[over.argsort(kind="stable")]
        self._starts: Ints = rows

    def base_row(self, slots: Ints) -> Ints:
        """Return the row of a placement [n_layers * n_slots] with nothing else decided, [n_var]."""
        row = self.layout.fixed.copy()
        row[self.layout.slots] = slots
        return row

    def placement_of(self, slots: Ints) -> Placement:
        """Return the Placement of slots, [n_layers * n_slots]."""
        return Placement(slots.reshape(self.layout.n_layers, -1), self.layout.n_devices)

    # ------------------------------------------------------------------------------- evaluation

    def check(self, X: ArrayLike) -> None:
        """Check rows of X, [n, n_var] or [n_var].

        Raises
        ------
        ValueError
            A value is out of its bounds, or an expert of some layer has no slot.
        """
        layout = self.layout
        slots = self._rows(X)[:, layout.slots].reshape(-1, layout.n_layers, layout.n_slots)
        check_complete(slots, layout.n_experts, "MoEDeployment")

    def _evaluate(self, x: ArrayLike, out: dict[str, Any], *args: Any, **kwargs: Any) -> None:
        F, G = self._values(self._rows(x))
        out["F"] = F
        if self._limits:
            out["G"] = G

    def _values(self, rows: Ints) -> tuple[Floats, Floats]:
        F = np.empty((len(rows), len(self.objective_names)))
        G = np.empty((len(rows), len(self._limits)))
        for i, row in enumerate(rows):
            found = self._evaluation(row)
            F[i] = [self._value(found, name) for name in self.objective_names]
            G[i] = [
                self._value(found, name) / limit - 1 if limit else self._value(found, name)
                for name, limit in self._limits.items()
            ]
        return F, G

    def _value(self, found: Any, name: str) -> float:
        wanted = "tokens_per_s" if name == SECONDS_PER_TOKEN else name
        value = float(found[wanted] if self.over == "mean" else found.worst(wanted))
        return 1.0 / value if name == SECONDS_PER_TOKEN else value

    def _decision(self, row: Ints) -> Decision:
        layout = self.layout
        kept = row[layout.capacities].reshape(layout.n_layers, -1)
        return Decision(
            placement=self.placement_of(row[layout.slots]),
            batch_size=self.batches[int(row[layout.batch])],
            gates=self._rules(row),
            capacities=kept,
            policy=self.policies[int(row[layout.policy])],
        )

    def _rules(self, row: Ints) -> tuple[GateRule | None, ...]:
        if self.levels is None:
            return (None,) * self.layout.n_layers
        return tuple(
            self._ladder[layer][rung] for layer, rung in enumerate(row[: len(self._ladder)])
        )

    def _evaluation(self, row: Ints) -> Any:
        return self.model.evaluate(self._decision(row))

    @property
    def limits(self) -> dict[str, float]:
        """What no deployment may exceed, by objective."""
        return dict(self._limits)

    def decided(self, x: ArrayLike) -> tuple[int, str, float]:
        """Return batch size, policy ("all resident" where nothing is buffered) and mean experts."""
        row = self._rows(np.reshape(x, (1, -1)))[0]
        decision = self._decision(row)
        experts = float(self.windows[0].k)
        if self.levels is not None:
            layers = np.arange(self.layout.n_layers)
            experts = float(self.levels.experts.mean(axis=0)[layers, row[self.layout.gates]].mean())
        policy = decision.policy if decision.is_buffered else "all resident"
        return decision.batch_size, policy, experts

    def intervals(self, X: ArrayLike) -> Floats:
        """Return the interval of each objective, [n, n_obj, 2]: from the lowest to the highest.

        They come from the error of the latency model and from the windows of traffic; see
        :meth:`moe_costmodel.DeploymentModel.predict`. Takes a few evaluations a row.
        """
        rows = self._rows(X)
        out = np.empty((len(rows), len(self.objective_names), 2))
        for i, row in enumerate(rows):
            found = self.model.predict(self._decision(row))
            for j, name in enumerate(self.objective_names):
                if name == SECONDS_PER_TOKEN:
                    rate = found["tokens_per_s"]
                    out[i, j] = 1.0 / rate.high, 1.0 / rate.low
                else:
                    out[i, j] = found[name].low, found[name].high
        return out

    def today(self) -> Floats | None:
        """Return the objectives of today's placement with nothing decided, [n_obj].

        At the largest batch that keeps the limits; None where none does.
        """
        row = self.base_row(self.placed.today)
        for batch in reversed(range(len(self.batches))):
            row[self.layout.batch] = batch
            F, G = self._values(row[None])
            if (G <= 0).all():
                return F[0]
        return None

    # ------------------------------------------------------------------- what a search can use

    def canonical(self, X: ArrayLike) -> Ints:
        """Return X with the slots of each device ascending, same shape.

        Where nothing is buffered, the policy is the first, since it never comes into play.
        """
        layout = self.layout
        rows = self._rows(X).copy()
        n_local = layout.n_slots // layout.n_devices
        slots = rows[:, layout.slots].reshape(len(rows), -1, n_local)
        rows[:, layout.slots] = np.sort(slots, axis=2).reshape(len(rows), -1)
        if "buffers" in layout.decide:
            resident = (rows[:, layout.capacities] == n_local).all(axis=1)
            rows[resident, layout.policy] = 0
        return rows.reshape(np.shape(X))

    def operators(self) -> dict[str, Any]:
        """Return fresh sampling, crossover and mutation, as ``NSGA2(**problem.operators())``."""
        return {
            "sampling": DeploymentSampling(),
            "crossover": DeploymentCrossover(),
            "mutation": DeploymentMutation(),
        }

    def neighbors_many(self, X: ArrayLike, k: int, random_state: np.random.Generator) -> Ints:
        """Return k designs one move away from each row of X, [n, k, n_var].

        A move changes gates, buffers, batch size or placement, as the single problems do.
        """
        rows = self._rows(X)
        near = self.layout.moved(np.repeat(rows, k, axis=0), random_state)
        return near.reshape(len(rows), k, self.n_var)

    def starts(self) -> Ints:
        """Return the best of the plans that a person would try first, [n, n_var]."""
        return self._starts.copy()

    def features(self, X: ArrayLike) -> Floats:
        """Return what ``feature_names`` says, [n, 3 n_layers + 9 + n_policies]."""
        return features_of(self, self._rows(X))

    def decode(self, x: ArrayLike) -> Plan:
        """Return the Plan of one row: what to set, what to expect, and how sure that is."""
        row = self._rows(np.reshape(x, (1, -1)))
        self.check(row)
        return self.model.plan(self._decision(self.canonical(row)[0]))
