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
from pymoo.optimize import minimize

from moela import MOELA
from moela.rivals import MOOS
from problems.noc import Design, NoC3D
from problems.noc.baselines import express_mesh, folded_torus, optimize_placement
from tests.benchmarks import harness, rivals
from tests.benchmarks.harness import Case, Cases
from tests.benchmarks.noc_edp import Watched
from tests.benchmarks.noc_referee_data import bar

APPLICATIONS = ("bfs", "bp", "gau", "hotspot", "pf")
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


def searched(path: str, name: str, seed: int, budget: int) -> Case:
    """Return the design with the lowest product that a search evaluates."""
    problem = Watched.from_traffic(path, objectives=("energy", "packet_latency"))
    minimize(problem, SEARCHES[name](problem), ("n_eval", budget), seed=seed)
    return result_of(problem.decode(problem.best_row), problem.traffic)


def one(path: str, name: str, seed: int, budget: int, wires: float) -> Case:
    """Return the result of a search, or a regular network with the placement of annealing."""
    if name in SEARCHES:
        return searched(path, name, seed, budget)
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
    applications: tuple[str, ...] = APPLICATIONS
    if arguments.quick:
        budget, seeds, applications = 1000, range(1, 2), APPLICATIONS[:2]
    print(harness.machine())
    folder = harness.data_folder() / "noc"
    cases = Cases(arguments.store)
    worst = {(rival, way): -np.inf for rival in (*SEARCHES, *REGULAR) for way in ("model", "sim")}
    rows = [["application", *SEARCHES, *REGULAR, "", *SEARCHES, *REGULAR]]
    for app in applications:
        path = str(folder / f"{app}_traffic.csv")
        mesh = cases.get(f"{app} plain", lambda p=path: one(p, "mesh", 0, 1, 0.0))
        medians = {}
        for name in (*SEARCHES, *REGULAR):
            runs = []
            for seed in seeds:
                wires = 96.0
                if name == "express":
                    ours = cases.results[f"{app} MOELA {seed} {budget}"]
                    wires = max(ours["wire_length"], wires)
                make = (path, name, seed, budget)
                key = f"{app} {name} {seed} {budget}"
                runs.append(cases.get(key, lambda m=make, w=wires: one(*m, w)))
            for way, latency in (("model", "packet_latency"), ("sim", "simulated")):
                base = mesh["energy"] * mesh[latency]
                medians[name, way] = np.median(
                    [100 * r["energy"] * r[latency] / base for r in runs]
                )
        for name, way in worst:
            change = 100 * (medians["MOELA", way] / medians[name, way] - 1)
            worst[name, way] = max(worst[name, way], change)
        cells = {
            way: [f"{medians[n, way]:.1f}" for n in (*SEARCHES, *REGULAR)]
            for way in ("model", "sim")
        }
        rows.append([app, *cells["model"], "", *cells["sim"]])
    print("Percent of the plain mesh: by the model, then simulated\n")
    print(harness.markdown(rows))
    for way, text in (("model", "by the model"), ("sim", "simulated")):
        for name in (*SEARCHES, *REGULAR):
            if name != "MOELA":
                what = f"EDP over {name}, {text}, worst application, %"
                bar(what, worst[name, way], "below 0 (aim -10)", "+.1f")


if __name__ == "__main__":
    main()
