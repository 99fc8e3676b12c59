"""Verification of plans: their layers run on this machine, and measured times are compared.

The layers of a plan are built with its shape and random weights. The choices of a recorded trace
run through them, step by step, with the plan's thresholds, placement and buffers. The devices run
one after another and the slowest counts. Exchanges between devices are not measured; their time is
computed from the links of the hardware. The rest of the model is left out on both sides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from moe_costmodel._arrays import Bools, Floats, Ints
from moe_costmodel._checks import count, invalid
from moe_costmodel.deployment.model import DeploymentModel
from moe_costmodel.gating.quality import keep_choices
from moe_costmodel.gating.rules import GateRule
from moe_costmodel.kernels.buffered import BufferedExperts
from moe_costmodel.kernels.dynamic import dynamic_gating
from moe_costmodel.kernels.experts import Experts
from moe_costmodel.kernels.offloaded import OffloadedExperts
from moe_costmodel.latency.model import LatencyModel
from moe_costmodel.measure.jobs import between_call, torch_type
from moe_costmodel.measure.stack import StackTimer
from moe_costmodel.measure.timing import clock_for, clock_of, pinned_threads, scratch_folder
from moe_costmodel.objectives import quantity
from moe_costmodel.offloading.cost import MissCost
from moe_costmodel.plans.decision import Decision
from moe_costmodel.shapes import LayerShape
from moe_costmodel.traces.sampling import sample_tokens
from moela.heartbeat.working import long_work

if TYPE_CHECKING:
    from collections.abc import Callable

    from moe_costmodel.hardware import Hardware
    from moe_costmodel.plans.plan import Plan
    from moe_costmodel.traces.trace import RoutingTrace

__all__ = ["Verified", "shapes_to_measure", "verify", "verify_table"]


@dataclass(frozen=True)
class Verified:
    """Predicted and measured times of a plan: seconds of the layers that ran, (n_steps,)."""

    plan: Plan
    predicted: Floats
    measured: Floats
    low: float  # of the interval of the predicted mean
    high: float
    layers: tuple[int, ...]  # positions of the plan's layers that were run
    misses: int  # copies of experts in one run
    spread: float  # interquartile range of the repeats of the whole run, divided by their median
    outside: tuple[str, ...] = ()  # reasons why the prediction is extrapolated

    @property
    def error(self) -> float:
        """Relative error of the predicted mean step."""
        return float(abs(self.predicted.mean() / self.measured.mean() - 1))

    @property
    def inside(self) -> bool:
        """Whether the measured mean is in the interval."""
        return bool(self.low <= self.measured.mean() <= self.high)


def verify_table(verified: Sequence[Verified]) -> str:
    """Return a table of the comparisons, with the median error."""
    lines = [
        f"{'plan':<52}{'layers':>7}{'steps':>7}{'predicted':>12}{'measured':>12}{'error':>8}"
        f"{'spread':>8}  interval"
    ]
    for item in verified:
        p = item.plan
        name = f"{p.model[:20]} B={p.batch_size}"
        if p.n_devices > 1:
            name += f", {p.n_devices} devices"
        if p.is_buffered:
            name += f", {p.capacities.min()}-{p.capacities.max()}/{p.slots_per_device} "
            name += f"{p.offload or p.policy}"
        if p.has_thresholds:
            name += ", gated"
        lines.append(
            f"{name[:51]:<52}{len(item.layers):>7}{len(item.measured):>7}"
            f"{quantity(float(item.predicted.mean()), 's'):>12}"
            f"{quantity(float(item.measured.mean()), 's'):>12}{item.error:>8.1%}"
            f"{item.spread:>8.1%}  {quantity(item.low, 's')} .. {quantity(item.high, 's')}"
            f"{'' if item.inside else ' (outside)'}"
            f"{', extrapolated' if item.outside else ''}"
        )
    reasons = dict.fromkeys(reason for item in verified for reason in item.outside)
    lines += [f"extrapolated: {reason}" for reason in reasons]
    errors = [item.error for item in verified]
    lines.append(f"median error {np.median(errors):.1%}, largest {max(errors):.1%}")
    return "\n".join(lines)


def shapes_to_measure(plans: Sequence[Plan]) -> list[LayerShape]:
    """Return the layers to measure for the plans, at least two.

    These are the layer of each plan as one device has it, and narrower ones, since a latency model
    is fitted to several shapes. All of them route among all experts of the plan's layer.
    """
    shapes: dict[LayerShape, None] = {}
    for plan in plans:
        whole = replace(plan.shape, n_local=plan.slots_per_device)
        shapes[whole] = None
        shapes[replace(whole, d_ffn=max(8, whole.d_ffn // 2))] = None
        shapes[replace(whole, d_model=max(8, whole.d_model // 2))] = None
    return list(shapes)


@long_work("verifying plans")
def verify(
    plans: Sequence[Plan],
    trace: RoutingTrace,
    hardware: Hardware,
    latency: LatencyModel | None = None,
    *,
    n_steps: int = 24,
    repeats: int = 7,
    max_bytes: float = 2 << 30,
    clock: str | None = None,
    seed: int = 0,
    miss_cost: MissCost | None = None,
    max_error: float = 0.3,
) -> list[Verified]:
    """Run plans on this machine and compare the times with predictions.

    Parameters
    ----------
    plans : sequence of Plan
        Plans to run.
    trace : RoutingTrace
        Traffic of the plans' model. If it holds loads only, or no step of a plan's size, tokens are
        drawn from it (:func:`moe_costmodel.sample_tokens`).
    hardware : Hardware
        This machine.
    latency : LatencyModel, optional
        Model fitted to measurements of this machine. By default one is fitted to stacks of layers
        of the plans' shapes (:class:`moe_costmodel.measure.stack.StackTimer`) with random routing.
        They are timed alternately with the plans, because the load of a shared machine changes.
    n_steps : int
        Steps of the trace, from its beginning (buffers are empty then).
    repeats : int
        Repeats of the whole run; the median of each call counts.
    max_bytes : float
        Limit on the weights that are built. Of a larger model, as many layers as fit, spread
        evenly, are run and predicted.
    clock : {"cpu", "wall"}, optional
        The time of this process, which other processes disturb less, or the elapsed time; use that
        of the latency model's measurements. By default "cpu" for one thread, else "wall".
    seed : int
        Seed of the random routing and of the order of plans.
    miss_cost : MissCost, optional
        Cost of misses and uploads on this machine; needed for plans with an `offload`.
    max_error : float
        Largest median error of a latency model that is fitted here; see :meth:`LatencyModel.fit`.

    Returns
    -------
    list of Verified

    Raises
    ------
    ValueError
        If there is no plan, a plan does not fit the trace, a parameter is out of its range, or the
        latency model that is fitted here is wrong by more than `max_error`.
    """
    if isinstance(plans, Decision):
        raise invalid("verify", "plans", "one", "a list of Plans, such as [plan]")
    if not plans:
        raise invalid("verify", "plans", "none", "at least one Plan")
    for plan in plans:
        torch_type("verify", "plans", plan.shape.dtype)
    if miss_cost is None and any(plan.offload is not None for plan in plans):
        expected = "a MissCost (measure_misses) for plans with an 'offload'"
        raise invalid("verify", "miss_cost", miss_cost, expected)
    count("verify", "n_steps", n_steps)
    count("verify", "repeats", repeats)
    clock = clock_for(clock, hardware.threads)
    if hardware.device == "cuda" and not torch.cuda.is_available():
        raise invalid("verify", "hardware", "cuda", "of this machine, which has no GPU")
    now = clock_of(clock, hardware.device)
    random = np.random.default_rng(seed)
    with (
        pinned_threads(hardware.threads),
        scratch_folder() as folder,
        torch.no_grad(),
    ):
        traces = [_of_tokens(trace, plan, n_steps, seed) for plan in plans]
        runs = [
            _Run(plan, own, hardware.device, n_steps, max_bytes, folder / f"plan {i}")
            for i, (plan, own) in enumerate(zip(plans, traces, strict=True))
        ]
        timer = None
        if latency is None:
            (folder / "stacks").mkdir()
            timer = StackTimer(
                hardware,
                shapes_to_measure(plans),
                n_layers=max(len(run.layers) for run in runs),
                folder=folder / "stacks",
                tokens=_sizes(plans),
                policies=sorted({plan.policy for plan in plans if plan.offload is None}),
                clock=clock,
                random_state=random,
            )
        for turn in range(repeats + 1):
            if timer is not None:
                timer.turn(keep=turn > 0)
            for i in random.permutation(len(runs)):
                took = runs[i].once(now)
                if turn:
                    runs[i].repeats.append(took)
        if timer is not None:
            measured = timer.measurements()
            latency, hardware = LatencyModel.fit(measured, max_error=max_error), measured.hardware
        assert latency is not None
        return [
            run.result(own, hardware, latency, miss_cost)
            for run, own in zip(runs, traces, strict=True)
        ]


def _of_tokens(trace: RoutingTrace, plan: Plan, n_steps: int, seed: int) -> RoutingTrace:
    """Return the trace, or tokens drawn from it if it has no step of the plan's size."""
    most = len(trace.sequence_lengths) if plan.mode == "decode" else trace.n_tokens
    if plan.batch_size <= most:
        return trace
    return sample_tokens(
        trace, plan.batch_size, plan.mode, k=plan.shape.k if trace.is_load_only else None,
        n_steps=n_steps, random_state=np.random.default_rng(seed),
    )  # fmt: skip


def _sizes(plans: Sequence[Plan]) -> list[int]:
    """Return sizes of steps, doubling, that span those of the plans."""
    sizes = [plan.batch_size for plan in plans]
    return [2**i for i in range(min(sizes).bit_length() - 1, max(sizes).bit_length() + 1)]


class _Run:
    """Layers of a plan, and the steps that run through them."""

    def __init__(
        self,
        plan: Plan,
        trace: RoutingTrace,
        device: str,
        n_steps: int,
        max_bytes: float,
        folder: Path,
    ) -> None:
        self.plan, self.device = plan, device
        sizes = (trace.n_layers, trace.n_experts, trace.k)
        planned = (plan.n_layers, plan.shape.n_experts, plan.shape.k)
        if sizes != planned:
            expected = "of the plan's {} layers, {} experts and {} choices".format(*planned)
            raise invalid("verify", "trace", f"{trace.source} with {sizes}", expected)
        a_layer = plan.placement.n_slots * plan.shape.expert_bytes
        n_layers = int(min(plan.n_layers, max_bytes // a_layer))
        if n_layers < 1:
            expected = f"at least a layer's {a_layer:,.0f} bytes"
            raise invalid("verify", "max_bytes", max_bytes, expected)
        chosen = np.unique(np.linspace(0, plan.n_layers - 1, n_layers).round().astype(int))
        self.layers = tuple(int(i) for i in chosen)
        self.repeats: list[Floats] = []
        folder.mkdir()
        self._build(trace, n_steps, folder)

    def _build(self, trace: RoutingTrace, n_steps: int, folder: Path) -> None:
        """Prepare a call for every step, layer and device."""
        plan, device = self.plan, self.device
        rules = [rule or GateRule.keep_all() for rule in plan.gates]
        keep = keep_choices(trace, rules) if plan.has_thresholds else None
        steps = trace.batches(plan.batch_size, plan.mode)[:n_steps]
        n_local = plan.slots_per_device
        shape, dtype = plan.shape, torch_type("verify", "plans", plan.shape.dtype)
        x = torch.randn(plan.batch_size, shape.d_model, device=device).to(dtype)
        self._between = between_call(shape, x)
        self.buffers: list[BufferedExperts | OffloadedExperts] = []
        self.calls: list[list[list[Callable[[], object]]]] = [[] for _ in steps]
        self.rows = np.zeros((len(steps), len(self.layers), plan.n_devices))
        for place, layer in enumerate(self.layers):
            slots = plan.by_layer[layer].slots
            is_buffered = plan.by_layer[layer].policy is not None
            parts: list[tuple[Experts, BufferedExperts | OffloadedExperts | None]] = []
            for d in range(plan.n_devices):
                experts = Experts.random(
                    n_local,
                    shape.d_model,
                    shape.d_ffn,
                    seed=layer * plan.n_devices + d,
                    gated=shape.gated,
                    activation="silu" if shape.gated else "relu",
                    dtype=dtype,
                    device="cpu" if is_buffered else device,
                )
                buffer = None
                if is_buffered:
                    if device == "cpu":
                        file = experts.save(folder / f"{layer}-{d}.safetensors")
                        experts = Experts.map_file(file)
                    buffer = _buffer(plan, layer, d, experts, device)
                    self.buffers.append(buffer)
                parts.append((experts, buffer))
            for number, tokens in enumerate(steps):
                ids = np.asarray(trace.topk_ids[tokens, layer], dtype=np.int64)
                kept = np.ones(ids.shape, bool) if keep is None else keep[tokens, layer]
                local = _deal(ids, kept, slots, n_local, number)
                device_of = local[local >= 0] // n_local
                self.rows[number, place] = np.bincount(device_of, minlength=plan.n_devices)
                calls: list[Callable[[], object]] = []
                for d, (experts, buffer) in enumerate(parts):
                    on_device = local // n_local == d
                    places = torch.from_numpy(np.where(on_device, local % n_local, 0)).to(device)
                    weights = torch.from_numpy(on_device / ids.shape[1]).float().to(device)
                    run: Callable[..., object] = partial(dynamic_gating, experts=experts)
                    if buffer is not None:
                        run = buffer.__call__
                    calls.append(partial(run, x, places, weights))
                self.calls[number].append(calls)

    def once(self, now: Callable[[], float]) -> Floats:
        """Run all steps, and return the time of each layer's devices, (steps, layers, devices)."""
        for buffer in self.buffers:
            buffer.reset()
        took = np.zeros(self.rows.shape)
        for step, layers in enumerate(self.calls):
            for layer, devices in enumerate(layers):
                for device, call in enumerate(devices):
                    self._between()
                    started = now()
                    call()
                    took[step, layer, device] = now() - started
        return took

    def result(
        self,
        trace: RoutingTrace,
        hardware: Hardware,
        latency: LatencyModel,
        miss_cost: MissCost | None,
    ) -> Verified:
        """Predict the same steps and layers, and return the comparison."""
        plan = self.plan
        model = DeploymentModel(
            trace,
            hardware,
            latency,
            shape=plan.shape,
            mode=plan.mode,
            n_devices=plan.n_devices,
            n_nodes=plan.n_nodes,
            name=plan.model,
            miss_cost=miss_cost,
        )
        evaluation = model.evaluate(plan)
        n_steps = len(self.calls)
        predicted = np.zeros(n_steps)
        exchange = np.zeros(n_steps)
        for place, i in enumerate(self.layers):
            predicted += evaluation.layers[i].seconds[:n_steps]
            exchange += 2 * model.exchange_seconds(self.rows[:, place])
        runs = np.stack(self.repeats)
        whole = runs.sum(axis=(1, 2, 3))
        # The median comes first: the maximum of noisy times is biased upward.
        slowest = np.median(runs, axis=0).max(axis=2).sum(axis=1)
        low, high = np.percentile(whole, [25, 75])
        (least, most), *_ = model.error(plan)
        mean = float(predicted.mean())
        return Verified(
            plan,
            predicted,
            slowest + exchange,
            mean * least,
            mean * most,
            self.layers,
            sum(buffer.statistics.misses for buffer in self.buffers),
            float((high - low) / np.median(whole)),
            tuple(evaluation.outside),
        )


def _buffer(
    plan: Plan, layer: int, number: int, experts: Experts, device: str
) -> BufferedExperts | OffloadedExperts:
    """Return the buffer of a device, whose experts are numbered as its slots are."""
    rule, start = plan.by_layer[layer].offload, plan.by_layer[layer].start
    capacity = int(plan.capacities[layer, number])
    if rule is None:
        return BufferedExperts(experts, capacity, policy=plan.policy, device=device)
    own = plan.by_layer[layer].slots.reshape(plan.n_devices, -1)[number]
    return OffloadedExperts(
        experts, capacity, policy=rule.policy, admission=rule.admission,
        start=None if start is None else start[own], start_weight=rule.start_weight,
        half_life=rule.half_life, in_place=rule.in_place, device=device,
    )  # fmt: skip


def _deal(ids: Ints, kept: Bools, slots: Ints, n_local: int, step: int) -> Ints:
    """Return the slot that computes each choice, (S, k); -1 for those that are dropped."""
    out = np.full(ids.shape, -1, dtype=np.int64)
    for expert in np.unique(ids[kept]):
        own = np.flatnonzero(slots == expert)
        where = np.flatnonzero((ids == expert) & kept)
        out.flat[where] = own[(np.arange(len(where)) + step) % len(own)]
    return out
