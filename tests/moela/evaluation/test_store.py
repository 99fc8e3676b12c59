"""The store file: its content, and errors for files that cannot be used."""

import os
import re
import sqlite3
import subprocess
from contextlib import closing

import numpy as np
import pytest
from evaluation_cases import (
    Extra,
    Failing,
    Links,
    Mixed,
    One,
    designs,
    evaluate,
    file_system,
    stored,
)
from evaluation_cases import solve as solve_with
from pymoo.core.individual import Individual
from pymoo.core.population import Population

from moela.evaluation.evaluator import Evaluator
from moela.evaluation.storage.errors import StoreError
from moela.evaluation.storage.journal import Journal
from moela.evaluation.storage.reader import EvaluationStore
from moela.evaluation.storage.schema import SCHEMA_VERSION
from moela.watch.listing import describe_runs

X = designs(12)


def fill(path, problem=None, X=X, **settings):
    return evaluate(problem or One(), X, store=path, **settings)


def solve(path, n_eval=60, problem=None, **settings):
    return solve_with(problem or One(), n_eval, store=path, **settings)


# ---- reading -------------------------------------------------------------------------------------


def test_runs_have_their_settings_and_counts(store):
    solve(store)
    solve(store, seed=2, n_eval=30, on_mismatch="new")
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
    pop = fill(store, Failing("raise", n_ieq_constr=1), on_error="infeasible", retries=1)
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
    fill(store, Extra())
    fill(store, Failing("raise"), on_error="infeasible", on_mismatch="new")
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


def test_integers_come_back_as_integers(store):
    fill(store, Links(), np.array([[1, 2, 3], [4, 5, 6]]))
    assert stored(store)[0].X.dtype.kind == "i"


def test_the_front_is_feasible_and_not_dominated(store):
    problem = One(n_ieq_constr=1)
    solve(store, problem=problem)
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
    solve(store)
    with Evaluator(store=store, on_mismatch="new") as evaluator:
        evaluator.eval(One(), Population.new(X=X))
    heading, first, second = describe_runs(store)
    assert heading.split()[:6] == ["run", "state", "problem", "algorithm", "seed", "evaluations"]
    assert first.split()[:8] == ["1", "done", "One", "NSGA2", "1", "60/60", "60", "0"]
    assert second.split()[:6] == ["2", "running", "One", "-", "-", "12"]


def test_a_run_that_does_not_exist_is_named(store):
    fill(store)
    with pytest.raises(ValueError, match=r"runs \[1\].* Got 7"):
        stored(store, run=7)


def test_runs_of_different_problems_are_not_mixed_into_one_population(store):
    class Three(One):
        def __init__(self):
            super().__init__()
            self.n_obj = 3

        def _evaluate(self, x, out, *args, **kwargs):
            out["F"] = x[:3]

    fill(store)
    fill(store, Three(), on_mismatch="new")
    with EvaluationStore(store) as reader:
        with pytest.raises(ValueError, match="different numbers of objectives"):
            reader.front()
        assert len(reader.front(2))


# ---- what goes wrong -----------------------------------------------------------------------------


def test_a_file_that_is_no_database_is_left_alone(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("do not overwrite me")
    for opened in (EvaluationStore, Journal):
        with pytest.raises(StoreError, match="is not a store"):
            opened(path)
    with pytest.raises(StoreError, match="is not a store"):
        fill(path)
    assert path.read_text() == "do not overwrite me"


def test_the_database_of_another_program_is_left_alone(tmp_path):
    path = tmp_path / "bookmarks.db"
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE bookmarks (url TEXT)")
    db.close()
    content = path.read_bytes()
    for opened in (EvaluationStore, Journal):
        with pytest.raises(StoreError, match="database of another program"):
            opened(path)
    assert path.read_bytes() == content


def test_a_store_of_a_newer_version_is_left_alone(store):
    fill(store)
    with sqlite3.connect(store) as db:
        db.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    db.close()
    for opened in (EvaluationStore, Journal):
        with pytest.raises(StoreError, match=f"has version {SCHEMA_VERSION + 1}"):
            opened(store)


@pytest.mark.parametrize("damage", ["zeros", "cut", "header"])
def test_a_damaged_store_is_reported_and_left_alone(store, damage):
    solve(store, n_eval=400)
    content = bytearray(store.read_bytes())
    if damage == "zeros":
        content[8192:20480] = bytes(12288)
    elif damage == "cut":
        del content[len(content) // 2 :]
    else:
        content[:8] = b"garbage!"
    store.write_bytes(content)
    with pytest.raises(StoreError, match=r"is damaged|is not a store"):
        solve(store)
    with pytest.raises(StoreError, match=r"is damaged|is not a store"):
        EvaluationStore(store)
    assert store.read_bytes() == content


def test_a_row_with_a_negative_number_is_reported(store):
    fill(store)
    with closing(sqlite3.connect(store)) as db, db:
        db.execute("UPDATE evaluations SET id = -5 WHERE id = 1")
    with pytest.raises(StoreError, match=r"is damaged \(table evaluations, row -5, field id"):
        stored(store)


def test_a_changed_byte_that_sqlite_does_not_notice_is_reported(store):
    pop = fill(store)
    content = store.read_bytes()
    value = pop[5].F[1].tobytes()
    assert content.count(value) == 1
    wrong = np.nextafter(pop[5].F[1], 2.0).tobytes()
    store.write_bytes(content.replace(value, wrong))
    with pytest.raises(StoreError, match=r"is damaged \(table evaluations, row 6, field checksum"):
        stored(store)
    with pytest.raises(StoreError, match="is damaged"):
        fill(store)
    assert wrong in store.read_bytes()  # left for whoever saves what can be saved


def test_damage_anywhere_in_a_store_is_never_taken_for_a_result(store):
    solve(store, n_eval=100)
    content = store.read_bytes()
    whole = [(e.n, e.X.tobytes(), e.F.tobytes()) for e in stored(store)]
    rng = np.random.default_rng(0)
    reported = 0
    for start in rng.integers(100, len(content) - 8, size=60):
        store.write_bytes(content[:start] + rng.bytes(8) + content[start + 8 :])
        try:
            with EvaluationStore(store) as reader:
                reader.runs()
                read = [(e.n, e.X.tobytes(), e.F.tobytes()) for e in reader.evaluations()]
        except StoreError:
            reported += 1
        else:  # what was hit holds nothing, or an index
            assert read == whole
    assert reported > 20  # 34 of 60 measured; the other places hold nothing, or an index


def test_a_traceback_with_half_a_character_is_stored(store):
    class Odd(One):
        def _evaluate(self, x, out, *args, **kwargs):
            raise OSError("no file caf\udce9")

    fill(store, Odd(), on_error="infeasible")
    evaluations = stored(store)
    assert {e.status for e in evaluations} == {"error"}
    assert r"caf\udce9" in evaluations[0].error


def test_a_row_that_cannot_be_written_ends_the_run_instead_of_hanging_it(store, monkeypatch):
    def row(*args):  # an integer beyond those of SQLite
        return ((1, 0, 0, b"", b"", None, None, None, None, "ok", None, 0.0, "", 2**70, 0.0, 0), {})

    monkeypatch.setattr("moela.evaluation.storage.journal.write_row", row)
    with pytest.raises(StoreError, match="too large"):
        fill(store)


def test_an_empty_file_becomes_a_store(store):
    store.touch()
    with EvaluationStore(store) as reader:  # opened in the moment in which a run begins
        assert reader.runs() == list(reader.evaluations()) == []
        assert len(reader.front()) == 0
        with pytest.raises(ValueError, match=r"one of the runs \[\]"):
            reader.population(1)
        assert len(describe_runs(store)) == 1
        assert len(fill(store)) == 12
        assert len(list(reader.evaluations())) == 12


def test_a_missing_folder_and_a_folder_are_named(tmp_path):
    with pytest.raises(StoreError, match=r"folder of the store .* does not exist"):
        fill(tmp_path / "missing" / "run.db")
    with pytest.raises(StoreError, match="is a folder"):
        fill(tmp_path)
    with pytest.raises(StoreError, match=r"There is no store .* Check the path"):
        EvaluationStore(tmp_path / "run.db")


def test_a_full_disk_stops_the_run_and_keeps_what_was_committed(tmp_path):
    with file_system(tmp_path / "small", "size=3m") as folder:
        path = folder / "run.db"
        with pytest.raises(StoreError, match=r"no room left|disk I/O error"):
            solve(path, n_eval=5000)
        kept = len(stored(path))
        assert kept > 100  # 1,310 measured
        subprocess.run(["mount", "-o", "remount,size=20m", str(folder)], check=True)
        result = solve(path, n_eval=kept + 90)
        assert result.evaluator.n_fresh == 90
        np.testing.assert_array_equal(result.F, solve(None, n_eval=kept + 90).F)


@pytest.mark.skipif(os.name != "posix", reason="needs limits of resources")
@pytest.mark.parametrize("pause", [0.0, 0.02], ids=["large-commits", "small-commits"])
def test_a_limit_on_the_size_of_files_is_named_with_all_that_is_lost(script, store, pause):
    text = f"""
        import resource, sys, time
        import numpy as np
        from evaluation_cases import One, designs
        from pymoo.core.population import Population
        from moela.evaluation.evaluator import Evaluator

        hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
        resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, hard))
        evaluator = Evaluator(store=sys.argv[1])
        for X in np.split(designs(2000), {200 if pause else 20}):
            try:
                evaluator.eval(One(), Population.new(X=X))
                time.sleep({pause})
            except Exception as error:
                first = str(error)
                break
        try:
            evaluator.close()
        except Exception as error:
            first = str(error)
        print(evaluator.n_fresh)
        print(first)
    """
    known, message = script(text, store).strip().split("\n")
    assert "limit of 300,000 bytes that this process may write into a file (ulimit -f)" in message
    assert "committed before are safe in it" in message
    found = re.findall(r"(\d+) evaluations? that ended later (?:is|are) lost", message)
    # None is lost if a copy has room, or if what met the limit was no evaluation.
    lost = int(found[0]) if found else 0
    assert message.count("lost") == len(found)
    kept = next(store.parent.glob("*.rescued-1.db"), store)
    assert len(stored(kept)) + lost == int(known)


@pytest.mark.parametrize("pause", [0.0, 60.0], ids=["committed-in-groups", "committed-at-once"])
def test_a_store_that_cannot_grow_says_so_and_keeps_what_was_committed(store, monkeypatch, pause):
    # However the rows fall into commits, as many are kept as fit: none of those that ended in time
    # is lost because a later one of the same commit has no room.
    monkeypatch.setattr("moela.evaluation.storage.writer._COMMIT_SECONDS", pause)
    problem, more, connections = One(), designs(500, seed=1), []

    def connect(*args, connect=sqlite3.connect, **kwargs):
        connections.append(connect(*args, **kwargs))
        return connections[-1]

    monkeypatch.setattr(sqlite3, "connect", connect)
    with Evaluator(store=store) as evaluator:
        evaluator.eval(problem, Population.new(X=X))
        db = connections[0]  # of the writer; others only look at the file
        (pages,) = db.execute("PRAGMA page_count").fetchone()
        db.execute(f"PRAGMA max_page_count = {pages + 6}")
        with pytest.raises(StoreError, match=r"no room left for the store .* make the same call"):
            evaluator.eval(problem, Population.new(X=more))
    kept = {e.X.tobytes() for e in stored(store)}
    assert 100 < len(kept) < 512  # 173 measured: six pages of 4 KB hold 161 more
    assert kept <= {x.tobytes() for x in np.vstack([X, more])}
    with Evaluator(store=store) as evaluator:
        evaluator.eval(One(), Population.new(X=X))
        evaluator.eval(One(), Population.new(X=more))
        assert evaluator.n_fresh == 512 - len(kept)


def test_a_read_only_folder_is_named_and_can_still_be_read(tmp_path):
    with file_system(tmp_path / "shelf", "size=2m") as folder:
        path = folder / "run.db"
        fill(path)
        subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
        with pytest.raises(StoreError, match=r"cannot be written .*folder must be writable"):
            fill(path, X=X + 1)
        with pytest.raises(StoreError, match="cannot be written"):
            fill(folder / "other.db")
        assert len(stored(path)) == 12
        subprocess.run(["mount", "-o", "remount,rw", str(folder)], check=True)
        (folder / "run.db-wal").write_bytes(bytes(64))  # of a run that was killed
        subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
        with pytest.raises(StoreError, match=r"To read it, copy run\.db and run\.db-wal to"):
            stored(path)


def test_two_processes_write_to_one_file(script, store):
    text = """
        import sys
        from evaluation_cases import One, solve
        solve(One(), 400, seed=int(sys.argv[2]), store=sys.argv[1], on_mismatch="new")
    """
    both = [script(text, store, seed, wait=False) for seed in (1, 2)]
    for process in both:
        _, err = process.communicate(timeout=240)
        assert process.returncode == 0, err
    with EvaluationStore(store) as reader:
        assert [run.n_eval for run in reader.runs()] == [400, 400]
        assert sum(1 for _ in reader.evaluations()) == 800


def test_a_locked_store_is_named(store, monkeypatch):
    fill(store)
    monkeypatch.setattr("moela.evaluation.storage.sqlite.BUSY_SECONDS", 0.2)
    other = sqlite3.connect(store, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError, match="Another process has been writing"):
        fill(store, X=X + 1)
    other.execute("ROLLBACK")
    other.close()


def test_a_store_holds_no_pickle(store):
    solve(store, n_eval=40)
    with sqlite3.connect(store) as db:
        for blobs in db.execute("SELECT x, f, g, h, extra FROM evaluations"):
            assert not any(
                blob and blob.startswith(b"\x80") and blob.endswith(b".") for blob in blobs
            )
    db.close()


def test_readers_leave_no_files_beside_a_store(store):
    fill(store)
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


def test_readers_leave_no_files_beside_a_read_only_store(store, monkeypatch):
    fill(store)
    monkeypatch.setattr(os, "access", lambda path, mode: str(path) != str(store))
    with EvaluationStore(store) as reader:
        assert len(list(reader.evaluations())) == len(X)
        assert os.listdir(store.parent) == [store.name]


def test_readers_leave_the_log_of_a_writer(store):
    fill(store)
    reader = EvaluationStore(store)
    reader.runs()
    with closing(sqlite3.connect(store)) as writer:
        writer.execute("PRAGMA user_version").fetchone()
        reader.close()
        assert store.with_name(store.name + "-wal").exists()
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("ROLLBACK")
    assert os.listdir(store.parent) == [store.name]
