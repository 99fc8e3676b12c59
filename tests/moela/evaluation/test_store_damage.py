"""Stores: what goes wrong with a file, and what is kept."""

import sqlite3
import subprocess
from contextlib import closing

import numpy as np
import pytest
from evaluation_cases import (
    One,
    designs,
    file_system,
    fill_store,
    solve_into,
    stored,
)
from pymoo.core.population import Population

from moela.evaluation.evaluator import Evaluator
from moela.evaluation.storage.errors import StoreError
from moela.evaluation.storage.journal import Journal
from moela.evaluation.storage.reader import EvaluationStore
from moela.evaluation.storage.schema import SCHEMA_VERSION
from moela.watch.listing import describe_runs

X = designs(12)


def test_a_file_that_is_no_database_is_left_alone(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("do not overwrite me")
    for opened in (EvaluationStore, Journal):
        with pytest.raises(StoreError, match="is not a store"):
            opened(path)
    with pytest.raises(StoreError, match="is not a store"):
        fill_store(path)
    assert path.read_text() == "do not overwrite me"


def test_the_database_of_another_program_is_left_alone(tmp_path):
    path = tmp_path / "bookmarks.db"
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("CREATE TABLE bookmarks (url TEXT)")
    db.close()
    content = path.read_bytes()
    for opened in (EvaluationStore, Journal):
        with pytest.raises(StoreError, match="database of another program"):
            opened(path)
    assert path.read_bytes() == content


def test_a_store_of_a_newer_version_is_left_alone(store):
    fill_store(store)
    with closing(sqlite3.connect(store)) as db, db:
        db.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    db.close()
    for opened in (EvaluationStore, Journal):
        with pytest.raises(StoreError, match=f"has version {SCHEMA_VERSION + 1}"):
            opened(store)


@pytest.mark.parametrize("damage", ["zeros", "cut", "header"])
def test_a_damaged_store_is_reported_and_left_alone(store, damage):
    solve_into(store, n_eval=200)
    content = bytearray(store.read_bytes())
    if damage == "zeros":
        content[8192:20480] = bytes(12288)
    elif damage == "cut":
        del content[len(content) // 2 :]
    else:
        content[:8] = b"garbage!"
    store.write_bytes(content)
    with pytest.raises(StoreError, match=r"is damaged|is not a store"):
        solve_into(store)
    with pytest.raises(StoreError, match=r"is damaged|is not a store"):
        EvaluationStore(store)
    assert store.read_bytes() == content


def test_a_changed_byte_that_sqlite_does_not_notice_is_reported(store):
    pop = fill_store(store)
    content = store.read_bytes()
    value = pop[5].F[1].tobytes()
    assert content.count(value) == 1
    wrong = np.nextafter(pop[5].F[1], 2.0).tobytes()
    store.write_bytes(content.replace(value, wrong))
    with pytest.raises(StoreError, match=r"is damaged \(table evaluations, row 6, field checksum"):
        stored(store)
    with pytest.raises(StoreError, match="is damaged"):
        fill_store(store)
    assert wrong in store.read_bytes()  # left for whoever saves what can be saved


def test_damage_anywhere_in_a_store_is_never_taken_for_a_result(store):
    solve_into(store, n_eval=100)
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


def test_an_empty_file_becomes_a_store(store):
    store.touch()
    with EvaluationStore(store) as reader:  # opened in the moment in which a run begins
        assert reader.runs() == list(reader.evaluations()) == []
        assert len(reader.front()) == 0
        with pytest.raises(ValueError, match=r"one of the runs \[\]"):
            reader.population(1)
        assert len(describe_runs(store)) == 1
        assert len(fill_store(store)) == 12
        assert len(list(reader.evaluations())) == 12


def test_a_missing_folder_and_a_folder_are_named(tmp_path):
    with pytest.raises(StoreError, match=r"folder of the store .* does not exist"):
        fill_store(tmp_path / "missing" / "run.db")
    with pytest.raises(StoreError, match="is a folder"):
        fill_store(tmp_path)
    with pytest.raises(StoreError, match=r"There is no store .* Check the path"):
        EvaluationStore(tmp_path / "run.db")


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
        fill_store(path)
        subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
        with pytest.raises(StoreError, match=r"cannot be written .*folder must be writable"):
            fill_store(path, X=X + 1)
        with pytest.raises(StoreError, match="cannot be written"):
            fill_store(folder / "other.db")
        assert len(stored(path)) == 12
        subprocess.run(["mount", "-o", "remount,rw", str(folder)], check=True)
        (folder / "run.db-wal").write_bytes(bytes(64))  # of a run that was killed
        subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
        with pytest.raises(StoreError, match=r"To read it, copy run\.db and run\.db-wal to"):
            stored(path)


def test_two_processes_write_to_one_file(script, store):
    text = """
        import sys
        from evaluation_cases import solve_into
        solve_into(sys.argv[1], 200, seed=int(sys.argv[2]), on_mismatch="new")
    """
    both = [script(text, store, seed, wait=False) for seed in (1, 2)]
    for process in both:
        _, err = process.communicate(timeout=240)
        assert process.returncode == 0, err
    with EvaluationStore(store) as reader:
        assert [run.n_eval for run in reader.runs()] == [200, 200]
        assert sum(1 for _ in reader.evaluations()) == 400


def test_a_locked_store_is_named(store, monkeypatch):
    fill_store(store)
    monkeypatch.setattr("moela.evaluation.storage.sqlite.BUSY_SECONDS", 0.2)
    other = sqlite3.connect(store, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError, match="Another process has been writing"):
        fill_store(store, X=X + 1)
    other.execute("ROLLBACK")
    other.close()


def test_a_store_holds_no_pickle(store):
    solve_into(store, n_eval=40)
    with closing(sqlite3.connect(store)) as db, db:
        for blobs in db.execute("SELECT x, f, g, h, extra FROM evaluations"):
            assert not any(
                blob and blob.startswith(b"\x80") and blob.endswith(b".") for blob in blobs
            )
    db.close()
