"""Packet latency of the model against BookSim 2 on the shared designs.

    MOELA_DATA=... python -m tests.benchmarks.noc_referees [--quick] [--store FILE]

The designs were simulated with the true traffic, with 4 flits in each of 4 virtual channels, and at
0.7 of saturation also with 32 flits in each of 8. The deep runs took the library's routes, the
others BookSim's own shortest paths, which break ties differently. So with shallow buffers the model
is compared twice: as it is, and on the routes that BookSim took.

BookSim's results with shallow buffers have standard errors of 0.2 to 0.4 cycles, about as much as
the designs of a front differ by. So the fronts are also simulated by the library, on BookSim's
routes, to a standard error of 0.05 cycles: their rank correlation with BookSim's results is what
that noise leaves of any model, and that with the model is free of the noise. Finished simulations
are kept in the file; ``--quick`` leaves those out that are not.
"""

import numpy as np

from problems.noc import Platform
from tests.benchmarks import harness
from tests.benchmarks.harness import Case, Cases
from tests.benchmarks.noc_referee_data import bar, rank, simulated_sets
from tests.benchmarks.noc_routes import latency_on

ERROR = 0.05


def simulated(problem, rows, traffic) -> Case:
    """Return the latency of each row by simulation on BookSim's routes."""
    return {
        str(k): problem.decode(x)
        .simulate(
            traffic, random_state=np.random.default_rng(k), standard_error=ERROR,
            routing="booksim", max_cycles=400_000,
        )
        .packet_latency
        for k, x in enumerate(rows)
    }  # fmt: skip


def report(name, ours, truth, front, must) -> None:
    """Print the bars of one set of designs."""
    error = 100 * np.abs(ours / truth - 1)
    mean, worst, within = must
    bar(f"mean error in %, {name}", error.mean(), mean, ".2f")
    bar(f"worst error in %, {name}", error.max(), worst, ".1f")
    bar(f"Spearman within the front, {name}", rank(ours[front], truth[front]), within)
    print(f"Spearman over all, {name}: {rank(ours, truth):.3f}")


def main():
    parser = harness.script_parser(__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--store", default="tests/benchmarks/results/noc_referees.json")
    arguments = parser.parse_args()
    cases = Cases(arguments.store)
    print(harness.machine())
    platform = Platform.paper_4x4x4()
    must = {
        ("deep", 0.7): ("under 3 %", "8 %", ".97"),
        ("shallow", 0.4): ("under 4 %", "10 %", ".95"),
        ("shallow", 0.7): ("under 4 %", "10 %", ".85"),
    }
    for s, kind, problem, truth in simulated_sets(platform, "packet_latency"):
        ours = problem.evaluate(s.rows)[:, 0]
        name = f"{s.name}, {kind} buffers"
        report(name, ours, truth, s.front, must[kind, s.level])
        if kind == "deep":
            continue
        designs = [problem.decode(x) for x in s.rows]
        same = np.array([latency_on(d, s.traffic, "booksim") for d in designs])
        on_routes = f"{name}, on BookSim's routes"
        report(on_routes, same, truth, s.front, must[kind, s.level])
        if arguments.quick and name not in cases.results:
            continue
        front = s.rows[s.front]
        case = cases.get(name, lambda p=problem, x=front, t=s.traffic: simulated(p, x, t))
        precise = np.array([case[str(k)] for k in range(len(front))])
        error = 100 * np.abs(same[s.front] / precise - 1)
        print(
            f"within the front, {on_routes}: precise simulation with BookSim "
            f"{rank(precise, truth[s.front]):.3f}, model with precise simulation "
            f"{rank(same[s.front], precise):.3f}, its error {error.mean():.1f} % on average, "
            f"{error.max():.1f} % at most"
        )


if __name__ == "__main__":
    main()
