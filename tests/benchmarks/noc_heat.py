"""Peak temperature against HotSpot, and its time per design and per swap.

    MOELA_DATA=... python -m tests.benchmarks.noc_heat [--quick]

Peaks of HotSpot 6 are those of the shared designs. On the same designs, it is compared with finite
volumes that were not fitted to it (`steady_temperatures`), and with the stack model. Times are CPU
times on one core, the best of seven rounds. ``--quick`` makes two rounds, and compares the other
two models on every fourth design.
"""

import itertools
import time

import numpy as np

from problems.noc import NoC3D, Platform, steady_temperatures
from problems.noc.evaluation.volumes import peak_rises, response_matrix, swapped_peaks
from tests.benchmarks import harness
from tests.benchmarks.harness import bar, best_seconds
from tests.benchmarks.noc_referee_data import rank, shared_designs

CALLS = 20_000


def report_others(problem, s, step):
    """Print how far finite volumes and the stack model are from HotSpot's rise of the peak."""
    designs, ambient = [problem.decode(x) for x in s.rows[::step]], problem.platform.stack.ambient
    peaks = {
        "HotSpot": s.peak[::step],
        "finite volumes": np.array([steady_temperatures(d).max() for d in designs]),
        "stack model": np.array([d.temperatures().max() for d in designs]),
    }
    for a, b in itertools.combinations(peaks, 2):
        errors = 100 * np.abs((peaks[b] - ambient) / (peaks[a] - ambient) - 1)
        print(
            f"{b} against {a}, {s.app}: error of the rise {errors.mean():.1f} % on average, "
            f"{errors.max():.1f} % at most; Spearman {rank(peaks[a], peaks[b]):.3f}"
        )


def main():
    parser = harness.script_parser(__doc__)
    parser.add_argument("--quick", action="store_true")
    rounds, step = (2, 4) if parser.parse_args().quick else (7, 1)
    print(harness.machine())
    platform = Platform.paper_4x4x4()
    begin = time.process_time()
    response = np.ascontiguousarray(response_matrix(platform).T)
    print(f"response matrix: {time.process_time() - begin:.2f} s of CPU time, once a platform")
    problem = NoC3D.example("bfs", platform=platform, objectives=("peak_temperature",))
    sets = [s for s in shared_designs(platform) if s.level == 0.7]
    ours = [problem.evaluate(s.rows)[:, 0] for s in sets]
    ambient = platform.stack.ambient
    for s, peaks in zip(sets, ours, strict=True):
        error = 100 * np.abs((peaks - ambient) / (s.peak - ambient) - 1).mean()
        within = rank(peaks[s.front], s.peak[s.front])
        bar(f"mean error of the rise, {s.app}", f"{error:.2f}", "under 3 %")
        bar(f"Spearman within the front, {s.app}", f"{within:.3f}", ".99")
        report_others(problem, s, step)
    every = rank(np.concatenate(ours), np.concatenate([s.peak for s in sets]))
    bar("Spearman over all designs", f"{every:.3f}", ".99")

    placements = np.tile(sets[0].rows[:, : platform.n_tiles], (CALLS // len(sets[0].rows) + 1, 1))
    placements, out = np.ascontiguousarray(placements[:CALLS]), np.empty(CALLS)
    swaps = np.random.default_rng(0).integers(0, platform.n_tiles, (CALLS, 2))
    power = platform.power
    design = best_seconds(lambda: peak_rises(placements, power, response, out), rounds)
    swap = best_seconds(lambda: swapped_peaks(placements[0], swaps, power, response, out), rounds)
    bar("heat, microseconds a design", f"{1e6 * design / CALLS:.2f}", "at most 5")
    bar("heat, microseconds a swap", f"{1e6 * swap / CALLS:.2f}", "at most 1")


if __name__ == "__main__":
    main()
