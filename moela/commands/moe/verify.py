"""`moela moe verify`: run plans on this machine, and print predicted and measured times."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from moela.commands.output import add_json, file_to_write, plain, print_json
from moela.commands.parser import add_examples, not_negative, positive

if TYPE_CHECKING:
    from moe_costmodel.hardware import Hardware


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    # fmt: off
    add = parser.add_argument
    add("plans", nargs="+", type=Path, metavar="PLAN",
        help="JSON file of a plan, such as plan.json of a run")
    add("--trace", type=Path, metavar="NPZ",
        help="routing or loads to replay (default: the example)")
    add("--kernels", type=Path, metavar="JSON",
        help="JSON of `moela measure` on this machine (default: measured between the plans)")
    add("--steps", type=positive, default=24, metavar="N", help="steps of every plan to run")
    add("--repeats", type=positive, default=7, metavar="N", help="repetitions; the median is taken")
    add("--max-gib", type=float, default=2.0, metavar="GIB",
        help="upper limit on the weights, in GiB")
    add("--threads", type=positive, default=1, metavar="N", help="threads of the kernels (CPU)")
    add("--clock", choices=("wall", "cpu"),
        help="elapsed time, or that of the process (default: cpu for one thread, else wall)")
    add("--max-error", type=float, default=0.3, metavar="SHARE",
        help="largest median error of the kernels' model; inf accepts any (default: 0.3)")
    add("--seed", type=not_negative, default=0, metavar="N",
        help="random seed of the routing and of the order")
    add("--out", type=Path, metavar="JSON", help="write the table's numbers as JSON, too")
    # fmt: on
    add_json(parser)
    add_examples(
        parser,
        "moela moe verify plan/plan.json",
        "moela moe verify plan/plans/*.json --kernels plan/kernels.json --clock cpu",
    )


def run(arguments: argparse.Namespace) -> None:
    """Run the plans, print predicted and measured times, and write them."""
    from moe_costmodel.deployment.verify import verify, verify_table
    from moe_costmodel.hardware import Hardware
    from moe_costmodel.latency.model import LatencyModel
    from moe_costmodel.measure.measurements import Measurements
    from moe_costmodel.plans.plan import Plan
    from moe_costmodel.traces.sampling import routed_layers
    from moe_costmodel.traces.trace import RoutingTrace

    plans = [Plan.load(path) for path in arguments.plans]
    trace = RoutingTrace.load(arguments.trace) if arguments.trace else RoutingTrace.example()
    for path, plan in zip(arguments.plans, plans, strict=True):
        k = plan.shape.k if trace.is_load_only else trace.k
        sizes = (routed_layers([trace])[0].n_layers, trace.n_experts, k)
        planned = (plan.n_layers, plan.shape.n_experts, plan.shape.k)
        if sizes != planned:
            raise ValueError(
                f"{path}: the trace must be of the plan's {planned[0]} MoE layers of {planned[1]} "
                f"experts, {planned[2]} a token. Got {trace.source} with {sizes[0]} of "
                f"{sizes[1]}, {sizes[2]} a token instead; name the model's own with --trace."
            )
    file_to_write("--out", arguments.out)
    hardware = Hardware.here(threads=arguments.threads)
    latency, clock = None, arguments.clock
    if arguments.kernels:
        measured = Measurements.load(arguments.kernels)
        latency = LatencyModel.fit(measured, max_error=arguments.max_error)
        hardware = replace(measured.hardware, threads=arguments.threads)
        clock = measured.clock if measured.clock in ("wall", "cpu") else "wall"
    elif any(plan.n_devices > 1 for plan in plans):
        hardware = _with_exchange(hardware)
    verified = verify(
        plans, trace, hardware, latency, n_steps=arguments.steps, repeats=arguments.repeats,
        max_bytes=arguments.max_gib * 2**30, clock=clock, seed=arguments.seed,
        max_error=arguments.max_error,
    )  # fmt: skip
    rows = [
        {
            "plan": str(path),
            "predicted_s": item.predicted.tolist(),
            "measured_s": item.measured.tolist(),
            "interval_s": [item.low, item.high],
            "layers": list(item.layers),
            "misses": item.misses,
            "error": item.error,
            "extrapolated": list(item.outside),
        }
        for path, item in zip(arguments.plans, verified, strict=True)
    ]
    if arguments.out:
        content = json.dumps(plain(rows), indent=1, allow_nan=False)
        arguments.out.write_text(content + "\n", encoding="utf-8")
    if arguments.json:
        print_json({"hardware": hardware, "plans": rows})
        return
    print(f"{hardware.name}, {', '.join(f'{k} {v}' for k, v in hardware.versions.items())}")
    print(verify_table(verified))
    for path, item in zip(arguments.plans, verified, strict=True):
        own = item.plan.objectives.get("step_mean_s")
        if own is not None:
            print(
                f"  {path}: the plan itself predicts {own.value * 1e3:.3g} ms for a whole step on "
                f"{item.plan.provenance.get('hardware', 'hardware that it does not name')}"
                f"{', extrapolated' if item.plan.outside else ''}"
            )
    if arguments.out:
        print(f"{arguments.out}: written")


def _with_exchange(hardware: Hardware) -> Hardware:
    """Return the hardware with a link between devices, measured between two processes."""
    from moe_costmodel.measure.kernels import measure_kernels
    from moe_costmodel.shapes import LayerShape

    small = LayerShape(n_experts=2, k=1, d_model=8, d_ffn=8)
    kinds = ("copy", "all_to_all")
    return measure_kernels(hardware, [small], budget_s=30.0, kinds=kinds, progress=False).hardware
