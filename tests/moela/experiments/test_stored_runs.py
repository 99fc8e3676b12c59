"""Stored runs are used again only if problem, algorithm and code are the same."""

import importlib
import logging

import pytest
from experiment_cases import Toy, draw

from moela import StoreMismatchError, run_experiment
from moela.experiments.run import External
from tests.moela.provenance.layouts import process, write

BEAM = """
import numpy as np
from pymoo.core.problem import Problem
from material import STIFFNESS

class Beam(Problem):
    def __init__(self):
        super().__init__(n_var=2, n_obj=2, xl=0.0, xu=1.0)

    def _evaluate(self, X, out, *args, **kwargs):
        out["F"] = STIFFNESS * np.column_stack([X[:, 0], 1 - X[:, 0] + X[:, 1]])

def draw(problem, n_eval, seed):
    X = np.random.default_rng(seed).random((n_eval, problem.n_var))
    return X, problem.evaluate(X)
"""
FILES = {"beam.py": BEAM, "material.py": "STIFFNESS = 1.0\n"}


@pytest.fixture
def store(tmp_path):
    return tmp_path / "runs"


def experiment(problem, store, make=None, **settings):
    """Make an experiment of one run; return whether it came from the store."""
    before = {path.name: path.stat().st_mtime_ns for path in store.glob("*")}
    make = External(draw) if make is None else make
    run_experiment({"it": problem}, {"a": make}, 1, 30, store=store, **settings)
    after = {path.name: path.stat().st_mtime_ns for path in store.glob("*")}
    return before.items() <= after.items() and bool(before)


def imported(folder, store, *, own=False, **settings):
    """Make an experiment with the problem, or the optimizer, of the modules in a folder."""
    with process(folder):
        beam = importlib.import_module("beam")
        if own:
            return experiment(Toy(), store, External(beam.draw), **settings)
        return experiment(beam.Beam(), store, **settings)


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("beam.py", "1 - X", "2 - X"),
        ("material.py", "1.0", "2.0"),  # of a module that the problem's module imports
    ],
)
def test_changed_code_of_a_problem_is_named(tmp_path, store, file, old, new):
    write(tmp_path, FILES)
    assert not imported(tmp_path, store)
    write(tmp_path, {file: "# A comment.\n" + FILES[file]})
    assert imported(tmp_path, store)
    write(tmp_path, {file: FILES[file].replace(old, new)})
    with pytest.raises(StoreMismatchError, match="code of the problem 'it'"):
        imported(tmp_path, store)
    assert not imported(tmp_path, store, on_mismatch="rerun")
    assert imported(tmp_path, store)


def test_changed_code_of_an_algorithm_is_named(tmp_path, store):
    write(tmp_path, FILES)
    imported(tmp_path, store, own=True)
    assert imported(tmp_path, store, own=True)
    write(tmp_path, {"beam.py": BEAM.replace(".random((", ".uniform(0, 0.5, (")})
    with pytest.raises(StoreMismatchError, match="code of the algorithm 'a'"):
        imported(tmp_path, store, own=True)


class Shifted(Toy):
    """Has a part that no one sees, and may fail."""

    version = None

    def __init__(self, shift=0.0, *, broken=False):
        super().__init__()
        self._shift, self._broken = shift, broken

    def _evaluate(self, X, out, *args, **kwargs):
        if self._broken:
            raise OSError("no license")
        super()._evaluate(X, out)
        out["F"] = out["F"] + self._shift


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (Shifted(1e-3), "evaluated again, has F = "),
        (Shifted(broken=True), "evaluated again, fails: OSError"),
    ],
)
def test_designs_of_the_front_are_evaluated_again(store, other, message, caplog):
    caplog.set_level(logging.INFO, logger="moela.experiment")
    experiment(Shifted(), store)
    assert experiment(Shifted(1e-12), store)  # within the rounding of another machine
    with pytest.raises(StoreMismatchError, match=message):
        experiment(other, store)


def test_another_version_is_another_problem(store):
    first, second = Toy(), Toy()
    second.version = "2"
    experiment(first, store)
    with pytest.raises(StoreMismatchError, match="version: '1' -> '2'"):
        experiment(second, store)
