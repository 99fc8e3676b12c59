"""Stores and experiments of version 0.1 continue with the code of today, whatever was renamed.

The files in ``data`` are written by ``write_data.py``. The calls below are those of that script in
the names of today.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.optimize import minimize
from pymoo.problems import get_problem
from user_problem import Beam

import problems
from moela import (
    MOELA,
    EvaluationStore,
    Evaluator,
    ExperimentResults,
    Models,
    StoreMismatchError,
    compare,
    run_experiment,
)
from moela.rivals import MOMAD, MOOS, MOOSTAGE, BatchMOEAD
from problems.noc import Platform

DATA = Path(__file__).parent / "data"


def zdt1():
    return get_problem("zdt1", n_var=5)


def qap():
    return problems.MultiObjectiveQAP.random(n_facilities=8)


def knapsack():
    return problems.MultiObjectiveKnapsack.random(n_items=20)


def mnk():
    return problems.MNKLandscape.random(n=12)


def moela_10(problem):
    return MOELA(n_subproblems=10)


# File, run, problem, algorithm.
RUNS = [
    ("problems", 1, problems.NoC3D.example, moela_10),
    ("problems", 2, problems.MoEDeployment.example, moela_10),
    ("problems", 3, problems.ExpertPlacement.example, lambda p: NSGA2(pop_size=8, **p.operators())),
    ("problems", 4, problems.ExpertBuffering.example, lambda p: MOELA.published(n_subproblems=8)),
    ("problems", 5, problems.GatingThresholds.example, moela_10),
    ("classic", 1, qap, lambda p: MOELA(n_subproblems=20)),
    ("classic", 2, knapsack, lambda p: MOOS(n_init=20)),
    ("classic", 3, mnk, lambda p: MOOSTAGE(n_init=20)),
    ("classic", 4, qap, lambda p: MOMAD(n_subproblems=10)),
    ("classic", 5, zdt1, lambda p: MOELA()),
    ("classic", 6, zdt1, lambda p: BatchMOEAD(n_subproblems=20)),
    ("users", 1, Beam, lambda p: NSGA2(pop_size=20)),
    (
        "users",
        2,
        lambda: Beam(3.0),
        lambda p: MOELA(n_subproblems=20, models=Models(hamming=False)),
    ),
    ("users", 3, lambda: Beam(platform=Platform.paper_4x4x4()), lambda p: NSGA2(pop_size=20)),
]
# By file and run: initial designs of runs after which MOELA of today goes another way.
N_INITIAL = {("problems", 1): 10, ("classic", 1): 20, ("classic", 5): 50, ("users", 2): 20}


@pytest.fixture
def old(tmp_path):
    """Return a copy of a stored file by its name, to be written to."""

    def copied(name):
        return Path(shutil.copy(DATA / f"{name}.db", tmp_path))

    return copied


def solve(problem, algorithm, n_eval, store=None, seed=1, **settings):
    with Evaluator(store=store, **settings) as evaluator:
        result = minimize(problem, algorithm, ("n_eval", n_eval), seed=seed, evaluator=evaluator)
    result.evaluator = evaluator
    return result


def test_a_run_of_other_measurements_does_not_go_on(old):
    # The packaged kernel times were measured again for 0.2.0.
    problem = problems.MoEDeployment.example()
    with pytest.raises(StoreMismatchError, match=r"run 2, .*\n +problem\.settings\.model\."):
        solve(problem, moela_10(problem), 40, old("problems"))


@pytest.mark.parametrize(("name", "number", "problem", "algorithm"), RUNS[:1] + RUNS[2:])
def test_a_stored_run_goes_on_as_if_never_stopped(
    old, name, number, problem, algorithm, monkeypatch
):
    # Version 0.1 stored no budget, so its runs are not taken for runs of few evaluations.
    monkeypatch.setattr("moela.search.moela.FEW", 0)
    store, made = old(name), problem()
    stored = len(list(EvaluationStore(store).evaluations(number)))
    n_eval = stored + 20
    resumed = solve(made, algorithm(made), n_eval, store)
    # MOELA of today asks for other designs after the initial ones, whose results are reused.
    others = stored - N_INITIAL.get((name, number), stored)
    assert resumed.evaluator.n_fresh <= 20 + others
    again = problem()
    alone = solve(again, algorithm(again), n_eval)
    np.testing.assert_array_equal(resumed.pop.get("X"), alone.pop.get("X"))
    np.testing.assert_array_equal(resumed.pop.get("F"), alone.pop.get("F"))
    runs = EvaluationStore(store).runs()
    assert len(runs) == len(EvaluationStore(DATA / f"{name}.db").runs())
    assert runs[number - 1].n_eval == n_eval


def test_stored_runs_are_shown_by_public_names():
    runs = EvaluationStore(DATA / "problems.db").runs()
    assert runs[0].problem["class"] == "problems.NoC3D"
    assert runs[0].problem["settings"]["platform"]["class"] == "problems.Platform"
    assert runs[0].algorithm["class"] == "moela.MOELA"
    assert "evolution" not in runs[0].algorithm["settings"]


@pytest.mark.parametrize("elsewhere", ["moela.search.moela", "moela._core"])
def test_the_module_of_an_algorithm_does_not_matter(old, tmp_path, monkeypatch, elsewhere):
    new = tmp_path / "new.db"
    solve(qap(), MOELA(n_subproblems=20), 40, new)
    monkeypatch.setattr(MOELA, "__module__", elsewhere)
    monkeypatch.setattr(problems.MultiObjectiveQAP, "__module__", "problems.elsewhere")
    for store in (new, old("classic")):
        before = len(EvaluationStore(store).runs())
        solve(qap(), MOELA(n_subproblems=20), 50, store)
        assert len(EvaluationStore(store).runs()) == before


def test_the_modules_of_what_a_setting_holds_do_not_matter(old, monkeypatch):
    from moe_costmodel import GateRule
    from problems.noc import PEType

    for kind in (Platform, PEType, GateRule):
        package = kind.__module__.partition(".")[0]
        monkeypatch.setattr(kind, "__module__", f"{package}.elsewhere")
    for number in (0, 4):  # the types of processing elements, and the rules, are kept as digests
        _, _, problem, algorithm = RUNS[number]
        made = problem()
        solve(made, algorithm(made), 25, old("problems"))


def test_another_run_in_an_old_file_knows_its_evaluations(old):
    store, problem = old("problems"), problems.NoC3D.example()
    first = next(iter(EvaluationStore(store).evaluations(1)))
    other = NSGA2(pop_size=4, sampling=np.array([first.X] * 4), eliminate_duplicates=False)
    fresh = solve(problem, other, 4, store, seed=2, on_mismatch="new").evaluator.n_fresh
    assert fresh == 0


def test_another_version_of_the_problem_is_still_another_problem(old):
    problem = qap()
    problem.version = "qap-2"
    with pytest.raises(StoreMismatchError, match=r"problem\.version: 'qap-1-\w+' -> 'qap-2'"):
        solve(problem, MOELA(n_subproblems=20), 50, old("classic"))


def test_another_setting_is_still_named(old):
    algorithm = MOELA(n_subproblems=20, models=Models(hamming=False), patience=3)
    with pytest.raises(StoreMismatchError, match=r"settings\.patience: 20 -> 3\n") as caught:
        solve(Beam(3.0), algorithm, 50, old("users"))
    assert "evolution" not in str(caught.value)


def test_other_classes_are_named_by_their_public_names(old):
    with pytest.raises(
        StoreMismatchError, match=r"algorithm\.class: 'moela\.\w+' -> 'moela\.MOOS'"
    ):
        solve(qap(), MOOS(), 50, old("classic"))
    with pytest.raises(
        StoreMismatchError, match=r"'problems\.\w+' -> 'problems\.MultiObjectiveQAP'"
    ):
        solve(qap(), MOELA(n_subproblems=10), 50, old("problems"))


def test_a_changed_part_of_a_digest_is_noticed(old):
    from problems.noc import PEType

    platform = Platform.paper_4x4x4()
    types = platform.pe_types
    assert isinstance(types[0], PEType)
    object.__setattr__(platform, "pe_types", types[::-1])
    with pytest.raises(StoreMismatchError, match=r"platform\.pe_types: 'digest"):
        solve(Beam(platform=platform), NSGA2(pop_size=20), 60, old("users"))


def test_old_and_new_runs_are_compared_as_of_one_problem(old, tmp_path):
    solve(problems.NoC3D.example(), MOELA(n_subproblems=10), 20, tmp_path / "new.db", seed=2)
    path = tmp_path / "old.db"
    solve(problems.NoC3D.example(), MOELA(n_subproblems=10), 25, old("problems").rename(path))
    only = EvaluationStore(path)
    assert only.runs()[0].problem["class"] == "problems.NoC3D"
    outcomes = compare([path, tmp_path / "new.db"]).runs
    of_noc = {(o.problem, o.algorithm) for o in outcomes if o.problem.startswith("NoC3D")}
    assert of_noc == {("NoC3D", "MOELA")}


def test_they_are_where_nothing_but_the_files_is_known(old, tmp_path):
    new = tmp_path / "new.db"
    for number in (0, 3, 4):
        _, _, problem, algorithm = RUNS[number]
        made = problem()
        solve(made, algorithm(made), 20, new, seed=2, on_mismatch="new")
    script = "import moela, sys; o = moela.compare(sys.argv[1:]).runs; "
    script += "print(*sorted({f'{x.problem} {x.algorithm}' for x in o}), sep='\\n')"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}

    def compared(*paths):
        command = [sys.executable, "-c", script, *map(str, paths)]
        return subprocess.run(
            command, capture_output=True, text=True, check=True, env=environment
        ).stdout.splitlines()

    stored = old("problems")
    assert len(compared(stored)) == 5
    assert compared(stored, new) == compared(stored)


# ------------------------------------------------------------------------------------ experiments


ALGORITHMS = {
    "MOELA": lambda problem: MOELA(),
    "NSGA-II": lambda problem: NSGA2(pop_size=20),
}


@pytest.fixture
def folder(tmp_path):
    return shutil.copytree(DATA / "experiment", tmp_path / "experiment")


def test_an_experiment_is_read_and_compared(folder):
    results = ExperimentResults.load(folder)
    assert len(results.runs) == 4
    assert all(run.F.shape == (100, 2) for run in results.runs)
    compared = compare(folder)
    assert {o.algorithm for o in compared.runs} == {"MOELA", "NSGA-II"}


def test_an_experiment_made_again_names_the_code_that_changed(folder):
    with pytest.raises(StoreMismatchError) as caught:
        run_experiment({"zdt1": zdt1()}, ALGORITHMS, 2, 100, store=folder)
    message = str(caught.value)
    assert "the code of the algorithm 'MOELA' (moela.MOELA) has changed" in message
    assert "class:" not in message
    assert "NSGA-II" not in message


def test_an_experiment_whose_code_is_the_same_is_answered_from_its_files(folder):
    rivals = {"NSGA-II": ALGORITHMS["NSGA-II"]}
    times = {path: path.stat().st_mtime_ns for path in folder.glob("*.npz")}
    results = run_experiment({"zdt1": zdt1()}, rivals, 2, 100, store=folder)
    assert len(results.runs) == 2
    assert times == {path: path.stat().st_mtime_ns for path in folder.glob("*.npz")}


def test_a_problem_of_a_user_keeps_its_module():
    runs = EvaluationStore(DATA / "users.db").runs()
    assert runs[0].problem["class"] == f"{Beam.__module__}.Beam" == "user_problem.Beam"
