"""Names, directions and kinds of variables in a store, also if they are many and long."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing

import pytest
from function_cases import QUIET

import moela
from moela.cli import main
from moela.evaluation.storage import rows
from moela.functions.results.stored import StoredProblem
from moela.provenance.signature import VALUES

NAMES = [f"thickness_of_layer_{i:03}" for i in range(60)]
TOOLS = [f"{'a long name of a tool ' * 3}{i}" for i in range(20)]
MANY = {
    "variables": {
        **dict.fromkeys(NAMES, (0.0, 1.0)),
        "tool": TOOLS,
        "order": moela.permutation(9),
    },
    "objectives": {"cost": "min", "weight": "min", "yield of good parts": "max", "noise": "min"},
    "constraints": {f"stress in load case {i}": (None, 2.0) for i in range(6)},
}


def layers(d):
    x = d[NAMES[0]]
    goals = {"cost": x, "weight": 1 - x, "yield of good parts": x**2, "noise": x**3}
    return goals | dict.fromkeys(MANY["constraints"], x)


def make(store, n_eval=20, **changes):
    settings = {**MANY, **QUIET, "algorithm": "nsga2", "n_eval": n_eval, "store": store, **changes}
    return moela.minimize(layers, **settings)


def change_row(store, change):
    """Change the JSON of the problem of the first run, with a valid checksum."""
    with closing(sqlite3.connect(store, isolation_level=None)) as db:
        ((text,),) = db.execute("SELECT problem FROM runs").fetchall()
        problem = json.loads(text)
        change(problem)
        rows.update_run(db, 1, {"problem": json.dumps(problem)})


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """Return a store with one run."""
    store = tmp_path_factory.mktemp("names") / "run.db"
    make(store)
    with closing(sqlite3.connect(store)) as db:
        db.execute("PRAGMA journal_mode = DELETE")
    return store


def test_a_result_from_a_store_has_all_names_and_directions(tmp_path):
    result = make(tmp_path / "run.db")
    stored = moela.MinimizeResult.from_store(tmp_path / "run.db")
    assert stored.problem.describe() == result.problem.describe()
    assert stored.front.designs == result.front.designs
    assert stored.front.names == result.front.names
    assert stored.front.F.tolist() == result.front.F.tolist()


def test_a_run_whose_names_take_too_much_room_says_so(tmp_path, caplog, capsys):
    store = tmp_path / "run.db"
    make(store)
    change_row(store, lambda problem: problem.pop(VALUES))
    stored = moela.MinimizeResult.from_store(store)
    assert isinstance(stored.problem, StoredProblem)
    told = "does not hold the names of run 1"
    assert told in caplog.text
    assert main(["compare", str(store)]) == 0
    assert "On layers a store does not hold the names" in capsys.readouterr().out
    assert main(["watch", str(store)]) == 0
    assert told in capsys.readouterr().out
    assert make(store, 30).n_eval == 30


@pytest.mark.parametrize("n", [len(TOOLS), 4, 62])
@pytest.mark.parametrize("value", [7, ["x"]])
def test_values_of_a_stranger_are_harmless(shared, tmp_path, n, value):
    store = tmp_path / "run.db"
    store.write_bytes(shared.read_bytes())

    def spoil(problem):
        kept = problem[VALUES]
        (digest,) = [d for d, known in kept.items() if len(known) == n]
        kept[digest] = value

    change_row(store, spoil)
    stored = moela.MinimizeResult.from_store(store)
    assert stored.front.names in (("f1", "f2", "f3", "f4"), tuple(MANY["objectives"]))
    assert len(stored.table(all=True)) == 20


def test_comparisons_of_results_from_a_store_know_algorithm_and_seed(tmp_path):
    store = tmp_path / "run.db"
    settings = {**QUIET, "variables": {"x": (0.1, 2.0)}, "objectives": ["a", "b"], "n_eval": 40}
    for seed, name in ((1, "moela"), (2, "nsga2")):
        moela.minimize(
            lambda d: (d["x"], 1 / d["x"]),
            **settings | {"store": store, "seed": seed, "algorithm": name},
        )
    results = [moela.MinimizeResult.from_store(store, run) for run in (1, 2)]
    comparison = moela.compare(results)
    found = [(run.algorithm, run.seed, run.source) for run in comparison.runs]
    assert found == [("MOELA", 1, f"run 1 in {store}"), ("NSGA2", 2, f"run 2 in {store}")]


def test_comparisons_of_results_count_failed_evaluations(tmp_path):
    def fails(d):
        if d["x"] > 1.5:
            raise ValueError("no mesh")
        return d["x"], 1 / d["x"]

    settings = {"variables": {"x": (0.1, 2.0)}, "objectives": ["a", "b"], "n_eval": 40}
    result = moela.minimize(fails, **settings, **QUIET, on_error="infeasible")
    (run,) = moela.compare([result]).runs
    assert run.left_out["failed"] == len(result.failures) > 0
    assert "not finite" not in run.left_out
    assert run.source == "a result of moela.minimize"
