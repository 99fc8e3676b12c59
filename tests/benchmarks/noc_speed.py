"""Speed of NoC3D on one core: evaluation, operators and start, as ratios within one run.

    python -m tests.benchmarks.noc_speed

If MOELA_DATA is set, the stored designs under real traffic are timed, too. Times are CPU times, the
best of several rounds, unless wall time is named. ``tests.benchmarks.noc_growth`` measures threads,
larger chips and memory.
"""

import itertools
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import networkx as nx
import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import dijkstra

from problems.noc import NoC3D
from tests.benchmarks import harness

RELEASED_PER_SECOND = 2.5  # the released evaluator, on two cores

START = """
import time; begin = time.perf_counter()
import numpy as np
from problems.noc import NoC3D
imported = time.perf_counter()
problem = NoC3D.example("bfs")
problem.evaluate(problem.mesh_row())
evaluated = time.perf_counter()
operators, rng = problem.operators(), np.random.default_rng(0)
X = operators["sampling"]._do(problem, 4, random_state=rng)
operators["mutation"]._do(problem, X, random_state=rng)
operators["crossover"]._do(problem, np.stack((X, X)), random_state=rng)
problem.neighbors(X[0], 4, rng)
problem.features(X)
print(imported - begin, evaluated - imported, time.perf_counter() - evaluated)
"""


def best(work, rounds=5):
    """Return the lowest CPU seconds of a call."""
    work()
    times = []
    for _ in range(rounds):
        begin = time.process_time()
        work()
        times.append(time.process_time() - begin)
    return min(times)


def report_rates(sets, stored):
    """Print designs per second for sets of designs under both models."""
    print(f"\n{'designs per second, one core':34}{'published':>12}{'released':>12}{'mean us':>10}")
    rates = {}
    for name, (problems, X) in sets.items():
        seconds = [best(lambda p=p, X=X: p.evaluate(X)) for p in problems]
        per = [len(X) / s for s in seconds]
        rates[name] = per[0]
        print(f"{name:34}{per[0]:12,.0f}{per[1]:12,.0f}{1e6 / per[0]:10.1f}")
    if not stored:
        print("(set MOELA_DATA for the stored designs)")
    for name, rate in rates.items():
        print(f"{name}: {rate / RELEASED_PER_SECOND:,.0f} times the released evaluator's ~2.5/s")


def loads_with_networkx(problem, design):
    """Route one design with networkx and add up its link loads; ties are broken arbitrarily."""
    graph = nx.Graph()
    graph.add_weighted_edges_from(link_costs(problem, design))
    load = {}
    for source, paths in nx.all_pairs_dijkstra_path(graph):
        for target, path in paths.items():
            flow = problem.traffic[design.placement[source], design.placement[target]]
            for hop in itertools.pairwise(path):
                key = min(hop), max(hop)
                load[key] = load.get(key, 0.0) + flow
    return sum(load.values()) / problem.platform.n_links


def loads_with_scipy(problem, design):
    """Route one design with scipy.sparse.csgraph; add up its link loads along all paths at once."""
    n = problem.platform.n_tiles
    a, b, cost = np.array(link_costs(problem, design)).T
    a, b = a.astype(int), b.astype(int)
    graph = coo_array((np.r_[cost, cost], (np.r_[a, b], np.r_[b, a])), shape=(n, n)).tocsr()
    _, before = dijkstra(graph, return_predecessors=True)
    flow = problem.traffic[np.ix_(design.placement, design.placement)]
    load = np.zeros((n, n))
    source, tile = (part.ravel() for part in np.indices((n, n)))
    weight = flow.ravel()
    while source.size:
        previous = before[source, tile]
        going = previous >= 0
        source, tile, weight, previous = (v[going] for v in (source, tile, weight, previous))
        np.add.at(load, (previous, tile), weight)
        tile = previous
    return load.sum() / problem.platform.n_links


def link_costs(problem, design):
    """Return (tile, tile, cost) of every link."""
    tables = problem.platform.tables
    index = np.r_[
        problem.encode(design)[problem.platform.n_tiles :],
        np.arange(tables.n_candidates, tables.link_a.size),
    ]
    return [(int(tables.link_a[c]), int(tables.link_b[c]), int(tables.link_cost[c])) for c in index]


def report_other_tools(problem, X):
    """Print how much slower general graph libraries are on the same designs."""
    designs = [problem.decode(x) for x in X[:10]]
    kernel = best(lambda: problem.evaluate(X)) / len(X)
    print("\nrouting and link loads alone, against all five objectives here")
    for name, route in (("networkx", loads_with_networkx), ("scipy csgraph", loads_with_scipy)):
        begin = time.process_time()
        means = [route(problem, design) for design in designs]
        seconds = (time.process_time() - begin) / len(designs)
        # Means differ a little, because each library breaks ties in another way.
        np.testing.assert_allclose(means, problem.evaluate(X[:10])[:, 0], rtol=0.05)
        print(f"{name:20}{1 / seconds:10,.0f} designs/s   {seconds / kernel:8,.0f} times slower")


def report_variation(problem, X):
    """Print the times of the operators relative to an evaluation."""
    operators = problem.operators()
    rng = np.random.default_rng(1)
    half = len(X) // 2
    evaluation = best(lambda: problem.evaluate(X)) / len(X)
    related = operators["mutation"]._do(problem, X, random_state=rng)
    some = X[: len(X) // 20]
    near = problem.neighbors_many(some, 20, rng)
    neighbors = near.reshape(-1, problem.n_var)
    work = {
        "sampling": lambda: operators["sampling"]._do(problem, len(X), random_state=rng),
        "mutation": lambda: operators["mutation"]._do(problem, X, random_state=rng),
        "crossover, unrelated parents": lambda: operators["crossover"]._do(
            problem, np.stack((X[:half], X[half : 2 * half])), random_state=rng
        ),
        "crossover, related parents": lambda: operators["crossover"]._do(
            problem, np.stack((X[:half], related[:half])), random_state=rng
        ),
        "neighbors, 20 at a time": lambda: problem.neighbors_many(some, 20, rng),
        "features, unrelated designs": lambda: problem.features(X),
        "features, 20 neighbors at a time": lambda: problem.features(neighbors),
        "the same, with their design": lambda: problem.neighbor_features(some, near),
        "canonical": lambda: problem.canonical(X),
    }
    print(f"\n{'per design':34}{'us':>8}{'of an evaluation':>20}")
    print(f"{'evaluation':34}{evaluation * 1e6:8.1f}{1:20.0%}")
    for name, call in work.items():
        seconds = best(call) / len(X)
        print(f"{name:34}{seconds * 1e6:8.1f}{seconds / evaluation:20.0%}")


def report_batches(problem, X):
    """Print the time per design in small batches relative to one large batch."""
    whole = best(lambda: problem.evaluate(X))
    print("\nbatch size, time per design against one batch of", len(X))
    for size in (1, 15, 50, 200):
        parts = [X[i : i + size] for i in range(0, len(X), size)]
        print(
            f"{size:6}{best(lambda parts=parts: [problem.evaluate(p) for p in parts]) / whole:8.2f}"
        )


def report_start():
    """Print the wall times of a first start, which compiles, and of a second start."""
    print(f"\n{'seconds of wall time':24}{'import':>10}{'evaluation':>12}{'operators':>11}")
    with tempfile.TemporaryDirectory() as cache:
        environment = os.environ | {"NUMBA_CACHE_DIR": cache}
        for name in ("first start, compiles", "second start"):
            words = subprocess.run(
                [sys.executable, "-c", START],
                env=environment,
                check=True,
                capture_output=True,
                text=True,
                cwd=Path(__file__).parents[2],
            ).stdout.split()
            print(f"{name:24}" + "".join(f"{float(w):11.2f}" for w in words))


def main():
    harness.script_parser(__doc__).parse_args()
    print(harness.machine("networkx"))
    both = [NoC3D.example("bfs", model=model) for model in ("published", "released")]
    problem = both[0]
    rng = np.random.default_rng(0)
    start = problem.operators()["sampling"]._do(problem, 2000, random_state=rng)
    parents = np.stack((start[:1000], start[1000:]))
    X = problem.operators()["crossover"]._do(problem, parents, random_state=rng)
    X = rng.permutation(X.reshape(-1, problem.n_var))
    sets = {
        "mesh": (both, np.tile(problem.mesh_row(), (2000, 1))),
        "random links and placements": (both, X),
    }
    data = os.environ.get("MOELA_DATA")
    if data:
        folder = Path(data) / "noc"
        real = [NoC3D.from_traffic(folder / "bfs_traffic.csv", model=p.model) for p in both]
        stored = np.load(folder / "released_evaluator_designs.npz", allow_pickle=False)
        index = {tuple(p): i for i, p in enumerate(problem.platform.candidates.tolist())}
        planar = [
            [index[p] for p in map(tuple, np.sort(links, axis=1).tolist()) if p in index]
            for links in stored["links"]
        ]
        rows = np.concatenate((stored["placement"], planar), axis=1).astype(np.int64)
        # Tiled, because a design that follows itself is evaluated faster: its routes are reused.
        sets["the 50 stored designs, real traffic"] = (real, np.tile(rows, (40, 1)))
    report_rates(sets, bool(data))
    report_variation(problem, X)
    report_batches(problem, X)
    report_other_tools(problem, X)
    report_start()


if __name__ == "__main__":
    main()
