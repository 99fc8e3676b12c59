"""`moela moe headroom`: the gain of keeping some experts in fast memory, before it is built."""

from __future__ import annotations

import argparse
from pathlib import Path

from moela.commands.output import add_json, picture_to_write, print_json
from moela.commands.parser import add_examples, positive


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    # fmt: off
    add = parser.add_argument
    add("trace", nargs="?", type=Path, metavar="TRACE",
        help="trace: npz, or any file that `moela trace convert` reads (default: the example)")
    add("--against", type=Path, metavar="TRACE",
        help="other traffic to score on (default: the second half of the trace)")
    add("--slots", type=positive, metavar="N", help="experts of each layer in fast memory")
    add("--share", type=float, default=0.5, metavar="X",
        help="share of the experts in fast memory, without --slots")
    add("--top-k", type=positive, metavar="K", help="experts of a token, for sums over steps")
    add("--size", type=positive, default=1, metavar="N", help="sequences decoded together")
    add("--cost", type=float, nargs=3, default=[4.18, 0.047, 0.142],
        metavar=("BASE", "MISS", "UPLOAD"), help="milliseconds of a step, a miss, and an upload")
    add("--hidden", type=float, default=0.0, metavar="MS",
        help="time of uploads that a step overlaps with computation, in ms")
    add("--plot", type=Path, metavar="PNG", help="write a picture")
    # fmt: on
    add_json(parser)
    add_examples(
        parser,
        "moela moe headroom run.npz --slots 32 --plot headroom.png",
        "moela moe headroom monday.npz --against tuesday.npz --cost 4.18 0.047 0.142",
    )


def run(arguments: argparse.Namespace) -> None:
    """Print misses, uploads, and times of several rules, and whether to build one."""
    from moe_costmodel.offloading.cost import MissCost
    from moe_costmodel.offloading.headroom import headroom
    from moe_costmodel.traces.trace import RoutingTrace

    trace = RoutingTrace.load(arguments.trace) if arguments.trace else RoutingTrace.example()
    base, miss, upload = (value * 1e-3 for value in arguments.cost)
    picture_to_write("--plot", arguments.plot)
    found = headroom(
        trace,
        slots=arguments.slots,
        share=arguments.share,
        cost=MissCost(base, miss, upload, arguments.hidden * 1e-3),
        batch_size=arguments.size,
        against=RoutingTrace.load(arguments.against) if arguments.against else None,
        top_k=arguments.top_k,
    )
    if arguments.plot:
        found.plot().savefig(arguments.plot)
    if arguments.json:
        rows = [
            {
                "name": row.name,
                "misses": row.misses if row.misses == row.misses else None,
                "uploads": row.uploads if row.uploads == row.uploads else None,
                "seconds": row.seconds,
                "tokens_per_s": found.batch_size / row.seconds,
            }
            for row in found.rows.values()
        ]
        print_json({"source": found.source, "slots": found.slots, "rows": rows,
                    "residents": found.residents, "verdict": found.verdict()})  # fmt: skip
        return
    print(found)
    if arguments.plot:
        print(f"{arguments.plot}: written")
