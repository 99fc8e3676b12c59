"""MOELA on an Evaluator: killed, resumed and parallel runs equal the undisturbed run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from pymoo.core.problem import ElementwiseProblem
from pymoo.optimize import minimize

from moela import MOELA, EvaluationStore, Evaluator
from problems import NoC3D

ROOT = Path(__file__).parents[3]

# The processes of the runs are forks of one that has imported everything, which takes seconds. A
# timer of process time kills them, like SIGKILL, a few milliseconds after an evaluation.
SCRIPT = """
import itertools, os, random, signal, sys
import numpy as np
from pymoo.core.problem import ElementwiseProblem
from pymoo.optimize import minimize
from moela import MOELA, Evaluator
from moela.bayesian import few

# Gaussian processes would choose a hundred designs in each process, 25 ms for each.
few._FEW = few._ALL = 0

class Watched(ElementwiseProblem):
    version = "1"
    def __init__(self):
        super().__init__(n_var=8, n_obj=2, xl=0.0, xu=1.0)
    def _evaluate(self, x, out, *args, **kwargs):
        if next(COUNT) == LAST:
            signal.setitimer(signal.ITIMER_PROF, random.uniform(0.001, 0.02))
        out["F"] = [x[0], (1 + x[1:].sum()) * (1 - np.sqrt(x[0] / (1 + x[1:].sum())))]

def run(name, last=None):
    global COUNT, LAST
    COUNT, LAST = itertools.count(), last
    child = os.fork()
    if child == 0:
        result = minimize(Watched(), MOELA(n_subproblems=20), ("n_eval", 400), seed=3,
                          evaluator=Evaluator(store=name + ".db"))
        np.save(name + ".npy", np.hstack([result.X, result.F]))
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

assert run("calm") == 0
for last in map(int, sys.argv[1:]):
    assert run("rough", last) == -signal.SIGPROF
assert run("rough") == 0
"""


class Unreliable(ElementwiseProblem):
    """Raises for a fifth of the designs, and returns NaN for others."""

    def __init__(self):
        super().__init__(n_var=6, n_obj=2, xl=0.0, xu=1.0)

    def _evaluate(self, x, out, *args, **kwargs):
        if x[1] > 0.8:
            raise RuntimeError("the simulator has crashed")
        # What fails would look best by far.
        bad = x[2] > 0.9
        out["F"] = [np.nan, -1e9] if bad else [x[0], 1 - x[0] + x[1:].sum()]


def solve(problem, evaluator, n_eval=300, **settings):
    algorithm = MOELA(n_subproblems=20, **settings)
    return minimize(problem, algorithm, ("n_eval", n_eval), seed=3, evaluator=evaluator)


def test_killed_again_and_again_it_ends_with_the_same_front(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}

    # Of the 400 evaluations, each process makes about as many new ones before it is killed.
    kills = np.random.default_rng(0).integers(40, 100, size=3)
    command = [sys.executable, str(script), *map(str, kills)]
    subprocess.run(command, env=environment, cwd=tmp_path, timeout=300, check=True)
    calm, rough = (np.load(tmp_path / name) for name in ("calm.npy", "rough.npy"))
    np.testing.assert_array_equal(rough, calm)
    with EvaluationStore(tmp_path / "rough.db") as store:
        (run,) = store.runs()
        assert run.n_fresh == 400


@pytest.mark.parametrize("options", [{"n_jobs": 2}, {"n_jobs": 2, "backend": "threads"}])
def test_workers_do_not_change_the_run(options):
    problem = NoC3D.example("bfs", objectives=3)
    alone = solve(problem, Evaluator())
    with Evaluator(**options) as evaluator:
        together = solve(problem, evaluator)
    np.testing.assert_array_equal(together.X, alone.X)
    np.testing.assert_array_equal(together.F, alone.F)


def test_resumed_run_computes_nothing_twice(tmp_path):
    problem = NoC3D.example("bfs", objectives=3)
    first = solve(problem, Evaluator(store=tmp_path / "run.db"), 200)
    longer = Evaluator(store=tmp_path / "run.db")
    second = solve(problem, longer, 300)
    assert longer.n_fresh == 100
    whole = solve(problem, Evaluator(), 300)
    assert first.algorithm.n_eval == 200
    np.testing.assert_array_equal(second.F, whole.F)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_failures_train_nothing_and_are_never_the_best():
    result = solve(Unreliable(), Evaluator(on_error="infeasible"), 400)
    algorithm = result.algorithm
    assert algorithm.evaluator.n_failed > 0
    assert (result.X[:, 1] <= 0.8).all()
    assert (result.X[:, 2] <= 0.9).all()
    assert (algorithm.normalization.ideal > -1.0).all()
    assert (algorithm.normalization.nadir < 100.0).all()
    assert (
        np.abs(np.concatenate(algorithm.guided.move_ranking.move_model.window.targets)).max()
        < 100.0
    )
    assert (algorithm.evolution.subproblems.F < 100.0).all()
