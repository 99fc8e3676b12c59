"""The flit-level simulator against BookSim 2 on the shared designs, and its time.

    MOELA_DATA=... python -m tests.benchmarks.noc_simulator [--quick]

BookSim's own results have standard errors of 0.2 to 0.4 cycles. So each set is also simulated again
here, with about as many packets as BookSim had: the rank correlation of these short runs with the
long ones is what noise leaves of a perfect simulator. ``--quick`` takes every fourth design.
"""

import time

import numpy as np

from problems.noc import NoC3D, Platform
from tests.benchmarks import harness
from tests.benchmarks.harness import bar
from tests.benchmarks.noc_referee_data import rank, shared_designs, simulated_sets

BOOKSIM_PACKETS = 3600


def simulated(designs, s, routing, seed, error, cycles=200_000):
    rng = np.random.default_rng(seed)
    runs = [
        d.simulate(
            s.traffic, random_state=rng, standard_error=error, routing=routing, max_cycles=cycles
        )
        for d in designs
    ]
    return np.array([r.packet_latency for r in runs])


def main():
    parser = harness.script_parser(__doc__)
    parser.add_argument("--quick", action="store_true")
    step = 4 if parser.parse_args().quick else 1
    print(harness.machine())
    platform = Platform.paper_4x4x4()
    for s, kind, problem, every in simulated_sets(platform, "mean"):
        truth, designs = every[::step], [problem.decode(x) for x in s.rows[::step]]
        routing = "model" if kind == "deep" else "booksim"
        ours = simulated(designs, s, routing, 0, 0.15)
        error = 100 * np.abs(ours / truth - 1)
        name = f"{s.name}, {kind} buffers"
        bar(f"mean error in %, {name}", f"{error.mean():.2f}", "at most 3")
        bar(f"Spearman, {name}", f"{rank(ours, truth):.3f}", ".98")
        cycles = int(BOOKSIM_PACKETS * platform.packet_flits / s.traffic.sum())
        short = simulated(designs, s, routing, 1, 1e-6, max(cycles, 1000))
        print(f"{name}: worst error {error.max():.1f} %, noise cap {rank(short, ours):.3f}")
    seconds = []
    for s in shared_designs(platform):
        if s.level == 0.7:
            problem = NoC3D(s.traffic, platform=platform, objectives=("mean",))
            for x in s.rows[:6]:
                design = problem.decode(x)
                begin = time.process_time()
                result = design.simulate(s.traffic, random_state=np.random.default_rng(0))
                seconds.append(time.process_time() - begin)
                assert result.standard_error <= 0.3
    bar("64 tiles to a standard error of 0.3, s", f"{np.median(seconds):.2f}", "under 2")


if __name__ == "__main__":
    main()
