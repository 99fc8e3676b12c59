"""A changed evaluation is noticed, by definition, source or behavior, and the same one is not."""

from __future__ import annotations

import importlib
import logging

import numpy as np
import pytest
from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.optimize import minimize

import moela
from moela.provenance.signature import (
    differences,
    of_algorithm,
    of_problem,
    public_name,
    shown_name,
)
from tests.moela.provenance.changes import CHANGES, FILES, Change
from tests.moela.provenance.layouts import process, write

DESIGNS = np.random.default_rng(0).random((10, 3)) * [0.9, 1.0, 1.0]


def reused(folder, store, seed, **settings):
    """Evaluate the designs with a user's program; return how many the store answered."""
    with process(folder):
        problem = importlib.import_module("user").problem()
        evaluator = moela.Evaluator(store=store, progress=False, **settings)
        with evaluator:
            algorithm = NSGA2(pop_size=len(DESIGNS), sampling=DESIGNS)
            termination = ("n_eval", len(DESIGNS))
            minimize(problem, algorithm, termination, seed=seed, evaluator=evaluator)
    return len(DESIGNS) - evaluator.n_fresh


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_is_seen_and_the_same_program_recognized(name, tmp_path, caplog):
    caplog.set_level(logging.WARNING, logger="moela.evaluator")
    found = CHANGES[name]
    text, change = (found.before, found) if isinstance(found, Change) else found
    write(tmp_path, FILES | {"user.py": text, change.file: change.before})
    store = tmp_path / "run.db"
    assert reused(tmp_path, store, 1) == 0
    assert reused(tmp_path, store, 2, on_mismatch="new") == len(DESIGNS)
    assert "changed" not in caplog.text
    write(tmp_path, {change.file: change.after})
    assert (reused(tmp_path, store, 3, on_mismatch="new") == 0) is change.seen
    if change.seen:
        with pytest.raises(moela.StoreMismatchError, match=r"has another result|problem\."):
            reused(tmp_path, store, 1)


def test_most_changes_are_seen():
    changes = [found if isinstance(found, Change) else found[1] for found in CHANGES.values()]
    assert len(changes) == 20
    assert sum(change.seen for change in changes) >= 18


def test_changed_code_with_the_same_results_is_mentioned(tmp_path, caplog):
    caplog.set_level(logging.WARNING, logger="moela.evaluator")
    text = CHANGES["helper function"].before
    write(tmp_path, {"user.py": text})
    reused(tmp_path, tmp_path / "run.db", 1)
    write(tmp_path, {"user.py": f"# A comment.\n{text}"})
    reused(tmp_path, tmp_path / "run.db", 1)
    assert not caplog.text
    write(tmp_path, {"user.py": text + "\nMORE = 1\n"})
    assert reused(tmp_path, tmp_path / "run.db", 1) == len(DESIGNS)
    assert "run 1 continues, although the code of the problem has changed" in caplog.text


def test_ours_are_named_without_their_modules():
    assert public_name(moela.MOELA) == "moela.MOELA"
    assert public_name(NSGA2) == "pymoo.algorithms.moo.nsga2.NSGA2"
    assert shown_name(of_algorithm(moela.MOELA())) == "MOELA"


def test_differences_are_listed_by_name():
    def problem(**settings):
        given = {"variables": {"x": (0.0, 1.0)}, "objectives": ["a", "b"], **settings}
        return of_problem(moela.problem(len, **given))

    assert differences(problem(), problem(), "problem") == []
    (line, *_) = differences(problem(version="1"), problem(version="2"), "problem")
    assert line == "problem.version: '1' -> '2'"
    lines = differences(problem(), problem(variables={"x": (0.0, 2.0)}), "problem")
    assert "problem.settings.variables.x.high: 1.0 -> 2.0" in lines
