"""Stored runs are used again only if problem, algorithm and code are the same."""

import importlib
import logging
from typing import ClassVar

import numpy as np
import pytest
from experiment_cases import ALGORITHMS, Toy, draw

from moela import StoreMismatchError, run_experiment
from moela.experiments.run import External
from moela.provenance.code import BYTECODE, GLOBALS
from tests.moela.provenance.layouts import install, process, write

PACKAGED = """
import numpy as np
from pymoo.core.problem import Problem

class Beam(Problem):
    def __init__(self):
        super().__init__(n_var=2, n_obj=2, xl=0.0, xu=1.0)

    def _evaluate(self, X, out, *args, **kwargs):
        out["F"] = np.column_stack([X[:, 0], 1 - X[:, 0] + X[:, 1]]) + 0.0
"""
OTHER = PACKAGED.replace("+ 0.0", "+ 0.5")


@pytest.fixture
def site(tmp_path):
    return tmp_path / "site-packages"


@pytest.fixture
def store(tmp_path):
    return tmp_path / "runs"


@pytest.fixture
def log(caplog):
    caplog.set_level(logging.INFO, logger="moela.experiment")
    return caplog


def experiment(problem, store, make=None, seeds=1, **settings):
    """Return the first run, and whether it came from the store."""
    before = {path.name: path.stat().st_mtime_ns for path in store.glob("*")}
    make = External(draw) if make is None else make
    results = run_experiment({"it": problem}, {"a": make}, seeds, 30, store=store, **settings)
    after = {path.name: path.stat().st_mtime_ns for path in store.glob("*")}
    return results.runs[0], before.items() <= after.items() and bool(before)


def imported(folder, store, module="pack_a", **settings):
    with process(folder):
        beam = importlib.import_module(module).Beam
        return experiment(beam(), store, **settings)


# ---- installed problems --------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["pack-a", "quite-different"])
def test_another_version_of_an_installed_problem_is_noticed(site, store, name):
    install(site, name, "1.0", {"pack_a/__init__.py": PACKAGED})
    imported(site, store)
    assert imported(site, store)[1]
    install(site, name, "2.0", {"pack_a/__init__.py": OTHER})
    with pytest.raises(StoreMismatchError, match=r"pack_a: '1.0' -> '2.0'"):
        imported(site, store)
    run, known = imported(site, store, on_mismatch="rerun")
    assert not known
    assert run.F.min() >= 0.5


# ---- working trees and notebooks -----------------------------------------------------------------


def test_changed_code_of_a_problem_in_a_working_tree_is_noticed(tmp_path, store):
    write(tmp_path, {"src/pack_a.py": PACKAGED})
    imported(tmp_path / "src", store)
    write(tmp_path, {"src/pack_a.py": "# A comment.\n" + PACKAGED})
    assert imported(tmp_path / "src", store)[1]
    write(tmp_path, {"src/pack_a.py": OTHER})
    with pytest.raises(StoreMismatchError, match="code of the problem 'it'"):
        imported(tmp_path / "src", store)


def notebook(text=PACKAGED, name="Beam"):
    scope = {"__name__": "__main__"}
    exec(text, scope)
    return scope[name]


def test_changed_code_of_a_problem_in_a_notebook_is_noticed(store):
    experiment(notebook()(), store)
    assert experiment(notebook()(), store)[1]
    with pytest.raises(StoreMismatchError, match="code of the problem 'it'"):
        experiment(notebook(OTHER)(), store)


DRAW = """
import numpy as np
CALLS = []

def draw(problem, n_eval, seed):
    CALLS.append(seed)
    X = np.random.default_rng(seed).random((n_eval, problem.n_var))
    return X, problem.evaluate(X)
"""


@pytest.mark.parametrize("changed", [".random((", "SPREAD = 1.0"])
def test_a_changed_algorithm_of_a_notebook_is_noticed(store, changed):
    text = DRAW.replace("CALLS.append(seed)", "SPREAD + 1").replace("CALLS = []", "SPREAD = 1.0")
    other = text.replace(changed, {".random((": ".uniform(0, 1, ("}.get(changed, "SPREAD = 2.0"))
    experiment(Toy(), store, External(notebook(text, "draw")))
    part = BYTECODE if changed.startswith(".") else GLOBALS
    with pytest.raises(StoreMismatchError, match=rf"code of the algorithm 'a' .*{part}"):
        experiment(Toy(), store, External(notebook(other, "draw")))


# ---- what a problem changes itself ---------------------------------------------------------------


class Caching(Toy):
    """Fills a cache of its own and one of its class."""

    shared: ClassVar[dict] = {}

    def __init__(self, shift=0.0):
        super().__init__()
        self._shift = shift
        self._cache = {}

    def _evaluate(self, X, out, *args, **kwargs):
        self._cache[float(X[0, 0])] = len(self._cache)
        self.shared[len(self.shared)] = float(X[0, 0])
        super()._evaluate(X, out)
        out["F"] = out["F"] + self._shift


def test_caches_that_a_problem_fills_are_no_change(store, log):
    problem = Caching()
    experiment(problem, store, ALGORITHMS["NSGA-II"], 2)
    assert experiment(problem, store, ALGORITHMS["NSGA-II"], 2)[1]
    assert experiment(Caching(), store, ALGORITHMS["NSGA-II"], 2)[1]
    assert "has changed" not in log.text


def test_designs_of_the_front_are_evaluated_again_if_a_hidden_part_differs(store, log):
    experiment(Caching(), store)
    assert experiment(Caching(1e-12), store)[1]  # within the rounding of another machine
    assert "problem._shift has changed" in log.text
    with pytest.raises(StoreMismatchError, match=r"_shift has changed; .* has F = "):
        experiment(Caching(1e-3), store)
    run, known = experiment(Caching(1e-3), store, on_mismatch="rerun")
    assert not known
    assert run.F.min() >= 1e-3


class Infeasible(Toy):
    def __init__(self, secret=0):
        super().__init__()
        self.n_ieq_constr = 1
        self._secret = secret

    def _evaluate(self, X, out, *args, **kwargs):
        super()._evaluate(X, out)
        out["G"] = np.ones((len(X), 1))


def test_a_doubtful_run_without_a_feasible_design_is_not_used(store):
    experiment(Infeasible(), store, ALGORITHMS["NSGA-II"])
    assert experiment(Infeasible(), store, ALGORITHMS["NSGA-II"])[1]
    with pytest.raises(StoreMismatchError, match="no design of it can be evaluated again"):
        experiment(Infeasible(1), store, ALGORITHMS["NSGA-II"])


class Failing(Toy):
    def __init__(self, broken=False):
        super().__init__()
        self._broken = broken

    def _evaluate(self, X, out, *args, **kwargs):
        if self._broken:
            raise OSError("no license")
        super()._evaluate(X, out)


def test_a_design_that_fails_now_is_another_result(store):
    experiment(Failing(), store)
    with pytest.raises(StoreMismatchError, match="evaluated again, fails: OSError"):
        experiment(Failing(broken=True), store)
