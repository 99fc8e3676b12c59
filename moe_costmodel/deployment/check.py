"""A plan on traffic that it has not seen: what holds, what a switch costs, what to leave off."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from moe_costmodel._checks import invalid
from moe_costmodel.deployment.evaluation import Evaluation
from moe_costmodel.hardware import Link
from moe_costmodel.objectives import OBJECTIVES, Predicted
from moe_costmodel.placement.heuristics import contiguous, greedy
from moe_costmodel.plans.text import quantity

if TYPE_CHECKING:
    from moe_costmodel.deployment.model import DeploymentModel
    from moe_costmodel.plans.plan import Plan
    from moe_costmodel.traces.trace import RoutingTrace

__all__ = ["Advice", "Compared", "PlanCheck", "Switch", "check"]

# A knob that moves the mean step by less than this is not worth having.
_WORTH = 0.01
# A layer that waits for copies longer than it computes has a buffer that thrashes.
_THRASH = 0.5


@dataclass(frozen=True)
class Compared:
    """One objective, as predicted and on the other traffic.

    Attributes
    ----------
    name : str
    old : Predicted
        What the plan says.
    new : float
        Mean over the other traffic's windows.
    """

    name: str
    old: Predicted
    new: float

    @property
    def ratio(self) -> float:
        """New over old; NaN where the old is 0."""
        return self.new / self.old.value if self.old.value else float("nan")

    @property
    def inside(self) -> bool:
        """Whether the plan's interval holds the new value."""
        slack = 1e-9 * max(abs(self.old.low), abs(self.old.high))
        return self.old.low - slack <= self.new <= self.old.high + slack


@dataclass(frozen=True)
class Switch:
    """What it takes to get to the plan from a running one.

    Attributes
    ----------
    n_bytes : float
        Experts that must arrive, over all devices.
    seconds : float
        Until the device that waits for the most has them.
    link : str
        Over which they come.
    saved_per_step : float
        Seconds that the plan's mean step is shorter than that of the running one, on the other
        traffic, at equal tokens; negative where it is longer.
    """

    n_bytes: float
    seconds: float
    link: str
    saved_per_step: float

    @property
    def steps_to_pay(self) -> float:
        """Steps after which the switch has paid for itself; infinite where it never does."""
        if not self.seconds:
            return 0.0
        return self.seconds / self.saved_per_step if self.saved_per_step > 0 else float("inf")


@dataclass(frozen=True)
class Advice:
    """Whether a knob is worth its price on the other traffic.

    Attributes
    ----------
    knob : {"buffer", "replicas", "thresholds", "placement"}
    keep : bool
        False where it should stay off.
    why : str
    layers : tuple of int
        Layers (by their place among the MoE layers) that it concerns; empty for all.
    """

    knob: str
    keep: bool
    why: str
    layers: tuple[int, ...] = ()


@dataclass(frozen=True)
class PlanCheck:
    """What :meth:`moe_costmodel.Plan.check` found.

    Attributes
    ----------
    source : str
        The other traffic.
    drift : ndarray of shape (n_layers,)
        Share of the load that moved to other experts since the plan's own traffic.
    objectives : tuple of Compared
    switch : Switch or None
        None where no running plan was given.
    advice : tuple of Advice
        One for every knob that the plan turns.
    evaluation : Evaluation
        The plan on the other traffic.
    """

    source: str
    drift: NDArray[np.float64]
    objectives: tuple[Compared, ...]
    switch: Switch | None
    advice: tuple[Advice, ...]
    evaluation: Evaluation

    @property
    def holds(self) -> bool:
        """Whether every predicted time is within its interval or better."""
        return all(
            row.inside or (row.new > row.old.value) == OBJECTIVES[row.name].maximize
            for row in self.objectives
            if OBJECTIVES[row.name].unit in ("s", "tokens/s")
        )

    def __str__(self) -> str:
        lines = [
            f"On {self.source} ({self.drift.mean():.0%} of the load is on other experts than in "
            "the plan's traffic):",
            f"  {'objective':<18}{'planned':>18}{'here':>18}{'ratio':>8}",
        ]
        for row in self.objectives:
            unit = OBJECTIVES[row.name].unit
            old, new = quantity(row.old.value, unit), quantity(row.new, unit)
            ratio = "" if np.isnan(row.ratio) else f"{row.ratio:.2f}"
            note = "" if row.inside else "  outside its interval"
            lines.append(f"  {row.name:<18}{old:>18}{new:>18}{ratio:>8}{note}")
        if self.switch is not None:
            s = self.switch
            pays = (
                "costs nothing"
                if not s.n_bytes
                else f"pays for itself after {s.steps_to_pay:,.0f} steps"
                if np.isfinite(s.steps_to_pay)
                else "never pays for itself on this traffic"
            )
            lines.append(
                f"  switching moves {quantity(s.n_bytes, 'bytes')} over {s.link}, "
                f"{quantity(s.seconds, 's')}; {pays}"
            )
        lines += [f"  {a.knob}: {'keep' if a.keep else 'leave off'}, {a.why}" for a in self.advice]
        return "\n".join(lines)


def check(
    plan: Plan,
    other: RoutingTrace | Sequence[RoutingTrace],
    *,
    running: Plan | None = None,
    deployment: DeploymentModel | None = None,
) -> PlanCheck:
    """Evaluate a plan on traffic that it has not seen.

    Parameters
    ----------
    plan : Plan
    other : RoutingTrace or sequence of RoutingTrace
        The traffic, or windows of it; of the plan's model.
    running : Plan, optional
        What runs now, to say what it costs to switch.
    deployment : DeploymentModel, optional
        What evaluates; by default what made the plan (:meth:`Plan.bind` for one that was loaded).

    Raises
    ------
    ValueError
        If nothing evaluates the plan, or plan, traffic and running plan are of different models.
    """
    model = deployment or plan.deployment
    if model is None:
        raise invalid(
            "Plan.check",
            "deployment",
            None,
            "a DeploymentModel for a plan that was loaded (its file holds no kernel times)",
        )
    here = model.on(other)
    found = here.evaluate_plan(plan)
    rows = tuple(
        Compared(name, old, found[name])
        for name, old in plan.objectives.items()
        # What a quality measured on a model is here, its traffic does not say.
        if name != "quality_loss" or plan.quality_kind == here.quality_kind
    )
    drift = np.mean([a.drift(b) for a in model.traces for b in here.traces], axis=0)
    return PlanCheck(
        ", ".join(trace.source for trace in here.traces),
        drift,
        rows,
        None if running is None else _switch(plan, running, here, found),
        tuple(_advice(plan, model, here, found)),
        found,
    )


def _switch(plan: Plan, running: Plan, here: DeploymentModel, found: Evaluation) -> Switch:
    if (running.shape, running.n_layers) != (plan.shape, plan.n_layers):
        raise invalid(
            "Plan.check",
            "running",
            f"{running.n_layers} layers of {running.shape}",
            f"of the same model, {plan.n_layers} layers of {plan.shape}",
        )
    arriving = plan.placement.on_device() > 0
    if running.n_devices == plan.n_devices:
        arriving &= running.placement.on_device() == 0
        link = "device_to_device" if plan.n_devices > 1 else "slow_to_fast"
        if plan.n_nodes > 1:
            link = "node_to_node"
    else:
        link = "slow_to_fast"  # other devices start from nothing
    sizes = arriving.sum(axis=(0, 1)) * plan.shape.expert_bytes
    seconds = 0.0
    if sizes.any():
        way: Link = here.hardware.link(link)
        on_link = sizes.reshape(plan.n_nodes, -1).sum(axis=1) if link == "node_to_node" else sizes
        seconds = way.seconds(float(on_link.max()))
    saved = 0.0
    if (running.n_devices, running.mode) == (plan.n_devices, plan.mode):
        now = here.evaluate_plan(running)
        saved = plan.batch_size / now["tokens_per_s"] - plan.batch_size / found["tokens_per_s"]
    return Switch(float(sizes.sum()), seconds, link, saved)


def _advice(
    plan: Plan, model: DeploymentModel, here: DeploymentModel, found: Evaluation
) -> list[Advice]:
    out = []
    if plan.is_buffered:
        out.append(_buffer_advice(plan, here, found))
    if plan.placement.n_replicas:
        out.append(_replica_advice(plan, model, here, found))
    if plan.has_thresholds:
        out.append(_gate_advice(plan, here, found))
    if plan.n_devices > 1 and not plan.placement.n_replicas:
        out.append(_placement_advice(plan, here, found))
    return out


def _buffer_advice(plan: Plan, here: DeploymentModel, found: Evaluation) -> Advice:
    settings = (plan.gates, None, plan.policy, plan.placement, plan.batch_size)
    full = here.evaluate(*settings)
    saved = full["memory_bytes"] - found["memory_bytes"]
    slower = found["step_mean_s"] / full["step_mean_s"] - 1
    waits = [
        0.0 if layer.waiting is None else float(layer.waiting.sum() / layer.seconds.sum())
        for layer in found.layers
    ]
    thrashing = tuple(i for i, share in enumerate(waits) if share > _THRASH)
    words = (
        f"it saves {quantity(saved, 'bytes')} a device and makes the mean step {slower:.0%} longer"
    )
    if saved <= 0:
        return Advice("buffer", False, f"{words}: nothing is gained")
    if found["miss_mean_s"] / found["step_mean_s"] > _THRASH:
        return Advice("buffer", False, f"{words}: it thrashes, steps mostly wait", thrashing)
    room = here.hardware.memory_bytes
    share = saved / full["memory_bytes"]
    if slower > share and full["memory_bytes"] <= room:
        words += f": more than the {share:.0%} of memory that it saves, and all experts fit"
        return Advice("buffer", False, words, thrashing)
    if thrashing:
        where = _listed(plan, thrashing)
        return Advice(
            "buffer", True, f"{words}, but it thrashes in {where}: more room there", thrashing
        )
    return Advice("buffer", True, words)


def _listed(plan: Plan, places: Sequence[int]) -> str:
    listed = ", ".join(str(plan.layers[i]) for i in places[:8])
    more = f" and {len(places) - 8} more" if len(places) > 8 else ""
    return f"layer{'s' * (len(places) > 1)} {listed}{more}"


def _replica_advice(
    plan: Plan, model: DeploymentModel, here: DeploymentModel, found: Evaluation
) -> Advice:
    loads = np.concatenate([trace.loads(plan.batch_size, plan.mode) for trace in model.traces])  # type: ignore[arg-type]
    if plan.shape.n_experts % plan.n_devices:
        return Advice("replicas", True, "without them the experts do not divide over the devices")
    bare = greedy(loads, plan.n_devices)
    capacities = np.minimum(plan.capacities, bare.n_slots // plan.n_devices)
    without = here.evaluate(plan.gates, capacities, plan.policy, bare, plan.batch_size)
    less_load = 1 - found["avg_max_load"] / without["avg_max_load"]
    faster = 1 - found["step_mean_s"] / without["step_mean_s"]
    more_memory = plan.placement.n_replicas / plan.shape.n_experts
    words = (
        f"they take {more_memory:.0%} more expert memory, and beside a packing without them change "
        f"the busiest device's load by {-less_load:+.1%} and the mean step by {-faster:+.1%}"
    )
    return Advice("replicas", less_load >= more_memory and faster > _WORTH, words)


def _gate_advice(plan: Plan, here: DeploymentModel, found: Evaluation) -> Advice:
    settings = (plan.capacities, plan.policy, plan.placement, plan.batch_size)
    full = here.evaluate(None, *settings)
    faster = 1 - found["step_mean_s"] / full["step_mean_s"]
    loss = found["quality_loss"] - full["quality_loss"]
    idle = tuple(
        i
        for i, (gated, ungated) in enumerate(zip(found.layers, full.layers, strict=True))
        if plan.gates[i] is not None
        and gated.mass.mean() < 1
        and gated.seconds.sum() > (1 - _WORTH) * ungated.seconds.sum()
    )
    words = f"they change the mean step by {-faster:+.1%} for {loss:.3g} {plan.quality_kind}"
    if faster < _WORTH and loss > 0:
        return Advice("thresholds", False, f"{words}: quality for no time", idle)
    if idle:
        words += f"; in {_listed(plan, idle)} they save no time: leave them off there"
    return Advice("thresholds", True, words, idle)


def _placement_advice(plan: Plan, here: DeploymentModel, found: Evaluation) -> Advice:
    default = contiguous(plan.n_layers, plan.shape.n_experts, plan.n_devices)
    settings = (plan.gates, plan.capacities, plan.policy, default, plan.batch_size)
    without = here.evaluate(*settings)
    less_load = 1 - found["avg_max_load"] / without["avg_max_load"]
    faster = 1 - found["step_mean_s"] / without["step_mean_s"]
    same = np.array_equal(default.on_device(), plan.placement.on_device())
    words = (
        f"beside experts in order of their ids it changes the busiest device's load by "
        f"{-less_load:+.1%} and the mean step by {-faster:+.1%}"
    )
    return Advice("placement", same or faster > 0, words)
