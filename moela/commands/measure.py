"""`moela measure`: time the kernels of Mixture-of-Experts inference on this machine, as JSON."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from moela.commands.output import add_json, file_to_write, print_json
from moela.commands.parser import add_examples, positive

if TYPE_CHECKING:
    from moe_costmodel.shapes import LayerShape


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    # fmt: off
    add = parser.add_argument
    add("--out", type=Path, default=Path("kernels.json"), metavar="JSON",
        help="file to write")
    add("--hardware", type=Path, metavar="JSON", help="the machine (default: detected)")
    add("--shape", action="append", type=parse_shape, metavar="E,K,D,F[,gated]",
        help="a layer: number of experts, experts per token, model width, expert width; may be "
             "repeated")
    add("--dtype", action="append", metavar="TYPE",
        help="torch data type; may be repeated (default: float32)")
    add("--budget-s", type=float, default=120.0, metavar="S", help="seconds for all measurements")
    add("--threads", type=positive, default=1, metavar="N", help="threads of the kernels (CPU)")
    add("--clock", choices=("wall", "cpu"),
        help="elapsed time, or that of the process (default: cpu for one thread, else wall)")
    add("--no-exchange", action="store_true", help="skip the exchange between two processes")
    add("--quiet", action="store_true", help="no progress bar")
    # fmt: on
    add_json(parser)
    add_examples(
        parser,
        "moela measure --budget-s 300 --out kernels.json",
        "moela measure --shape 64,6,2048,1408,gated --dtype bfloat16 --threads 8",
    )


def run(arguments: argparse.Namespace) -> None:
    """Measure, write, and print the results; an interrupted measurement is written, too."""
    from moe_costmodel.hardware import Hardware
    from moe_costmodel.measure.kernels import DEFAULT_SHAPES, measure_kernels
    from moe_costmodel.measure.measurements import KINDS

    hardware = Hardware.load(arguments.hardware) if arguments.hardware else None
    file_to_write("--out", arguments.out)
    measured = measure_kernels(
        hardware or Hardware.here(threads=arguments.threads),
        arguments.shape or DEFAULT_SHAPES,
        arguments.dtype or ("float32",),
        arguments.budget_s,
        kinds=[k for k in KINDS if k != "all_to_all" or not arguments.no_exchange],
        clock=arguments.clock,
        progress=not arguments.quiet and sys.stderr.isatty(),
        path=arguments.out,
    )
    if arguments.json:
        print_json(
            {
                "out": str(arguments.out), "points": len(measured.records),
                "hardware": measured.hardware, "notes": measured.notes,
            }
        )  # fmt: skip
        return
    print(f"{arguments.out}: {len(measured.records)} points on {measured.hardware.name}")
    for name, link in sorted(measured.hardware.links.items()):
        print(f"  {name}: {link.bandwidth / 1e9:.2f} GB/s, {link.latency * 1e6:.0f} us")
    for note in measured.notes:
        print(f"  note: {note}")


def parse_shape(text: str) -> LayerShape:
    """Return the LayerShape of an option: experts, experts per token, two widths, gated."""
    from moe_costmodel.shapes import LayerShape

    parts = text.split(",")
    gated = parts[-1].strip() == "gated"
    try:
        experts, k, width, inner = (int(part) for part in parts[: len(parts) - gated])
        return LayerShape(n_experts=experts, k=k, d_model=width, d_ffn=inner, gated=gated)
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f"must be E,K,D,F or E,K,D,F,gated (64,6,2048,1408,gated); got {text!r} ({error})"
        ) from error
