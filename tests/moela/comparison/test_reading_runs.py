"""Every accepted input becomes the same runs, with names, seeds and designs."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pandas
import pytest
from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.core.problem import ElementwiseProblem
from pymoo.core.variable import Choice, Integer, Real
from pymoo.optimize import minimize
from pymoo.problems import get_problem
from scipy.stats import mannwhitneyu

import moela
from moela import MOELA, EvaluationStore, Evaluator, compare, front_of
from moela.comparison.read.dispatch import read
from moela.experiments.run import ExperimentResults, run_experiment

A = [[0.0, 4.0], [2.0, 2.0], [4.0, 0.0]]


class Halves(ElementwiseProblem):
    """Half of the designs are infeasible."""

    def __init__(self, shift=0.0):
        super().__init__(n_var=3, n_obj=2, n_ieq_constr=1, xl=0.0, xu=1.0)
        self.shift = shift
        self.objective_names = ("cost", "delay")

    def _evaluate(self, x, out, *args, **kwargs):
        out["F"] = [x[0] + self.shift, 1.0 - x[0] + x[1]]
        out["G"] = [0.5 - x[2]]


class Mixed(ElementwiseProblem):
    def __init__(self):
        variables = {"kind": Choice(options=["a", "b"]), "n": Integer(bounds=(0, 5))}
        super().__init__(vars=variables | {"r": Real(bounds=(0.0, 1.0))}, n_obj=2)

    def _evaluate(self, x, out, *args, **kwargs):
        out["F"] = [x["n"] + x["r"], 5 - x["n"] + (x["kind"] == "a")]


class Nothing(Halves):
    def _evaluate(self, x, out, *args, **kwargs):
        super()._evaluate(x, out)
        out["G"] = [1.0]


@pytest.fixture(scope="module")
def experiment(tmp_path_factory):
    folder = tmp_path_factory.mktemp("experiment")
    problems = {"halves": Halves, "zdt2": get_problem("zdt2", n_var=4)}
    algorithms = {"small": lambda: NSGA2(10), "large": lambda: NSGA2(30)}
    return folder, run_experiment(problems, algorithms, 2, 120, store=folder)


def test_experiment_and_its_folder_are_the_same(experiment):
    folder, results = experiment
    direct, loaded = compare(results), compare(str(folder))
    assert sorted(direct.problems) == ["halves", "zdt2"]
    assert direct.algorithms == ["small", "large"]
    for problem in direct.problems:
        for algorithm in direct.algorithms:
            np.testing.assert_array_equal(
                direct.values(problem, algorithm), loaded.values(problem, algorithm)
            )
    assert loaded.has_history


def test_values_are_those_of_the_experiment(experiment):
    _, results = experiment
    ref = {"halves": [2.0, 3.0], "zdt2": [1.5, 7.0]}
    comparison = compare(results, ref)
    rows = {(r["problem"], r["algorithm"], r["seed"]): r["volume"] for r in comparison.table()}
    for run in results.runs:
        expected = run.hypervolumes([run.n_eval], np.array(ref[run.problem]))[0]
        assert rows[run.problem, run.algorithm, run.seed] == pytest.approx(expected, rel=1e-9)


def test_tests_are_those_of_the_experiment(experiment):
    _, results = experiment
    ref = {"halves": [2.0, 3.0], "zdt2": [1.5, 7.0]}
    ours = compare(results, ref, baseline="small", paired=False).tests()
    assert [(row["problem"], row["rival"]) for row in ours] == [
        ("halves", "large"),
        ("zdt2", "large"),
    ]
    for row in ours:
        samples = (results.values(row["problem"], name, None, ref) for name in ("small", "large"))
        expected = mannwhitneyu(*samples).pvalue
        assert row["p_value"] == row["p_holm"] == pytest.approx(expected)


def test_several_budgets_of_an_algorithm_are_several(experiment):
    _, results = experiment
    more = run_experiment({"halves": Halves}, {"small": lambda: NSGA2(10)}, 1, 60)
    together = ExperimentResults([*results.select(problem="halves").runs, *more.runs])
    assert set(compare(together).algorithms) == {"small @120", "small @60", "large"}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    path = tmp_path_factory.mktemp("store") / "runs.db"
    results = [
        minimize(
            Halves(shift), NSGA2(10), ("n_eval", 60), seed=seed,
            evaluator=Evaluator(store=path, on_mismatch="new"),
        )
        for shift, seed in ((0.0, 1), (0.0, 2), (1.0, 1))
    ]  # fmt: skip
    return path, results[:2]


def test_store_tells_problems_apart_by_their_settings(store):
    path, results = store
    comparison = compare(path)
    assert comparison.problems == ["Halves", "Halves (2)"]
    assert [run.seed for run in comparison.runs] == [1, 2, 1]
    for outcome, result in zip(comparison.runs, results, strict=False):
        assert outcome.n_eval == 60
        # All that was evaluated holds at least what the algorithm returned.
        from moela.quality.indicators import epsilon

        assert epsilon(outcome.F, result.F) <= 0.0
        # Feasible ones only.
        assert (outcome.X[:, 2] >= 0.5).all()
    with EvaluationStore(path) as opened:
        assert compare(opened).problems == comparison.problems


def test_store_knows_when_each_evaluation_ended(store):
    path, _ = store
    times = read(path)[0].times()
    assert len(times) == 60
    assert (np.diff(times) >= 0).all()
    assert times[-1] > 0
    assert np.isfinite(compare({"a": path}).convergence().rows[-1]["median"])


def test_runs_of_a_store_that_differ_in_settings(tmp_path):
    path = tmp_path / "shared.db"
    for size in (10, 20):
        evaluator = Evaluator(store=path, on_mismatch="new")
        minimize(Halves(), NSGA2(size), ("n_eval", 40), seed=1, evaluator=evaluator)
    comparison = compare(path)
    assert comparison.algorithms == ["NSGA2", "NSGA2 (2)"]
    assert compare({"a": path}).algorithms == ["a: NSGA2", "a: NSGA2 (2)"]
    # The second began with the same ten designs, which the first had paid for.
    first, second = comparison.runs
    assert (first.borrowed, second.borrowed) == (0, 10)
    assert "10 results that runs of NSGA2 (2) on Halves received were known before" in " ".join(
        comparison.caveats
    )


def test_a_store_and_a_folder_of_one_run_are_of_one_problem(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    problem = moela.problem(
        lambda d: (d["x"], d["n"] - d["x"]),
        variables={"x": (0.0, 1.0), "n": (1, 5)},
        objectives={"cost": "min", "gain": "max"},
    )
    moela.minimize(problem, n_eval=20, store="run.db", verbose=False, progress=False)
    (stored,) = read("run.db")
    assert stored.names == ("cost", "gain")
    assert stored.model.decode(stored.X[0]).keys() == {"x", "n"}
    Path("out").mkdir()
    Path("out/front.csv").write_text("cost,gain\n0.5,4.5\n")
    about = {"name": stored.problem, "objectives": ["cost", "gain"], "senses": ["min", "max"]}
    Path("out/run.json").write_text(json.dumps({"problem": about}))
    for order in ({"a": "out", "b": "run.db"}, {"b": "run.db", "a": "out"}):
        assert {run.problem for run in read(order)} == {stored.problem}
        assert all((run.F[:, 1] < 0).all() for run in read(order))


def test_results_take_names_from_algorithm_and_problem():
    problem = Halves()
    results = [
        minimize(problem, algorithm, ("n_eval", 60), seed=seed)
        for algorithm in (NSGA2(10), MOELA(n_subproblems=10))
        for seed in (1, 2)
    ]
    comparison = compare(results)
    assert comparison.algorithms == ["NSGA2", "MOELA"]
    assert comparison.problems == ["Halves"]
    assert comparison.scales["Halves"].names == ("cost", "delay")
    assert [run.seed for run in comparison.runs] == [1, 2, 1, 2]
    # The archive of MOELA is of everything evaluated, the population of NSGA2 is not.
    assert [run.evaluated for run in comparison.runs] == [False, False, True, True]


def test_result_without_a_feasible_design():
    nothing = minimize(Nothing(), NSGA2(10), ("n_eval", 40), seed=1)
    some = minimize(Halves(), NSGA2(10), ("n_eval", 40), seed=1)
    assert nothing.F is None
    comparison = compare({"P": {"nothing": nothing, "some": some}})
    assert comparison.values("P", "nothing").tolist() == [0.0]


def test_mixed_variables_keep_their_designs():
    result = minimize(Mixed(), MOELA(n_subproblems=10), ("n_eval", 50), seed=1, save_history=True)
    front = front_of(result)
    assert set(front.X[0]) == {"kind", "n", "r"}
    frame = front.to_frame()
    assert {"f1", "f2", "kind", "n", "r"} <= set(frame.columns)
    assert len(frame) == len(front)


def test_arrays_in_all_their_forms():
    three = np.stack([np.array(A), np.array(A) + 1, np.array(A) + 2])
    for given in (three, list(three), {1: A, 2: three[1], 3: three[2]}, [A, *three[1:].tolist()]):
        assert len(read({"a": given})) == 3
    assert len(read({"a": A})) == 1
    assert [o.seed for o in read({"a": {4: A, 7: A}})] == [4, 7]
    nested = read({"P": {"a": A}, "Q": {"a": A, "b": A}})
    assert [(o.problem, o.algorithm) for o in nested] == [("P", "a"), ("Q", "a"), ("Q", "b")]
    assert [o.algorithm for o in read([np.array(A), np.array(A)])] == ["front 1", "front 2"]


# -------------------------------------------------------------------------------------- text files


def test_front_of_moela_run(tmp_path):
    for seed in (1, 2):
        folder = tmp_path / f"run-{seed}"
        folder.mkdir()
        (folder / "front.csv").write_text("cost,delay,x0,x1\n1.0,4.0,7,8\n2.0,3.0,5,6\n")
        record = {
            "command": "moela run noc",
            "settings": {"algorithm": "nsga2", "seed": seed},
            "problem": {"name": "NoC3D", "version": "3"},
            "reference": {"cost": 5.0, "delay": 6.0},
            "n_eval": 500,
            "seconds": 2.5,
        }
        (folder / "run.json").write_text(json.dumps(record))
    first, second = read([tmp_path / "run-1", tmp_path / "run-2"])
    assert (first.problem, first.algorithm, first.seed) == ("NoC3D", "nsga2", 1)
    assert (second.seed, second.n_eval, second.seconds) == (2, 500, 2.5)
    assert first.names == ("cost", "delay")
    assert first.ref_point.tolist() == [5.0, 6.0]
    assert first.X.tolist() == [[7.0, 8.0], [5.0, 6.0]]
    assert compare([tmp_path / "run-1", tmp_path / "run-2"]).scales["NoC3D"].rule == (
        "the problem's own"
    )


def test_tables_with_blank_lines_are_several_runs(tmp_path):
    path = tmp_path / "sets.dat"
    path.write_text("# two sets\n1 4\n4 1\n\n2 3\n3 2\n\n")
    assert [o.F.tolist() for o in read(path)] == [[[1, 4], [4, 1]], [[2, 3], [3, 2]]]
    named = tmp_path / "named.csv"
    named.write_text("x0,f0,note_x,f1\n9,1,0,2\n")
    (outcome,) = read(named)
    assert outcome.F.tolist() == [[1.0, 2.0]]
    assert outcome.names == ("f0", "f1")
    headed = tmp_path / "none.csv"
    headed.write_text("cost,delay\n")
    assert read(headed)[0].F.shape == (0, 2)


def test_tables_of_everything_that_was_evaluated(tmp_path, limited):
    assert limited.failures
    goals = {"x": "min", "gain": "max"}
    path = limited.save(tmp_path / "all.csv", all=True)
    (direct,) = read(limited)
    for given in (path, limited.to_frame(all=True)):
        runs = compare({"a": given}, objectives=goals).runs
        assert [run.F.tolist() for run in runs] == [direct.F.tolist()]
        assert (runs[0].n_eval, runs[0].evaluated, runs[0].names) == (60, True, ("x", "gain"))
        np.testing.assert_array_equal(runs[0].history.load(), direct.history.load())
    runs = compare({"a": limited.save(tmp_path / "some.csv")}, objectives=goals).runs
    assert [run.F.tolist() for run in runs] == [direct.F.tolist()]
    assert len(pandas.read_csv(path)) == 60


def test_the_evaluations_beside_a_record(tmp_path, limited):
    limited.save(tmp_path / "evaluations.csv", all=True)
    about = {"name": "f", "objectives": ["x", "gain"], "senses": ["min", "max"]}
    (tmp_path / "run.json").write_text(json.dumps({"problem": about}))
    (run,) = read(tmp_path / "evaluations.csv")
    (direct,) = read(limited)
    assert run.F.tolist() == direct.F.tolist()
    assert (run.problem, run.history.n_eval) == ("f", 60)


def test_columns_that_nobody_calls_objectives_are_pointed_out(tmp_path, limited):
    path = tmp_path / "points.csv"
    path.write_text("n,a,b\n1,2,3\n2,1,2\n")
    assert "all of n, a, b are minimized. objectives=" in " ".join(compare(path).caveats)
    chosen = compare(path, objectives=["b", "a"])
    assert chosen.caveats == []
    assert chosen.runs[0].F.tolist() == [[2.0, 1.0]]
    with pytest.raises(ValueError, match="a column 'c'"):
        compare(path, objectives=["a", "c"])
    with pytest.raises(ValueError, match=r"must be a number.*by objectives= \(--objectives\)"):
        compare(limited.save(tmp_path / "all.csv", all=True))


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.csv", "1,2\n3,x\n", "line 2"),
        ("a.csv", "", "empty"),
        ("a.csv", b"\xff\xfe\x00binary", "must be text in UTF-8. Got UTF-16"),
        ("a.npz", b"PK\x03\x04nonsense", "npz"),
        ("a.db", b"SQLite format 3\x00nonsense", "a.db"),
    ],
)
def test_damaged_file_is_named(tmp_path, name, content, words):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    from moela import StoreError

    with pytest.raises((ValueError, StoreError)) as caught:
        read(path)
    assert name in str(caught.value)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("record", "words"),
    [
        ("{", "JSON"),
        ('{"settings": 3}', "settings"),
        ('{"ref_point": {"a": 1}}', "ref_point"),
        ('{"reference": {"a": 1, "b": "c"}}', "field 'reference.b' must be a finite number"),
        ('{"n_eval": true}', "field 'n_eval' must be an integer of at least 0. Got True"),
        ('{"seed": 1, "seed": 2}', "field 'seed' must be a key only once"),
    ],
)
def test_damaged_record_is_named(tmp_path, record, words):
    (tmp_path / "front.csv").write_text("a,b\n1,2\n")
    (tmp_path / "run.json").write_text(record)
    with pytest.raises(ValueError, match=words) as caught:
        read(tmp_path)
    assert "run.json" in str(caught.value)


def test_paths_that_lead_nowhere(tmp_path):
    with pytest.raises(ValueError, match=r"no file or folder .*; check the path"):
        read(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="Got none of these"):
        read(tmp_path)


def test_pickles_are_never_loaded(tmp_path):
    class Trap:
        def __reduce__(self):
            return (pytest.fail, ("it ran",))

    path = tmp_path / "run.npz"
    np.savez(path, header=np.array([Trap()], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match=r"run\.npz"):
        read(path)


def test_store_of_a_stranger_is_checked(tmp_path):
    path = tmp_path / "other.db"
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("CREATE TABLE t (a)")
    db.close()
    from moela import StoreError

    with pytest.raises(StoreError, match=r"other\.db"):
        read(path)
