"""Measurement of a model on this machine: its layers as they run in it, and the rest of a step."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import nn

from moe_costmodel.hardware import Hardware, Link
from moe_costmodel.latency.steps.model_steps import Layer, replaced_layers
from moe_costmodel.latency.steps.model_timer import ModelTimer
from moe_costmodel.latency.steps.rest_of_model import RestOfModel
from moe_costmodel.measure.jobs import copy_call
from moe_costmodel.measure.kernels import with_exchange
from moe_costmodel.measure.measurements import Measurements, Record
from moe_costmodel.measure.timing import check_budget, clock_for, pinned_threads, time_call
from moe_costmodel.shapes import LayerShape
from moe_costmodel.traces.trace import RoutingTrace
from moela.heartbeat.working import long_work

__all__ = ["MeasuredModel", "measure_model", "measure_rest", "without_experts"]


@dataclass(frozen=True)
class MeasuredModel:
    """Measurements of a model that ran on this machine.

    Attributes
    ----------
    measurements : Measurements
        Its layers, resident and buffered, its gate rules, and the rest of its steps: for
        :meth:`LatencyModel.fit`, and for `moela run moe --kernels` once saved.
    rest : RestOfModel
        The rest of its steps, for decode and prefill.
    shape : LayerShape
        Sizes of an MoE layer.

    Examples
    --------
    >>> from moe_costmodel import LatencyModel, measure_model
    >>> from moe_costmodel.example import load_model
    >>> found = measure_model(load_model(), budget_s=20)  # doctest: +SKIP
    >>> LatencyModel.fit(found.measurements).report  # doctest: +SKIP
    """

    measurements: Measurements
    rest: RestOfModel
    shape: LayerShape


@contextmanager
def without_experts(model: nn.Module) -> Iterator[None]:
    """Replace the experts of a model by functions that return zeros, inside the context.

    A model of no known family, or with its experts elsewhere than beside its routers, is a
    ValueError.
    """

    def nothing(layer: int, own: Layer) -> Layer:
        return lambda x, ids, weights: torch.zeros_like(x)

    with replaced_layers(model, nothing):
        yield


@long_work("measuring the rest of a model")
def measure_rest(
    model: nn.Module,
    *,
    batch_sizes: Sequence[int] = (1, 4, 16),
    contexts: Sequence[int] = (16, 128, 512),
    prompts: Sequence[int] = (64, 256, 1024),
    budget_s: float = 10.0,
    clock: str | None = None,
    threads: int = 1,
    **options: object,
) -> RestOfModel:
    """Time decode steps and prompts of a model, and fit what they take beside the MoE layers.

    The rest is attention with its KV cache, dense layers and shared experts, routers, norms,
    embeddings, and the head. The model runs as it is, and the time of its experts is subtracted.

    Parameters
    ----------
    model : Module
        The packaged example model, or a causal language model of Hugging Face whose experts are
        beside its routers.
    batch_sizes, contexts : sequence of int
        Sequences that are decoded together, and tokens in the cache of each; none to leave decode
        out.
    prompts : sequence of int
        Lengths of the prompts that prefill is fitted to, with others between those more than a
        factor of 2.5 apart; none to leave prefill out.
    budget_s : float
        Seconds to measure, preparation included; some steps are measured in any case.
    clock : {"cpu", "wall"}, optional
        The time of this process, which other processes disturb less, or the elapsed time; by
        default "cpu" for one thread, else "wall".
    threads : int
        Threads of torch.
    **options
        Passed to every call of the model.

    Returns
    -------
    RestOfModel
        For :class:`moe_costmodel.StepModel` and :class:`moe_costmodel.DeploymentModel`.

    Raises
    ------
    ValueError
        If a size is not positive, or the model belongs to no known family.

    Examples
    --------
    >>> from moe_costmodel import measure_rest
    >>> from moe_costmodel.example import load_model
    >>> rest = measure_rest(load_model(), prompts=(), budget_s=1)  # doctest: +SKIP
    >>> rest.seconds(4, 128) > 0  # doctest: +SKIP
    True
    """
    started, clock = time.perf_counter(), clock_for(clock, threads)
    budget_s = check_budget("measure_rest", budget_s)
    with pinned_threads(threads):
        timer = ModelTimer(
            model, batch_sizes=batch_sizes, contexts=contexts, prompts=prompts, routing=False,
            clock=clock, options=options,
        )  # fmt: skip
        timer.run(started + budget_s)
        records = list(timer.steps())
    measured = Measurements(Hardware.here(threads=threads), records, clock)
    return RestOfModel.fit(measured, d_model=timer.d_model, n_layers=1)


@long_work("measuring a model")
def measure_model(
    model: nn.Module,
    hardware: Hardware | None = None,
    *,
    batch_sizes: Sequence[int] = (1, 2, 4, 8, 16, 32),
    contexts: Sequence[int] = (16, 128, 512),
    prompts: Sequence[int] = (64, 256, 1024),
    policies: Sequence[str] = ("paper", "lfu"),
    n_devices: Sequence[int] = (1,),
    trace: RoutingTrace | None = None,
    budget_s: float = 60.0,
    clock: str | None = None,
    random_state: np.random.Generator | int | None = 0,
    **options: object,
) -> MeasuredModel:
    """Measure a model as it runs on this machine: MoE layers, gate rules, buffers, and the rest.

    The layers are timed inside the model, since they take longer there than alone, with recorded
    routing or drawn one of several skews, with and without gate rules. Measure the sizes of steps
    that a plan will have: predictions beyond them are flagged.

    Parameters
    ----------
    model : Module
        The packaged example model, or a causal language model of Hugging Face whose experts are
        beside its routers. It takes part as it is. Beside it, memory is needed for the largest KV
        cache of all steps, for half of the experts (buffers), and for what the longest prompt
        computes: together with the model at most twice its own memory and one cache.
    hardware : Hardware, optional
        Description of this machine; by default :meth:`Hardware.here` with one thread.
    batch_sizes, contexts : sequence of int
        Sequences that are decoded together, and tokens in the cache of each; none to leave decode
        out.
    prompts : sequence of int
        Lengths of prompts, with others between those more than a factor of 2.5 apart; none to
        leave prefill out.
    policies : sequence of str
        Eviction policies of buffers; none to leave buffers out.
    n_devices : sequence of int
        Numbers of devices that plans will divide the experts among. A device's part of a layer is
        timed in the model, too. If there are several, and `hardware` has no link
        "device_to_device", the exchange between two processes is timed for it.
    trace : RoutingTrace, optional
        Recorded routing with weights, preferably the traffic that plans are made for. Layers are
        then timed in its steps, since experts that a step ago were in use may still be in the
        caches. By default, and for sizes of steps that it does not have, routing is drawn.
    budget_s : float
        Seconds to measure, preparation included; the exchange takes a few more. If they do not
        suffice for all steps, those between others are left out, and the notes of the measurements
        say so.
    clock : {"cpu", "wall"}, optional
        The time of this process, which other processes disturb less, or the elapsed time; by
        default "cpu" for one thread, else "wall".
    random_state : Generator or int, optional
        Source of routing and order.
    **options
        Passed to every call of the model.

    Returns
    -------
    MeasuredModel

    Raises
    ------
    ValueError
        If a size is not positive, or the model belongs to no known family.
    RuntimeError
        If the exchange between two processes fails.

    Examples
    --------
    >>> from moe_costmodel import DeploymentModel, LatencyModel, RoutingTrace, measure_model
    >>> from moe_costmodel.example import load_model
    >>> found = measure_model(load_model(), budget_s=20)  # doctest: +SKIP
    >>> deployment = DeploymentModel(
    ...     RoutingTrace.example(),
    ...     found.measurements.hardware,
    ...     LatencyModel.fit(found.measurements),
    ...     shape=found.shape,
    ...     rest=found.rest,
    ... )  # doctest: +SKIP
    """
    hardware = hardware or Hardware.here(threads=1)
    started, clock = time.perf_counter(), clock_for(clock, hardware.threads)
    budget_s = check_budget("measure_model", budget_s)
    with pinned_threads(hardware.threads):
        timer = ModelTimer(
            model, batch_sizes=batch_sizes, contexts=contexts, prompts=prompts, policies=policies,
            n_devices=n_devices, trace=trace, clock=clock, random_state=random_state,
            options=options,
        )  # fmt: skip
        notes = timer.run(started + budget_s)
        found = measured_by(timer, hardware, notes)
        if max(n_devices, default=1) > 1 and "device_to_device" not in hardware.links:
            found = replace(found, measurements=with_exchange(found.measurements))
        return found


def measured_by(timer: ModelTimer, hardware: Hardware, notes: list[str]) -> MeasuredModel:
    """Return what a timer has measured on `hardware` in all its turns."""
    records = [*timer.records(), *timer.steps()]
    links = {}
    if any(record.kind == "buffered" for record in records):
        records += (copies := _copies(timer, hardware))
        rate = np.median([record.at["bytes"] / record.seconds for record in copies])
        links["slow_to_fast"] = Link(bandwidth=float(rate))
    measured = Measurements.taken_now(
        hardware, records, links=links, clock=timer.clock, notes=notes
    )
    rest = RestOfModel.fit(measured, d_model=timer.d_model, n_layers=1)
    return MeasuredModel(measured, rest, timer.shape)


def _copies(timer: ModelTimer, hardware: Hardware) -> list[Record]:
    """Time copies of experts from slow into fast memory."""
    out = []
    for experts in timer.experts:
        call = copy_call(experts, range(experts.n_experts), hardware.device)
        repeats = time_call(call, device=hardware.device, min_seconds=0.01, clock=timer.clock)
        out.append(Record("copy", {"bytes": timer.shape.expert_bytes}, repeats, timer.shape))
    return out
