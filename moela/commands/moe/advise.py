"""`moela moe advise`: what to set in which engine, and what to leave alone, from a trace."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from moela.commands.output import add_json, folder_to_write, print_json
from moela.commands.parser import add_examples, not_negative, positive

if TYPE_CHECKING:
    from moe_costmodel.advice.recommendation import Migration
    from moe_costmodel.deployment.model import DeploymentModel
    from moe_costmodel.traces.trace import RoutingTrace


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    # fmt: off
    add = parser.add_argument
    add("trace", nargs="?", type=Path, metavar="TRACE",
        help="trace: npz, or any file that `moela trace convert` reads (default: the example)")
    add("--other", type=Path, action="append", default=[], metavar="TRACE",
        help="other traffic to score on; may be repeated")
    add("--recent", type=Path, metavar="TRACE", help="short record of the traffic to come")
    add("--gpus", type=positive, nargs="+", default=[8], metavar="N",
        help="numbers of devices (default: 8)")
    add("--size", type=positive, metavar="N",
        help="batch size: sequences (decode), tokens (prefill) (default: 16, 256)")
    add("--mode", choices=("decode", "prefill"), default="decode", help="phase to advise for")
    add("--replicas", type=not_negative, default=1, metavar="N",
        help="redundant experts that a device has room for in each layer (default: 1)")
    add("--slots", type=positive, metavar="N",
        help="experts of a layer that fit into one device (default: half)")
    add("--move", type=float, nargs=3, metavar=("MIB", "GB/S", "SECONDS"),
        help="cost of moving experts while serving: MiB of an expert, GB/s to a device, seconds "
        "that a placement serves (default: none, as when a server starts)")
    add("--moe-share", type=float, default=1.0, metavar="X",
        help="share of a step that grows with the busiest device's load (default: 1)")
    add("--drift", type=float, default=0.25, metavar="X",
        help="share of the load that may move, if the trace is a sum over steps (default: 0.25)")
    add("--kernels", type=Path, metavar="JSON",
        help="JSON of `moela measure`, for advice on thresholds")
    add("--model", default="MODEL", metavar="NAME", help="model in the command lines")
    add("--out", type=Path, metavar="FOLDER", help="write files and command lines of engines")
    add("--seed", type=not_negative, default=0, metavar="N", help="random seed of the drawn drift")
    # fmt: on
    add_json(parser)
    add_examples(
        parser,
        "moela moe advise monday.npz --other tuesday.npz --gpus 8 32 --out advice/",
        "moela moe advise loads.json --recent first_minute.json --gpus 32",
    )


def run(arguments: argparse.Namespace) -> None:
    """Print what to set and what to leave alone, and write the files of engines."""
    from moe_costmodel.advice.advise import advise
    from moe_costmodel.traces.trace import RoutingTrace

    trace = RoutingTrace.load(arguments.trace) if arguments.trace else RoutingTrace.example()
    folder_to_write("--out", arguments.out)
    found = advise(
        trace,
        others=[RoutingTrace.load(path) for path in arguments.other],
        recent=RoutingTrace.load(arguments.recent) if arguments.recent else None,
        devices=arguments.gpus,
        batch_size=arguments.size,
        mode=arguments.mode,
        migration=_migration(arguments.move),
        moe_share=arguments.moe_share,
        max_replicas=arguments.replicas,
        slots=arguments.slots,
        deployment=_deployment(arguments, trace),
        drift=arguments.drift,
        random_state=arguments.seed,
    )
    if arguments.out:
        found = found.write(arguments.out, model=arguments.model)
    if arguments.json:
        rows = [
            {
                "knob": item.knob, "devices": item.n_devices, "adopt": item.adopt,
                "setting": item.setting, "why": item.why, "gain": item.gain,
                "scored": item.scored,
            }
            for item in found.recommendations
        ]  # fmt: skip
        print_json({"source": found.source, "recommendations": rows, "unknown": found.unknown,
                    "commands": found.commands})  # fmt: skip
        return
    print(found)
    if arguments.out:
        print(f"{arguments.out}: written")


def _migration(move: list[float] | None) -> Migration | None:
    from moe_costmodel.advice.recommendation import Migration

    return None if move is None else Migration(move[0] * 2**20, move[1] * 1e9, move[2])


def _deployment(arguments: argparse.Namespace, trace: RoutingTrace) -> DeploymentModel | None:
    """Return measured times of the trace's model on one device, if there are any."""
    from moe_costmodel.deployment.model import DeploymentModel
    from moe_costmodel.latency.model import LatencyModel
    from moe_costmodel.measure.measurements import Measurements

    if arguments.kernels is None:
        return None
    measured = Measurements.load(arguments.kernels)
    if trace.is_load_only or not trace.has_weights:
        return None
    fitting = [
        record.shape
        for record in measured.records
        if record.shape is not None
        and (record.shape.n_experts, record.shape.k) == (trace.n_experts, trace.k)
        and record.shape.n_local == record.shape.n_experts
    ]
    if not fitting:
        raise ValueError(
            f"{arguments.kernels}: the kernels must be of layers of {trace.n_experts} experts, "
            f"{trace.k} a token, as {trace.source} is. Got other shapes instead; measure them "
            "(moela measure)."
        )
    latency = LatencyModel.fit(measured)
    return DeploymentModel(trace, measured.hardware, latency, shape=fitting[0], n_devices=1)
