"""Times of the hot paths, kept for each run so that a slowdown is visible.

    python -m pytest tests/benchmarks/hot_paths.py --benchmark-only --benchmark-autosave
    python -m pytest tests/benchmarks/hot_paths.py --benchmark-only --benchmark-compare

The file name keeps it out of the test suite: times depend on other load on the machine, so that a
test cannot bound them. The result of each case is checked, so that no failing case is timed.
"""

from __future__ import annotations

import numpy as np
import pytest
from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.core.population import Population
from pymoo.optimize import minimize

from moe_costmodel import RoutingTrace, miss_curves
from moela import MOELA
from moela.core.archive import Archive
from problems import MoEDeployment, MultiObjectiveQAP, NoC3D

BATCH = 50


@pytest.fixture(scope="module")
def chip():
    return NoC3D.example("bfs", objectives=5)


@pytest.fixture(scope="module")
def chips(chip):
    """Designs a few moves away from sampled ones, like those that a search evaluates."""
    rng = np.random.default_rng(1)
    rows = chip.operators()["sampling"](chip, BATCH, random_state=rng).get("X")
    for _ in range(5):
        rows = np.stack([chip.neighbors(row, 1, rng)[0] for row in rows])
    return rows


def test_noc_evaluation(benchmark, chip, chips):
    F = benchmark(chip.evaluate, chips)
    assert F.shape == (BATCH, 5)


def test_noc_features(benchmark, chip, chips):
    assert len(benchmark(chip.features, chips)) == BATCH


def test_noc_neighbors(benchmark, chip, chips):
    rng = np.random.default_rng(1)
    assert benchmark(chip.neighbors, chips[0], BATCH, rng).shape == (BATCH, chip.n_var)


@pytest.mark.parametrize("max_size", [None, 200])
def test_archive_add(benchmark, max_size):
    """Time 2,000 designs of three objectives in batches of ten; about 400 are non-dominated."""
    rng = np.random.default_rng(1)
    F = np.abs(rng.normal(size=(2_000, 3)))
    F *= (1 + 0.2 * rng.random((2_000, 1))) / np.linalg.norm(F, axis=1, keepdims=True)
    pop = Population.new("F", F)
    CV = np.zeros(len(F))

    def fill():
        archive = Archive(3, max_size)
        for at in range(0, len(F), 10):
            part = slice(at, at + 10)
            archive.add(pop[part], F[part], CV[part])
        return archive

    assert len(benchmark(fill)) > 100


ALGORITHMS = {
    "MOELA": MOELA,
    "MOELA, models off": lambda: MOELA(models=None),
    "NSGA-II": lambda problem: NSGA2(pop_size=50, **problem.operators()),  # the yardstick
}


@pytest.mark.parametrize("name", ALGORITHMS)
def test_algorithm_overhead(benchmark, name):
    """Time a run of 1,000 cheap evaluations, so that most of the time is the algorithm's own."""
    problem = MultiObjectiveQAP.random(n_facilities=20, seed=1)
    make = ALGORITHMS[name]

    def run():
        algorithm = make(problem) if name == "NSGA-II" else make()
        return minimize(problem, algorithm, ("n_eval", 1_000), seed=1)

    res = benchmark.pedantic(run, rounds=5, warmup_rounds=1)
    assert res.algorithm.evaluator.n_eval == 1_000


def test_miss_curves(benchmark):
    """Time every policy at every capacity, for one sequence per step on two devices."""
    trace = RoutingTrace.example("code")
    loads = trace.loads(8)
    device_of = np.arange(trace.n_experts) * 2 // trace.n_experts
    curves = benchmark(miss_curves, loads, device_of, 2)
    # A buffer that knows the future misses least.
    assert (curves["min"].misses <= curves["lru"].misses).all()


def one_layer_changed(problem, base, n, rng):
    """Draw n neighbors of a row; return those that change gate or buffers of one layer."""
    layout = problem.layout
    neighbors = problem.neighbors(base, n, rng)
    changed = (neighbors[:, layout.gates] != base[layout.gates]).sum(axis=1)
    kept = neighbors[:, layout.capacities] != base[layout.capacities]
    changed += kept.reshape(n, layout.n_layers, -1).any(axis=2).sum(axis=1)
    whole = [layout.policy, layout.batch_size]
    return neighbors[(neighbors[:, whole] == base[whole]).all(axis=1) & (changed <= 1)]


@pytest.mark.parametrize("kept", [True, False], ids=["one layer changed", "from nothing"])
def test_deployment_evaluation(benchmark, kept):
    """Time a deployment with half of the experts resident, whose buffers must be replayed."""
    problem, rng = MoEDeployment.example(memory_budget=np.inf), np.random.default_rng(1)
    layout = problem.layout
    base = problem.layout.base_row(problem.layout.placed.rows["spread"])
    base[layout.capacities] = problem.xu[layout.capacities] // 2
    neighbors = iter(one_layer_changed(problem, base, 1_000, rng))
    problem.evaluate(base[None])

    def setup():
        owner = problem if kept else MoEDeployment.example(memory_budget=np.inf)
        return (owner, next(neighbors)[None]), {}

    F = benchmark.pedantic(
        lambda owner, X: owner.evaluate(X, return_as_dictionary=True)["F"],
        setup=setup,
        rounds=100 if kept else 10,
    )
    assert F.shape == (1, problem.n_obj)
