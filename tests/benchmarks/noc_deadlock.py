"""Deadlock of the shared designs: proof for each routing, virtual layers, and cycles of routes.

MOELA_DATA=... python -m tests.benchmarks.noc_deadlock [--quick]
"""

import numpy as np

from problems.noc import Design, NoC3D, Platform
from tests.benchmarks import tables
from tests.benchmarks.noc_referee_data import bar, shared_designs

ROUTINGS = ("model", "booksim", "up_down")


def main():
    parser = tables.script_parser(__doc__)
    parser.add_argument("--quick", action="store_true")
    step = 4 if parser.parse_args().quick else 1
    print(tables.machine())
    platform = Platform.paper_4x4x4()
    free, layers, cycles = [], {r: [] for r in ROUTINGS}, {r: [] for r in ROUTINGS}
    for s in shared_designs(platform):
        if s.level != 0.7:
            continue
        problem = NoC3D(s.traffic, platform=platform, objectives=("mean",))
        for x, front in zip(s.rows[::step], s.front[::step], strict=True):
            design = problem.decode(x)
            for routing in ROUTINGS:
                proof = design.deadlock_proof(routing, traffic=s.traffic)
                free.append(proof.free)
                cycles[routing].append(proof.hop_cycles)
                if front:
                    layers[routing].append(proof.n_layers)
    mesh = Design.mesh(platform).deadlock_proof("dimension_order")
    free.append(mesh.free and mesh.n_layers == 1)
    print("hop cycles over those of the shortest paths, mean over designs:")
    for routing in ROUTINGS:
        ratio = np.mean(np.array(cycles[routing]) / np.array(cycles["model"]))
        print(f"  {routing:10} {ratio:.3f}")
    bar("share of designs and routings proven free of deadlock", np.mean(free), "1", ".3f")
    for routing in ROUTINGS:
        bar(f"layers on fronts, {routing}, most", max(layers[routing]), "at most 4", "d")


if __name__ == "__main__":
    main()
