"""Peak temperature against HotSpot, and its time per design and per swap.

    MOELA_DATA=... python -m tests.benchmarks.noc_heat

Peaks of HotSpot 6 are those of the shared designs. Times are CPU times on one core, the best of
several rounds.
"""

import time

import numpy as np

from problems.noc import NoC3D, Platform
from problems.noc.evaluation.volumes import peak_rises, response_matrix, swapped_peaks
from tests.benchmarks import harness
from tests.benchmarks.noc_referee_data import bar, rank, shared_designs

ROUNDS, CALLS = 7, 20_000


def best(work):
    """Return the fewest CPU seconds of a call; the first one compiles and does not count."""
    work()
    times = []
    for _ in range(ROUNDS):
        begin = time.process_time()
        work()
        times.append(time.process_time() - begin)
    return min(times)


def main():
    harness.script_parser(__doc__).parse_args()
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
        error = np.abs((peaks - ambient) / (s.peak - ambient) - 1).mean()
        bar(f"mean error of the rise, {s.app}", 100 * error, "under 3 %", ".2f")
        bar(f"Spearman within the front, {s.app}", rank(peaks[s.front], s.peak[s.front]), ".99")
    every = np.concatenate(ours), np.concatenate([s.peak for s in sets])
    bar("Spearman over all designs", rank(*every), ".99")

    placements = np.tile(sets[0].rows[:, : platform.n_tiles], (CALLS // len(sets[0].rows) + 1, 1))
    placements, out = np.ascontiguousarray(placements[:CALLS]), np.empty(CALLS)
    swaps = np.random.default_rng(0).integers(0, platform.n_tiles, (CALLS, 2))
    power = platform.power
    design = best(lambda: peak_rises(placements, power, response, out))
    swap = best(lambda: swapped_peaks(placements[0], swaps, power, response, out))
    bar("heat, microseconds a design", 1e6 * design / CALLS, "at most 5", ".2f")
    bar("heat, microseconds a swap", 1e6 * swap / CALLS, "at most 1", ".2f")


if __name__ == "__main__":
    main()
