"""Stored runs are used again only if problem, algorithm and code are the same."""

import importlib
import logging
from typing import ClassVar

import numpy as np
import pytest
from experiment_cases import ALGORITHMS, Mixed, Toy, draw
from pymoo.core.mixed import MixedVariableGA

from moela import StoreMismatchError, run_experiment
from moela.experiments.files import Run
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


def change(store, **changes):
    """Change the code or the provenance that a stored run tells of its problem or algorithm."""
    (path,) = store.iterdir()
    run = Run.load(path)
    for name, value in changes.items():
        if name == "python":
            run.provenance["python"] = value
        else:
            run.settings[name]["code"].update(value)
    run.save(store)


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


def test_another_version_of_a_part_of_a_namespace_is_noticed(site, store):
    install(site, "company-core", "1.0", {"company/core.py": "x = 1"})
    for version, text in (("1.0", PACKAGED), ("2.0", OTHER)):
        install(site, "company-beams", version, {"company/beams.py": text})
        if version == "1.0":
            imported(site, store, "company.beams")
    with pytest.raises(StoreMismatchError, match=r"company: '1.0' -> '2.0'"):
        imported(site, store, "company.beams")


def test_changed_code_of_a_local_installation_with_the_same_version_is_noticed(site, store):
    url = {"direct_url.json": "{}"}
    install(site, "pack-a", "1.0", {"pack_a.py": PACKAGED}, **url)
    imported(site, store)
    install(site, "pack-a", "1.0", {"pack_a.py": OTHER}, **url)
    with pytest.raises(StoreMismatchError, match=r"pack_a: '1.0, files \w+' -> '1.0, files \w+'"):
        imported(site, store)


def test_changed_code_of_a_package_of_no_distribution_is_noticed(site, store):
    write(site, {"pack_a.py": PACKAGED})
    imported(site, store)
    assert imported(site, store)[1]
    write(site, {"pack_a.py": OTHER})
    with pytest.raises(StoreMismatchError, match="pack_a: 'files"):
        imported(site, store)


@pytest.mark.parametrize("stored", ["unknown", "1.0, files 0123456789abcdef"])
def test_designs_are_evaluated_again_if_the_stored_version_tells_less(site, store, log, stored):
    install(site, "different", "1.0", {"pack_a.py": PACKAGED})
    imported(site, store)
    change(store, problem={"pack_a": stored})
    assert imported(site, store)[1]
    assert "pack_a comes from other sources or versions" in log.text
    install(site, "different", "1.0", {"pack_a.py": OTHER})
    with pytest.raises(StoreMismatchError, match="evaluated again, has F = "):
        imported(site, store)


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


def test_bytecode_of_another_python_is_not_compared(store, log):
    experiment(notebook()(), store)
    change(store, problem={BYTECODE: "of another Python"}, python="3.1.4")
    assert experiment(notebook()(), store)[1]
    assert "bytecode comes from other sources or versions" in log.text
    with pytest.raises(StoreMismatchError, match="evaluated again, has F = "):
        experiment(notebook(OTHER)(), store)


DRAW = """
import numpy as np
CALLS = []

def draw(problem, n_eval, seed):
    CALLS.append(seed)
    X = np.random.default_rng(seed).random((n_eval, problem.n_var))
    return X, problem.evaluate(X)
"""


def test_an_algorithm_may_change_global_values_of_a_notebook(store):
    algorithm = External(notebook(DRAW, "draw"))
    experiment(Toy(), store, algorithm, 2)
    assert experiment(Toy(), store, algorithm, 2)[1]


@pytest.mark.parametrize("changed", [".random((", "SPREAD = 1.0"])
def test_a_changed_algorithm_of_a_notebook_is_noticed(store, changed):
    text = DRAW.replace("CALLS.append(seed)", "SPREAD + 1").replace("CALLS = []", "SPREAD = 1.0")
    other = text.replace(changed, {".random((": ".uniform(0, 1, ("}.get(changed, "SPREAD = 2.0"))
    experiment(Toy(), store, External(notebook(text, "draw")))
    part = BYTECODE if changed.startswith(".") else GLOBALS
    with pytest.raises(StoreMismatchError, match=rf"code of the algorithm 'a' .*{part}"):
        experiment(Toy(), store, External(notebook(other, "draw")))


def test_code_of_an_algorithm_that_cannot_be_compared_is_told(store, log):
    experiment(Toy(), store, ALGORITHMS["NSGA-II"])
    assert experiment(Toy(), store, ALGORITHMS["NSGA-II"])[1]
    assert "cannot be compared" not in log.text
    change(store, algorithm={"pymoo": "unknown"})
    assert experiment(Toy(), store, ALGORITHMS["NSGA-II"])[1]
    assert "the code of their algorithm cannot be compared" in log.text
    assert "(pymoo)" in log.text


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


def test_caches_in_a_class_of_a_notebook_are_no_change(store, log):
    text = PACKAGED.replace("class Beam(Problem):", "class Beam(Problem):\n    known = {}\n")
    beam = notebook(text.replace('out["F"]', 'self.known[len(self.known)] = 1\n        out["F"]'))
    experiment(beam(), store)
    assert beam.known
    assert experiment(beam(), store)[1]
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


class ShiftedMixed(Mixed):
    def __init__(self, shift=0.0):
        super().__init__()
        self._shift = shift

    def _evaluate(self, X, out, *args, **kwargs):
        super()._evaluate(X, out)
        out["F"] = out["F"] + self._shift


def test_mixed_designs_of_the_front_are_evaluated_again(store, log):
    experiment(ShiftedMixed(), store, MixedVariableGA)
    assert experiment(ShiftedMixed(1e-12), store, MixedVariableGA)[1]
    assert "problem._shift has changed" in log.text
    with pytest.raises(StoreMismatchError, match="evaluated again, has F = "):
        experiment(ShiftedMixed(1e-3), store, MixedVariableGA)


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
