"""Metrics in physical units and links between dies: time, and the packet model beside simulation.

    python -m tests.benchmarks.noc_physical [--quick]

Times are CPU times on one core, the best of several rounds. Packages of 16 routers with narrow
links between dies, under uniform and under local traffic, are simulated flit by flit, and the
packet model is compared with the means.
"""

import time
from dataclasses import replace

import numpy as np

from problems.noc import Design, DieLink, NoC3D, Platform, chiplet_package
from problems.noc.evaluation.physical import PHYSICAL_UNITS
from tests.benchmarks import harness
from tests.benchmarks.noc_referee_data import bar

ROUNDS = 7
PAPER = ("mean", "deviation", "latency", "energy", "thermal")


def best(work):
    """Return the fewest CPU seconds of a call; the first one compiles and does not count."""
    work()
    times = []
    for _ in range(ROUNDS):
        begin = time.process_time()
        work()
        times.append(time.process_time() - begin)
    return min(times)


def report_times(n):
    """Print what the physical metrics cost beside the five objectives of the paper."""
    plain = NoC3D.example("bfs", objectives=PAPER)
    platform = replace(Platform.paper_4x4x4(), technology="32nm")
    units = NoC3D(plain.traffic, platform=platform, objectives=PAPER)
    rows = plain.operators()["sampling"]._do(plain, n, random_state=np.random.default_rng(0))
    before, after = (best(lambda p=p: p.evaluate(rows)) / n for p in (plain, units))
    every = best(lambda: units.measure(rows, [*PAPER, *PHYSICAL_UNITS])) / n
    print(f"five objectives: {1e6 * before:.1f} us a design, with a technology {1e6 * after:.1f}")
    bar("all nine physical metrics, share of the time of the five objectives",
        (every - after) / before, "at most 0.5", ".2f")  # fmt: skip


def packages():
    """Yield the name, platform and traffic of each case."""
    rng = np.random.default_rng(0)
    uniform = rng.random((16, 16)) * 0.001
    near = uniform * (0.1 + 0.9 * (np.arange(16)[:, None] // 4 == np.arange(16) // 4))
    for rate in (0.5, 0.25):
        link = DieLink(latency=2.0, energy=0.6, bandwidth=16.0 * rate)
        for name, grid, routers in (("16 dies", (4, 4), (1, 1)), ("4 dies", (2, 2), (2, 2))):
            for kind, traffic in (("uniform", uniform), ("local", near)):
                chip = chiplet_package(grid, routers=routers, link=link, max_length=2.0)
                yield f"{name}, {rate:g} flits/cycle, {kind}", chip, traffic


def report_simulation(quick):
    """Print the error of the packet model for packages at 0.02, 0.4 and 0.7 of saturation."""
    print(f"\n{'package':36}{'load':>6}{'simulated':>11}{'error':>8}{'model':>8}{'difference':>12}")
    errors = {}
    for name, chip, traffic in packages():
        problem = NoC3D(traffic, platform=chip, objectives=("packet_latency", "peak_load"))
        row = problem.operators()["sampling"]._do(
            problem, 3, random_state=np.random.default_rng(1)
        )[-1]
        peak = problem.measure(row, ["peak_load"])["peak_load"][0]
        design = Design(row[:16], chip.candidates[row[16:]], chip)
        for load in (0.02, 0.4, 0.7):
            result = design.simulate(
                traffic, load=load, random_state=np.random.default_rng(2),
                standard_error=0.3 if quick else 0.1,
            )  # fmt: skip
            factor = result.load / max(peak, problem.measure(row, ["port_load"])["port_load"][0])
            model = problem.under(traffic * factor).evaluate(row)[0]
            difference = model / result.packet_latency - 1.0
            errors.setdefault(load, []).append(difference)
            print(f"{name:36}{load:6.2f}{result.packet_latency:11.2f}{result.standard_error:8.2f}"
                  f"{model:8.2f}{100 * difference:11.1f} %", flush=True)  # fmt: skip
    for load, limit in ((0.02, 3), (0.4, 3), (0.7, 5)):
        mean = 100 * np.abs(errors[load]).mean()
        worst = 100 * np.abs(errors[load]).max()
        bar(f"mean error of packet_latency at {load:g}", mean, f"under {limit} %", ".1f")
        bar(f"worst error of packet_latency at {load:g}", worst, f"under {2 * limit} %", ".1f")


def main():
    parser = harness.script_parser(__doc__)
    parser.add_argument("--quick", action="store_true", help="under a minute")
    given = parser.parse_args()
    print(harness.machine())
    report_times(200 if given.quick else 2000)
    report_simulation(given.quick)


if __name__ == "__main__":
    main()
