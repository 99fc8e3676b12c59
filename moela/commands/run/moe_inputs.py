"""Inputs of `moela run moe`: traffic, machine, kernels, and the problem made of them."""

from __future__ import annotations

import argparse
import math
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from moe_costmodel import (
        Hardware,
        LatencyModel,
        LayerShape,
        Measurements,
        RestOfModel,
        RoutingTrace,
    )
    from problems import MoEDeployment

_LONGER = 4  # times its budget that a measurement takes at most, if shorter ones are too noisy


@dataclass(frozen=True)
class Inputs:
    """The inputs, read or measured."""

    problem: MoEDeployment  # on the traffic that is planned for
    unseen: RoutingTrace | None  # held-out traffic to check plans on
    kernels: Measurements | None  # None if a table of another machine was given
    notes: list[str]  # caveats for the reader of the result


def read(arguments: argparse.Namespace) -> Inputs:
    """Read the files, measure kernels if none are given, and make the problem."""
    from moe_costmodel import Hardware, LatencyModel, Measurements, RoutingTrace
    from moe_costmodel.example import measured
    from moe_costmodel.latency.estimators import METHODS
    from problems import MoEDeployment

    notes: list[str] = []
    _check_batch_sizes(arguments.batch_sizes)
    traces = [RoutingTrace.load(path) for path in arguments.trace or []]
    if not traces:
        traces = [RoutingTrace.example()]
        notes.append("planned for the packaged example model, since no --trace was given")
    planned, unseen = hold_out(traces, arguments.holdout, notes)
    shape = _shape(arguments, traces[0])
    hardware = Hardware.load(arguments.hardware) if arguments.hardware else None
    devices, nodes = _sizes(arguments, hardware)
    if arguments.fit not in ("auto", *METHODS):
        known = ", ".join(("auto", *METHODS))
        raise ValueError(f"--fit must be one of {known}. Got {arguments.fit} instead.")
    if hardware is not None:
        _require_links(hardware, devices, nodes)
    kernels = latency = None
    in_model = not arguments.trace and arguments.shape is None
    if arguments.kernels and Path(arguments.kernels).suffix == ".parquet":
        from moe_costmodel import KernelTable

        if hardware is None:
            raise ValueError(
                "--hardware must name the JSON of the machine whose kernel table is given, for "
                "its memory and links. Got none instead."
            )
        source: KernelTable | Measurements = KernelTable.from_aiconfigurator(arguments.kernels)
    elif arguments.kernels:
        source = kernels = Measurements.load(arguments.kernels)
    else:
        largest = _largest_batch(planned, arguments)
        if hardware is None and nodes > 1:
            raise ValueError(
                "--hardware must name a file with the link 'node_to_node' if --nodes is above 1, "
                f"since this machine is one node. Got none with --nodes {nodes} instead."
            )
        if in_model:
            kernels, latency = _fit_example(devices, largest, hardware, arguments)
        else:
            kernels = _measure(shape, devices, largest, arguments)
        source = kernels
        if hardware is not None:
            notes.append(
                f"the kernels were measured on this machine, not on {hardware.name}: give "
                "--kernels for times that hold there"
            )
    if hardware is None:
        assert kernels is not None
        hardware = kernels.hardware
        _require_links(hardware, devices, nodes)
    if latency is None:
        latency = LatencyModel.fit(source, hardware=hardware, method=arguments.fit)
    notes += [f"times are extrapolated: {reason}" for reason in latency.outside(shape)]
    decide = ["gates", "buffers", "batch", "placement"]
    if planned[0].is_load_only:
        decide = ["batch", "placement"]
        notes.append(
            "the trace holds loads only, so thresholds and buffers stay off, and steps are drawn"
        )
    elif not all(trace.has_weights for trace in planned):
        decide.remove("gates")
        notes.append("the trace has no weights, so thresholds stay off")
    elif not _counts_losses(arguments):
        decide.remove("gates")
        notes.append(
            "thresholds stay off, since nothing counts what they lose: add quality_loss to "
            "--objectives, or give --max-quality-loss"
        )
    settings: dict[str, Any] = {
        "mode": arguments.mode,
        "context": arguments.context,
        "rest": _rest(kernels, shape, traces[0].n_layers, notes),
    }
    if shape == measured.example_shape():
        settings["memory"] = measured.example_memory()
    else:
        notes.append("memory counts experts and activations; leave room for the rest of the model")
    if arguments.objectives:
        settings["objectives"] = arguments.objectives
    problem = MoEDeployment(
        planned, hardware, latency, n_devices=devices, n_nodes=nodes, shape=shape, decide=decide,
        rule=arguments.rule, replicas=arguments.replicas, aggregate=arguments.aggregate,
        memory_budget=None if arguments.memory_gib is None else arguments.memory_gib * 2**30,
        slo_s=None if arguments.slo_ms is None else arguments.slo_ms / 1e3,
        max_quality_loss=arguments.max_quality_loss, batch_sizes=arguments.batch_sizes, **settings,
    )  # fmt: skip
    return Inputs(problem, unseen, kernels, notes)


def _counts_losses(arguments: argparse.Namespace) -> bool:
    """Tell whether an objective or a limit counts what thresholds lose."""
    limited = arguments.max_quality_loss not in (None, math.inf)
    return limited or not arguments.objectives or "quality_loss" in arguments.objectives


def _sizes(arguments: argparse.Namespace, hardware: Hardware | None) -> tuple[int, int]:
    """Return the numbers of devices and of nodes."""
    devices, nodes = arguments.devices, arguments.nodes
    if nodes is None:
        nodes = hardware.n_nodes if hardware is not None and devices is None else 1
    if devices is None:
        devices = 4 if hardware is None else hardware.n_devices
    return devices, nodes


def _require_links(hardware: Hardware, devices: int, nodes: int) -> None:
    """Raise a ValueError if a link is missing, before anything is measured or fitted."""
    for link, n, option in (
        ("node_to_node", nodes, "--nodes 1"),
        ("device_to_device", devices, "--devices 1"),
    ):
        if n > 1:
            try:
                hardware.link(link)
            except ValueError as error:
                raise ValueError(f"{error} Without it, plan with {option}.") from error


def _check_batch_sizes(sizes: list[int] | None) -> None:
    """Raise a ValueError unless the batch sizes ascend, before anything is measured or fitted."""
    if sizes is not None and (min(sizes) < 1 or sizes != sorted(set(sizes))):
        raise ValueError(f"--batch-sizes must be ascending integers of at least 1. Got {sizes}.")


def hold_out(
    traces: list[RoutingTrace], fraction: float, notes: list[str]
) -> tuple[list[RoutingTrace], RoutingTrace | None]:
    """Return the traces to plan for, and the held-out end of the last trace.

    Without such an end, None is returned, and a note says why.
    """
    if not 0 <= fraction < 1:
        raise ValueError(f"--holdout must be from 0 to below 1. Got {fraction} instead.")
    if fraction == 0:
        notes.append("the plan is not checked on traffic held out, since --holdout is 0")
        return traces, None
    last = traces[-1]
    if (len(last.loads()) if last.is_load_only else last.n_tokens) < 2:
        notes.append(
            f"the plan is not checked on traffic held out, since {last.source} is a single window "
            "of loads and cannot be cut: give another window to Plan.check, or record several"
        )
        return traces, None
    head, tail = traces[-1].split(1 - fraction)
    return [*traces[:-1], head], tail


def _shape(arguments: argparse.Namespace, trace: RoutingTrace) -> LayerShape:
    from moe_costmodel import LayerShape
    from moe_costmodel.example.measured import example_shape

    if arguments.shape is not None:
        shape = replace(arguments.shape, dtype=arguments.dtype)
        assert isinstance(shape, LayerShape)
        return shape
    if trace.source.startswith("example model"):
        return example_shape()
    raise ValueError(
        f"--shape must give the sizes of the MoE layer of {trace.source}, which a trace does not "
        f"hold: {trace.n_experts},K,D_MODEL,D_FFN[,gated]. Got none instead."
    )


def _largest_batch(traces: list[RoutingTrace], arguments: argparse.Namespace) -> int:
    """Return the largest size of a step that can be chosen."""
    if arguments.batch_sizes:
        return int(max(arguments.batch_sizes))
    if traces[0].is_load_only:
        return 256  # the largest step that is drawn by default
    if arguments.mode == "prefill":
        return min(trace.n_tokens for trace in traces)
    return min(len(trace.sequence_lengths) for trace in traces)


def _powers_to(largest: int, factor: int = 2) -> tuple[int, ...]:
    """Return 1, the powers of a factor below `largest`, and `largest`."""
    powers = [1]
    while powers[-1] * factor < largest:
        powers.append(powers[-1] * factor)
    return tuple(dict.fromkeys([*powers, largest]))


def _fit_example(
    n_devices: int, largest: int, hardware: Hardware | None, arguments: argparse.Namespace
) -> tuple[Measurements, LatencyModel]:
    """Measure the packaged example model as it runs, and return it with what is fitted to it.

    Times that are too noisy to plan with are measured again, twice as long each time.
    """
    from moe_costmodel import LatencyModel

    budget_s = arguments.measure_s
    while True:
        kernels = _measure_example(n_devices, largest, budget_s, arguments)
        try:
            return kernels, LatencyModel.fit(kernels, hardware=hardware, method=arguments.fit)
        except ValueError:
            if budget_s >= _LONGER * arguments.measure_s:
                raise
            budget_s *= 2


def _measure_example(
    n_devices: int, largest: int, budget_s: float, arguments: argparse.Namespace
) -> Measurements:
    """Measure the packaged example model as it runs."""
    from moe_costmodel import Hardware, measure_model
    from moe_costmodel.example import load_model

    decode = arguments.mode == "decode"
    return measure_model(
        load_model(), Hardware.here(threads=arguments.threads),
        batch_sizes=_powers_to(largest) if decode else (), contexts=(16, 96, 256),
        prompts=() if decode else _powers_to(min(largest, 2048), 4), policies=("paper", "lfu"),
        n_devices=(n_devices,), budget_s=budget_s, clock=arguments.clock,
        random_state=arguments.seed,
    ).measurements  # fmt: skip


def _measure(
    shape: LayerShape, n_devices: int, largest: int, arguments: argparse.Namespace
) -> Measurements:
    from moe_costmodel import Hardware, measure_kernels
    from moe_costmodel.measure.kernels import with_exchange
    from moe_costmodel.measure.measurements import KINDS

    # A latency model is fitted to several sizes: the layer, its part on a device, and a narrower
    # layer.
    n_local = max(1, -(-shape.n_experts // n_devices))
    part = replace(shape, n_experts=n_local, n_local=n_local, k=min(shape.k, n_local))
    sizes = [shape, part, replace(shape, d_ffn=max(8, shape.d_ffn // 2))]
    # Several devices need the exchange, for which a short budget leaves no time.
    kinds = [kind for kind in KINDS if kind != "all_to_all" or n_devices == 1]
    measured = measure_kernels(
        Hardware.here(threads=arguments.threads), list(dict.fromkeys(sizes)), (shape.dtype,),
        arguments.measure_s, tokens=_powers_to(largest, 4), kinds=kinds, clock=arguments.clock,
        progress=not arguments.quiet and sys.stderr.isatty(), random_state=arguments.seed,
    )  # fmt: skip
    return with_exchange(measured) if n_devices > 1 else measured


def _rest(
    kernels: Measurements | None, shape: LayerShape, n_layers: int, notes: list[str]
) -> RestOfModel | None:
    """Return the times of attention if they were measured for this width."""
    from moe_costmodel import RestOfModel

    measured = [] if kernels is None else [*kernels.of("step"), *kernels.of("rest")]
    widths = {record.shape.d_model for record in measured if record.shape is not None}
    if kernels is not None and shape.d_model in widths:
        if not any(kernels.of("step")):
            notes.append(
                "the rest of a step is attention alone: measure_model times all of a model"
            )
        return RestOfModel.fit(kernels, d_model=shape.d_model, n_layers=n_layers)
    notes.append("times are those of the MoE layers alone: no attention of this width was measured")
    return None
