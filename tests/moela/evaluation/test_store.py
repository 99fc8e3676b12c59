"""The store file: its content, and errors for files that cannot be used."""

import os
import shutil
import sqlite3
from contextlib import closing

import numpy as np
import pytest
from evaluation_cases import (
    Extra,
    Failing,
    Mixed,
    One,
    designs,
    fill_store,
    solve_into,
    stored,
)
from pymoo.core.individual import Individual
from pymoo.core.population import Population

from moela.evaluation.evaluator import Evaluator
from moela.evaluation.storage.reader import EvaluationStore
from moela.watch.listing import describe_runs

X = designs(12)


def test_runs_have_their_settings_and_counts(store):
    solve_into(store)
    solve_into(store, seed=2, n_eval=30, on_mismatch="new")
    with EvaluationStore(store) as reader:
        first, second = reader.runs()
    assert (first.id, first.seed, first.n_eval, first.budget, first.state) == (1, 1, 60, 60, "done")
    assert (second.seed, second.n_eval, second.n_fresh, second.n_failed) == (2, 30, 30, 0)
    assert first.problem["class"] == "evaluation_cases.One"
    assert first.algorithm["settings"]["pop_size"] == 20
    assert first.settings == {"chunk_size": 1, "dedupe": True}
    assert first.versions["numpy"] == np.__version__
    assert not first.seed_drawn
    assert first.elapsed > 0


def test_evaluations_have_their_values_and_circumstances(store):
    pop = fill_store(store, Failing("raise", n_ieq_constr=1), on_error="infeasible", retries=1)
    evaluations = stored(store, run=1)
    assert [e.n for e in evaluations] == list(range(12))
    for e, individual in zip(evaluations, pop, strict=True):
        np.testing.assert_array_equal(e.X, individual.X)
        if e.status == "ok":
            np.testing.assert_array_equal(e.F, individual.F)
            np.testing.assert_array_equal(e.G, individual.G)
            assert (e.H.shape, e.error, e.attempts) == ((0,), None, 1)
        else:
            assert e.F is e.G is None
            assert "the simulator broke" in e.error
            assert e.attempts == 2
        assert e.worker.endswith(f":{os.getpid()}")
        assert e.duration > 0
        assert e.batch == 0
    assert any(e.status == "error" for e in evaluations)


def test_a_frame_has_a_row_per_evaluation(store):
    pandas = pytest.importorskip("pandas")
    fill_store(store, Extra())
    fill_store(store, Failing("raise"), on_error="infeasible", on_mismatch="new")
    with EvaluationStore(store) as reader:
        frame = reader.to_frame()
        one = reader.to_frame(run=1)
    assert isinstance(frame, pandas.DataFrame)
    assert len(frame) == 24
    assert len(one) == 12
    assert list(one.columns[:9]) == ["run", "n", "batch", *(f"x{i}" for i in range(6))]
    assert set(one["steps"]) == {7}
    assert frame["f0"].isna().sum() == (X[:, 0] < 0.3).sum()
    np.testing.assert_array_equal(one[[f"x{i}" for i in range(6)]], X)


def test_mixed_variables_come_back_with_their_types(store):
    x = {"real": 0.1 + 0.2, "whole": np.int64(3), "flag": np.bool_(True), "kind": "torus"}
    with Evaluator(store=store) as evaluator:
        evaluator.eval(Mixed(), Population([Individual(X=x)]))
    with EvaluationStore(store) as reader:
        (e,) = reader.evaluations()
        frame = reader.to_frame()
    assert e.X == {"real": 0.1 + 0.2, "whole": 3, "flag": True, "kind": "torus"}
    assert [type(e.X[k]) for k in ("real", "whole", "flag")] == [float, int, bool]
    assert frame["kind"][0] == "torus"


def test_the_front_is_feasible_and_not_dominated(store):
    problem = One(n_ieq_constr=1)
    solve_into(store, problem=problem)
    with EvaluationStore(store) as reader:
        front, everything = reader.front(), reader.population()
    F = everything[everything.get("FEAS")[:, 0]].get("F")
    for f in front.get("F"):
        assert not np.any(np.all(f >= F, axis=1) & np.any(f > F, axis=1))
    assert front.get("FEAS").all()
    assert all("F" in individual.evaluated for individual in front)


def test_a_store_can_be_read_while_it_is_written(store):
    with Evaluator(store=store) as evaluator:
        for rows in (X[:4], X[4:]):
            evaluator.eval(One(), Population.new(X=rows))
            assert len(stored(store)) == evaluator.n_fresh


def test_the_table_of_runs_is_plain_text(store):
    solve_into(store)
    with Evaluator(store=store, on_mismatch="new") as evaluator:
        evaluator.eval(One(), Population.new(X=X))
    heading, first, second = describe_runs(store)
    assert heading.split()[:6] == ["run", "state", "problem", "algorithm", "seed", "evaluations"]
    assert first.split()[:8] == ["1", "done", "One", "NSGA2", "1", "60/60", "60", "0"]
    assert second.split()[:6] == ["2", "running", "One", "-", "-", "12"]


def test_a_run_that_does_not_exist_is_named(store):
    fill_store(store)
    with pytest.raises(ValueError, match=r"runs \[1\].* Got 7"):
        stored(store, run=7)


def test_runs_of_different_problems_are_not_mixed_into_one_population(store):
    class Three(One):
        def __init__(self):
            super().__init__()
            self.n_obj = 3

        def _evaluate(self, x, out, *args, **kwargs):
            out["F"] = x[:3]

    fill_store(store)
    fill_store(store, Three(), on_mismatch="new")
    with EvaluationStore(store) as reader:
        with pytest.raises(ValueError, match="different numbers of objectives"):
            reader.front()
        assert len(reader.front(2))


def test_readers_leave_no_files_beside_a_store(store):
    fill_store(store)
    before, content = os.stat(store), store.read_bytes()
    with EvaluationStore(store) as reader:
        assert len(reader.runs()) == 1
        with EvaluationStore(store) as other:
            assert len(other.runs()) == 1
        assert len(list(reader.evaluations())) == len(X)
    assert os.listdir(store.parent) == [store.name]
    with closing(sqlite3.connect(f"{store.as_uri()}?mode=ro", uri=True)) as left:
        left.execute("PRAGMA user_version").fetchone()
    assert len(os.listdir(store.parent)) == 3  # files that another reader has left
    EvaluationStore(store).close()
    assert os.listdir(store.parent) == [store.name]
    assert (os.stat(store).st_mtime_ns, store.read_bytes()) == (before.st_mtime_ns, content)


def test_a_store_of_a_killed_run_is_moved_with_its_log(store, tmp_path, script):
    text = """
        import os, sys
        from evaluation_cases import One, designs
        from pymoo.core.population import Population
        from moela.evaluation.evaluator import Evaluator
        evaluator = Evaluator(store=sys.argv[1])
        evaluator.eval(One(), Population.new(X=designs(5)))
        os.kill(os.getpid(), 9)
    """
    script(text, store, wait=False).wait(60)
    alone, together = tmp_path / "alone.db", tmp_path / "together.db"
    shutil.copy(store, alone)
    shutil.copy(store, together)
    shutil.copy(f"{store}-wal", f"{together}-wal")
    assert len(stored(together)) == 5
    assert len(stored(alone)) == 0
