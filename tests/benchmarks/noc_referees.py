"""Packet latency of the model against BookSim 2 on the shared designs.

    MOELA_DATA=... python -m tests.benchmarks.noc_referees

The designs were simulated with the true traffic, with 4 flits in each of 4 virtual channels, and at
0.7 of saturation also with 32 flits in each of 8. The deep runs took the library's routes, the
others BookSim's own shortest paths.
"""

from dataclasses import replace

import numpy as np

from problems.noc import NoC3D, Platform
from tests.benchmarks import tables
from tests.benchmarks.noc_referee_data import bar, rank, shared_designs

BUFFERS = {"deep": (8, 32), "shallow": (4, 4)}


def main():
    tables.script_parser(__doc__).parse_args()
    print(tables.machine())
    platform = Platform.paper_4x4x4()
    must = {
        ("deep", 0.7): ("under 3 %", "8 %", ".97"),
        ("shallow", 0.4): ("under 4 %", "10 %", ".95"),
        ("shallow", 0.7): ("under 4 %", "10 %", ".85"),
    }
    for s in shared_designs(platform):
        for kind, (channels, flits) in BUFFERS.items():
            truth = s.deep if kind == "deep" else s.shallow
            if np.isnan(truth).any():
                continue
            chip = replace(platform, virtual_channels=channels, channel_flits=flits)
            problem = NoC3D(s.traffic, platform=chip, objectives=("packet_latency",))
            ours = problem.evaluate(s.rows)[:, 0]
            error = 100 * np.abs(ours / truth - 1)
            mean, worst, within = must[kind, s.level]
            name = f"{s.name}, {kind} buffers"
            bar(f"mean error in %, {name}", error.mean(), mean, ".2f")
            bar(f"worst error in %, {name}", error.max(), worst, ".1f")
            bar(f"Spearman within the front, {name}", rank(ours[s.front], truth[s.front]), within)
            print(f"Spearman over all, {name}: {rank(ours, truth):.3f}")


if __name__ == "__main__":
    main()
