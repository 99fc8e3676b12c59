"""Energy-delay product of MOELA's designs against rivals, mesh, folded torus and express mesh.

    MOELA_DATA=... python -m tests.benchmarks.noc_baselines [--quick] [--store FILE]

Every method evaluates as many designs. MOELA, MOOS and MOEA/D minimize energy and packet latency;
simulated annealing minimizes the energy-delay product over the placements on the three regular
networks, whose torus has 128 links against the platform's 96. The express mesh has the wires of
MOELA's design. The result of each run is its lowest product by the model, and that design with the
latency that our simulator finds under the application's own traffic. Finished cases are kept in the
file. ``--quick`` makes one seed of two applications at 1,000 evaluations.
"""

from __future__ import annotations

import numpy as np

from moela import MOELA
from moela.rivals import MOOS
from problems.noc import Design, NoC3D
from problems.noc.baselines import express_mesh, folded_torus, optimize_placement
from tests.benchmarks import harness, rivals
from tests.benchmarks.harness import Case, Cases, bar
from tests.benchmarks.noc_edp import APPLICATIONS, searched

SEARCHES = {
    "MOELA": lambda _: MOELA(),
    "MOOS": lambda _: MOOS(),
    "MOEA/D": lambda problem: rivals.moead(problem, pop=50),
}
REGULAR = ("mesh", "torus", "express")
ERROR = 0.1  # standard error of the simulated latency in cycles


def result_of(design: Design, traffic: np.ndarray) -> Case:
    """Return energy, both latencies, and the wires of a design."""
    problem = NoC3D(traffic, platform=design.platform, objectives=("energy", "packet_latency"))
    names = ("energy", "packet_latency", "wire_length")
    values = problem.measure(problem.encode(design), names)
    run = design.simulate(
        traffic, random_state=np.random.default_rng(0), standard_error=ERROR, max_cycles=400_000
    )
    found: Case = {name: float(values[name][0]) for name in names}
    found["row"] = np.ravel(problem.encode(design)).tolist()
    return found | {"simulated": run.packet_latency, "standard_error": run.standard_error}


def one(path: str, name: str, seed: int, budget: int, wires: float) -> Case:
    """Return the result of a search, or a regular network with the placement of annealing."""
    if name in SEARCHES:
        found = searched(path, ("energy", "packet_latency"), SEARCHES[name], budget, seed)
        return result_of(found.decode(found.best_row), found.traffic)
    problem = NoC3D.from_traffic(path, objectives=("edp",))
    platform = problem.platform
    design = Design.mesh(platform)
    if name == "torus":
        design = folded_torus(platform)
    elif name == "express":
        design = express_mesh(platform, wire_length=wires)
    rng = np.random.default_rng(seed)
    best = optimize_placement(design, problem.traffic, random_state=rng, n_eval=budget)
    return result_of(best, problem.traffic)


def main() -> None:
    parser = harness.script_parser(__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--budget", type=int, default=5000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--store", default="tests/benchmarks/results/noc_baselines.json")
    arguments = parser.parse_args()
    budget, seeds = arguments.budget, range(1, arguments.seeds + 1)
    applications = APPLICATIONS
    if arguments.quick:
        budget, seeds, applications = 1000, range(1, 2), APPLICATIONS[:2]
    print(harness.machine())
    folder = harness.data_folder() / "noc"
    cases = Cases(arguments.store)
    ways = {"by the model": "packet_latency", "simulated": "simulated"}
    names = (*SEARCHES, *REGULAR)
    changes: dict[tuple[str, str], list[float]] = {}
    rows = [["application", *names, "", *names]]
    for app in applications:
        path = str(folder / f"{app}_traffic.csv")
        mesh = cases.get(f"{app} plain", lambda p=path: one(p, "mesh", 0, 1, 0.0))
        runs: dict[str, list[Case]] = {name: [] for name in names}
        for name in names:
            for seed in seeds:
                wires = 96.0
                if name == "express":
                    ours = cases.results[f"{app} MOELA {seed} {budget}"]
                    wires = max(ours["wire_length"], wires)
                make = (path, name, seed, budget, wires)
                key = f"{app} {name} {seed} {budget}"
                runs[name].append(cases.get(key, lambda m=make: one(*m)))
        cells: list[list[str]] = []
        for way, latency in ways.items():
            base = mesh["energy"] * mesh[latency]
            medians = {
                name: np.median([100 * r["energy"] * r[latency] / base for r in runs[name]])
                for name in names
            }
            for name in names:
                change = 100 * (medians["MOELA"] / medians[name] - 1)
                changes.setdefault((way, name), []).append(change)
            cells.append([f"{median:.1f}" for median in medians.values()])
        rows.append([app, *cells[0], "", *cells[1]])
    print("Percent of the plain mesh: by the model, then simulated\n")
    print(harness.markdown(rows))
    for (way, name), of_apps in changes.items():
        if name != "MOELA":
            what = f"EDP over {name}, {way}, worst application, %"
            bar(what, f"{max(of_apps):+.1f}", "below 0 (aim -10)")


if __name__ == "__main__":
    main()
