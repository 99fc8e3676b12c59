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

from problems._arrays import Floats
from problems.noc import Design, Platform
from problems.noc.evaluation.latency import waits_batch
from problems.noc.evaluation.metrics import flit_sharing, second_moment
from problems.noc.evaluation.routes import cycles_along, hop_matrix, paths_of
from problems.noc.evaluation.stalls import nothing_held
from tests.benchmarks import harness
from tests.benchmarks.harness import Case, Cases, bar
from tests.benchmarks.noc_referee_data import rank, simulated_sets

ERROR = 0.05


def latency_on(design: Design, traffic: Floats, routing: str) -> float:
    """Return the packet latency of a design by the model, on routes by name.

    Packets must fit into virtual channels.
    """
    platform = design.platform
    n, ports = platform.n_tiles, platform.max_degree + 1
    cost = hop_matrix(n, design.all_links(), design.hop_cycles())
    paths = paths_of(design, routing)
    flows = traffic[np.ix_(design.placement, design.placement)] * ~np.eye(n, dtype=bool)
    neighbors = [np.flatnonzero(cost[u]).tolist() for u in range(n)]
    place = [{v: k for k, v in enumerate(near)} for near in neighbors]
    wiring = np.zeros((n, ports - 1, 3), dtype=np.int64)
    for u, near in enumerate(neighbors):
        for k, v in enumerate(near):
            wiring[u, k] = v, place[v][u], cost[u, v]
    transits = np.zeros((n, ports, ports))
    for u, v in np.argwhere(flows > 0).tolist():
        start = int(paths.start[u, v])
        tiles = paths.tiles[start : start + int(paths.length[u, v])].tolist()
        for k, tile in enumerate(tiles):
            entry = place[tile][tiles[k - 1]] if k else ports - 1
            leave = place[tile][tiles[k + 1]] if k + 1 < len(tiles) else ports - 1
            transits[tile, entry, leave] += flows[u, v]
    waits = np.empty((1, 1))
    packet = (platform.packet_flits, second_moment(platform), flit_sharing(platform))
    buffers = (platform.virtual_channels, platform.channel_flits or 0)
    gaps = np.ones((1, n, ports))  # all channels are as wide
    channels = (transits[None, None], wiring[None], gaps, platform.link_capacity)
    waits_batch(*channels, *packet, *buffers, *nothing_held(1, 1), waits)
    crossing = float((flows * cycles_along(cost, paths)).sum() + waits[0, 0])
    return crossing / float(flows.sum()) + (platform.packet_flits - 1) / platform.link_capacity


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
    bar(f"mean error in %, {name}", f"{error.mean():.2f}", mean)
    bar(f"worst error in %, {name}", f"{error.max():.1f}", worst)
    bar(f"Spearman within the front, {name}", f"{rank(ours[front], truth[front]):.3f}", within)
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
