"""Check of a plan on other traffic: its objectives there, the cost of switching, and advice."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from moe_costmodel._arrays import Floats
from moe_costmodel._checks import invalid
from moe_costmodel.deployment.evaluation import Evaluation
from moe_costmodel.objectives import OBJECTIVES, Predicted, quantity
from moe_costmodel.placement.heuristics import contiguous, greedy

if TYPE_CHECKING:
    from moe_costmodel.deployment.model import DeploymentModel
    from moe_costmodel.plans.plan import Plan
    from moe_costmodel.traces.trace import RoutingTrace

__all__ = ["Advice", "Compared", "PlanCheck", "Switch", "check"]

# A knob that changes the mean step by less than 1 % is not worth having.
_WORTH = 0.01
# A layer that waits for copies for longer than it computes has a buffer that thrashes.
_THRASH = 0.5


@dataclass(frozen=True)
class Compared:
    """An objective, as the plan predicts it and on the other traffic."""

    name: str
    old: Predicted
    new: float  # mean over the windows of the other traffic

    @property
    def ratio(self) -> float:
        """New value divided by the old one; NaN if the old one is 0."""
        return self.new / self.old.value if self.old.value else float("nan")

    @property
    def inside(self) -> bool:
        """Whether the plan's interval holds the new value."""
        slack = 1e-9 * max(abs(self.old.low), abs(self.old.high))
        return self.old.low - slack <= self.new <= self.old.high + slack


@dataclass(frozen=True)
class Switch:
    """Cost of switching from the running plan to the checked one.

    The plan's mean step is `saved_per_step` seconds shorter than that of the running plan, on the
    other traffic and for as many tokens; negative if it is longer.
    """

    n_bytes: float  # of the experts that must arrive, over all devices
    seconds: float  # until the device that waits for the most has them
    link: str
    saved_per_step: float

    @property
    def steps_to_pay(self) -> float:
        """Steps after which the switch has paid for itself; infinite if it never does."""
        if not self.seconds:
            return 0.0
        return self.seconds / self.saved_per_step if self.saved_per_step > 0 else float("inf")


@dataclass(frozen=True)
class Advice:
    """Advice whether a knob is worth its price on the other traffic."""

    knob: str  # "buffer", "replicas", "thresholds" or "placement"
    keep: bool  # False if the knob should stay off
    why: str
    layers: tuple[int, ...] = ()  # positions among the MoE layers; empty for all


@dataclass(frozen=True)
class PlanCheck:
    """Result of :meth:`moe_costmodel.Plan.check`."""

    source: str  # of the other traffic
    drift: Floats  # share of load on other experts than in the plan's own traffic, (n_layers,)
    objectives: tuple[Compared, ...]
    switch: Switch | None  # None if no running plan was given
    advice: tuple[Advice, ...]  # for every knob that the plan uses
    evaluation: Evaluation  # of the plan on the other traffic

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
            f"  {'objective':<18}{'planned':>18}{'now':>18}{'ratio':>8}",
        ]
        for row in self.objectives:
            unit = OBJECTIVES[row.name].unit
            old, new = quantity(row.old.value, unit), quantity(row.new, unit)
            ratio = "" if np.isnan(row.ratio) else f"{row.ratio:.2f}"
            # A last digit that is not shown is no news.
            note = "" if row.inside or old == new else "  outside its interval"
            lines.append(f"  {row.name:<18}{old:>18}{new:>18}{ratio:>8}{note}")
        lines += [f"  times are extrapolated: {reason}" for reason in self.evaluation.outside]
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
    model: DeploymentModel,
    plan: Plan,
    other: RoutingTrace | Sequence[RoutingTrace],
    running: Plan | None = None,
) -> PlanCheck:
    """Evaluate a plan on other traffic; see :meth:`moe_costmodel.DeploymentModel.check`."""
    there = model.on(other)
    evaluation = there.evaluate(plan)
    rows = tuple(
        Compared(name, old, evaluation[name])
        for name, old in plan.objectives.items()
        # Traffic does not show the loss that was measured on a model.
        if name != "quality_loss" or plan.quality_kind == there.quality_kind
    )
    return PlanCheck(
        source=", ".join(trace.source for trace in there.traces),
        drift=np.mean([a.drift(b) for a in model.traces for b in there.traces], axis=0),
        objectives=rows,
        switch=None if running is None else _switch(plan, running, there, evaluation),
        advice=tuple(_advice(plan, model, there, evaluation)),
        evaluation=evaluation,
    )


def _switch(plan: Plan, running: Plan, there: DeploymentModel, evaluation: Evaluation) -> Switch:
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
        on_link = sizes.reshape(plan.n_nodes, -1).sum(axis=1) if link == "node_to_node" else sizes
        seconds = there.hardware.link(link).seconds(float(on_link.max()))
    saved = 0.0
    if (running.n_devices, running.mode) == (plan.n_devices, plan.mode):
        now = there.evaluate(running)
        saved = plan.batch_size / now["tokens_per_s"] - plan.batch_size / evaluation["tokens_per_s"]
    return Switch(float(sizes.sum()), seconds, link, saved)


def _advice(
    plan: Plan, model: DeploymentModel, there: DeploymentModel, evaluation: Evaluation
) -> Iterator[Advice]:
    if plan.is_buffered:
        yield _buffer_advice(plan, there, evaluation)
    if plan.placement.n_replicas:
        yield _replica_advice(plan, model, there, evaluation)
    if plan.has_thresholds:
        yield _gate_advice(plan, there, evaluation)
    if plan.n_devices > 1 and not plan.placement.n_replicas:
        yield _placement_advice(plan, there, evaluation)


def _gains(evaluation: Evaluation, without: Evaluation) -> tuple[float, float]:
    """Return the shares by which the busiest device's load and the mean step are lower."""
    names = "avg_max_load", "step_mean_s"
    load, step = (1 - evaluation[name] / without[name] for name in names)
    return load, step


def _buffer_advice(plan: Plan, there: DeploymentModel, evaluation: Evaluation) -> Advice:
    full = there.evaluate(
        replace(plan, capacities=np.full_like(plan.capacities, plan.slots_per_device))
    )
    saved = full["memory_bytes"] - evaluation["memory_bytes"]
    slower = evaluation["step_mean_s"] / full["step_mean_s"] - 1
    waits = [
        0.0 if layer.waiting is None else float(layer.waiting.sum() / layer.seconds.sum())
        for layer in evaluation.layers
    ]
    thrashing = tuple(i for i, share in enumerate(waits) if share > _THRASH)
    less = quantity(saved, "bytes")
    why = f"it saves {less} per device and makes the mean step {_longer(slower)}"
    low, high = evaluation.error[2]
    if slower and low <= 1 + slower <= high:
        sure = f"{_change(low - 1)} to {_change(high - 1)}"
        why += f" (no clear change: steps are predicted within {sure})"
    if saved <= 0:
        return Advice("buffer", False, f"{why}: nothing is gained")
    if evaluation["miss_mean_s"] / evaluation["step_mean_s"] > _THRASH:
        return Advice("buffer", False, f"{why}: it thrashes, steps mostly wait", thrashing)
    share = saved / full["memory_bytes"]
    if slower > share and full["memory_bytes"] <= there.hardware.memory_bytes:
        why += f": more than the {share:.0%} of memory that it saves, and all experts fit"
        return Advice("buffer", False, why, thrashing)
    if thrashing:
        why += f", but it thrashes in {_listed(plan, thrashing)}: more room there"
    return Advice("buffer", True, why, thrashing)


def _longer(share: float) -> str:
    """Return in words that something is longer by a share, or shorter if it is negative."""
    shown = f"{abs(share):.0%}"
    return "no longer" if shown == "0%" else f"{shown} {'longer' if share > 0 else 'shorter'}"


def _change(share: float) -> str:
    """Return a change in percent with its sign, which no change has not."""
    shown = f"{share:+.1%}"
    return "0.0%" if shown in ("-0.0%", "+0.0%") else shown


def _listed(plan: Plan, places: Sequence[int]) -> str:
    listed = ", ".join(str(plan.layers[i]) for i in places[:8])
    more = f" and {len(places) - 8} more" if len(places) > 8 else ""
    return f"layer{'s' * (len(places) > 1)} {listed}{more}"


def _replica_advice(
    plan: Plan, model: DeploymentModel, there: DeploymentModel, evaluation: Evaluation
) -> Advice:
    loads = np.concatenate(
        [trace.step_loads(plan.batch_size, model.mode) for trace in model.traces]
    )
    if plan.shape.n_experts % plan.n_devices:
        return Advice("replicas", True, "without them the experts do not divide over the devices")
    bare = greedy(loads, plan.n_devices)
    capacities = np.minimum(plan.capacities, bare.n_slots // plan.n_devices)
    without = there.evaluate(replace(plan, placement=bare, capacities=capacities))
    less_load, faster = _gains(evaluation, without)
    more_memory = plan.placement.n_replicas / plan.shape.n_experts
    why = (
        f"they take {more_memory:.0%} more expert memory and, compared with a packing without "
        f"them, change the busiest device's load by {_change(-less_load)} and the mean step by "
        f"{_change(-faster)}"
    )
    return Advice("replicas", less_load >= more_memory and faster > _WORTH, why)


def _gate_advice(plan: Plan, there: DeploymentModel, evaluation: Evaluation) -> Advice:
    full = there.evaluate(replace(plan, gates=(None,) * plan.n_layers))
    _, faster = _gains(evaluation, full)
    loss = evaluation["quality_loss"] - full["quality_loss"]
    idle = tuple(
        i
        for i, (gated, ungated) in enumerate(zip(evaluation.layers, full.layers, strict=True))
        if plan.gates[i] is not None
        and gated.mass.mean() < 1
        and gated.seconds.sum() > (1 - _WORTH) * ungated.seconds.sum()
    )
    why = f"they change the mean step by {_change(-faster)} for {loss:.3g} {plan.quality_kind}"
    if faster < _WORTH and loss > 0:
        return Advice("thresholds", False, f"{why}: quality for no time", idle)
    if idle:
        why += f"; in {_listed(plan, idle)} they save no time: leave them off there"
    return Advice("thresholds", True, why, idle)


def _placement_advice(plan: Plan, there: DeploymentModel, evaluation: Evaluation) -> Advice:
    default = contiguous(plan.n_layers, plan.shape.n_experts, plan.n_devices)
    less_load, faster = _gains(evaluation, there.evaluate(replace(plan, placement=default)))
    same = np.array_equal(default.on_device(), plan.placement.on_device())
    why = (
        "compared with experts in order of their ids it changes the busiest device's load by "
        f"{_change(-less_load)} and the mean step by {_change(-faster)}"
    )
    return Advice("placement", same or faster > 0, why)
