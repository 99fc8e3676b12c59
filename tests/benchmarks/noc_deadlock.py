"""Deadlock: proofs of the shared designs for each routing, and of MOELA's fronts by layered paths.

    MOELA_DATA=... python -m tests.benchmarks.noc_deadlock [--quick]

The fronts minimize energy and packet latency with the routing "lash", with at most four and at most
two virtual layers. The lowest energy-delay product is compared with that of a run that may use any
shortest paths, at equal evaluations. ``--quick`` takes every fourth design, one application and 500
evaluations.
"""

from dataclasses import replace

import numpy as np
from pymoo.optimize import minimize

from moela import MOELA
from problems.noc import Design, NoC3D, Platform
from tests.benchmarks import harness
from tests.benchmarks.harness import bar
from tests.benchmarks.noc_referee_data import shared_designs

APPLICATIONS = ("bfs", "hotspot")
ROUTINGS = ("model", "booksim", "up_down")


def front_of(app, platform, budget, constraints):
    """Return the lowest energy-delay product of a run, and layers and proofs of its front."""
    problem = NoC3D.from_traffic(
        harness.data_folder() / "noc" / f"{app}_traffic.csv",
        platform=platform,
        objectives=("energy", "packet_latency"),
        constraints=constraints,
    )
    result = minimize(problem, MOELA(), ("n_eval", budget), seed=1)
    proofs = [problem.decode(x).deadlock_proof() for x in result.X]
    return result.F.prod(axis=1).min(), [p.n_layers for p in proofs], [p.free for p in proofs]


def report_fronts(platform, quick):
    """Print layers and costs of fronts under limits of virtual layers."""
    budget = 500 if quick else 3000
    lash = replace(platform, routing="lash")
    for app in APPLICATIONS[: 1 if quick else None]:
        free, _, _ = front_of(app, platform, budget, None)
        for most in (4, 2):
            product, layers, proven = front_of(app, lash, budget, {"virtual_layers": most})
            what = f"layers on MOELA's front, {app}, limit {most}, most"
            bar(what, max(layers), "at most 4")
            bar(f"share of that front proven free, {app}", f"{np.mean(proven):.3f}", "1")
            print(f"  lowest EDP over that without a limit: {100 * (product / free - 1):+.1f} %")


def report_costs(platform):
    """Print what routings cost on sampled designs, and virtual layers in simulations of two."""
    problem = NoC3D.example("bfs", platform=platform)
    X = problem.operators()["sampling"]._do(problem, 30, random_state=np.random.default_rng(0))
    tree = NoC3D(problem.traffic, platform=replace(platform, routing="up_down"))
    names = ("packet_latency", "energy", "peak_load")
    a, b = problem.measure(X, names), tree.measure(X, names)
    ratios = ", ".join(f"{name} {np.mean(b[name] / a[name]):.2f}" for name in names)
    print(f"up_down over shortest, mean of {len(X)} sampled designs: {ratios}")
    for load in (0.2, 0.5):
        ratios = []
        for design in map(problem.decode, X[[4, 7]]):
            latencies = []
            for routing in ("lash", "shortest"):
                run = design.simulate(
                    problem.traffic, load=load, random_state=np.random.default_rng(1),
                    standard_error=0.1, routing=routing,
                )  # fmt: skip
                latencies.append(run.packet_latency)
            ratios.append(f"{latencies[0] / latencies[1]:.3f}")
        print(f"simulated latency of lash over shortest at {load}: {', '.join(ratios)}")


def main():
    parser = harness.script_parser(__doc__)
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    step = 4 if quick else 1
    print(harness.machine())
    platform = Platform.paper_4x4x4()
    free, layers = [], {routing: [] for routing in ROUTINGS}
    for s in shared_designs(platform):
        if s.level != 0.7:
            continue
        problem = NoC3D(s.traffic, platform=platform, objectives=("mean",))
        for x, front in zip(s.rows[::step], s.front[::step], strict=True):
            design = problem.decode(x)
            for routing in ROUTINGS:
                proof = design.deadlock_proof(routing, traffic=s.traffic)
                free.append(proof.free)
                if front:
                    layers[routing].append(proof.n_layers)
    mesh = Design.mesh(platform).deadlock_proof("dimension_order")
    free.append(mesh.free and mesh.n_layers == 1)
    bar("share of designs and routings proven free of deadlock", f"{np.mean(free):.3f}", "1")
    for routing in ROUTINGS:
        bar(f"layers on fronts, {routing}, most", max(layers[routing]), "at most 4")
    report_costs(platform)
    report_fronts(platform, quick)


if __name__ == "__main__":
    main()
