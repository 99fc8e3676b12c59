"""A store that is deleted, replaced or damaged while a run writes to it: nothing known is lost."""

import re
import shutil
import subprocess
import threading
from pathlib import Path

import numpy as np
import pytest
from evaluation_cases import One, designs, file_system, stored, wait_for
from evaluation_cases import solve as solve_with
from pymoo.core.population import Population
from store_incidents import (
    cut,
    cut_log,
    empty,
    forbid_writing,
    index_of,
    log_of,
    overwrite,
    replace_by_older,
    unlink,
    unlink_all,
    unlink_folder,
    unlink_log,
)

from moela.evaluation.evaluator import Evaluator
from moela.evaluation.storage import writer
from moela.evaluation.storage.errors import StoreError
from moela.evaluation.storage.reader import EvaluationStore

N_EVAL = 120


@pytest.fixture
def store(tmp_path):
    """A store in a folder of its own, which a test may delete."""
    folder = tmp_path / "runs"
    folder.mkdir()
    return folder / "run.db"


@pytest.fixture(autouse=True)
def often(request, monkeypatch, tmp_path):
    """Have the files looked at, and written, far more often, except in tests of the clock."""
    if "clock" not in request.node.name:
        monkeypatch.setattr("moela.evaluation.storage.writer._LOOK_SECONDS", 0.01)
        # What is in the log alone is lost with it, and only then.
        rows = 10**6 if "log" in request.node.name else 10
        monkeypatch.setattr("moela.evaluation.storage.writer._COPY_ROWS", rows)
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The rows and the last population of a run that nothing disturbs."""
    path = tmp_path_factory.mktemp("whole") / "run.db"
    return solve(Disturbed(), path).pop, rows(path)


class Disturbed(One):
    """Does something to the store in the middle of an evaluation."""

    def __init__(self, action=None, at=50):
        super().__init__()
        self._action = action
        self._at = at
        self._count = 0

    def _evaluate(self, x, out, *args, **kwargs):
        super()._evaluate(x, out)
        self._count += 1
        if self._count == self._at and self._action is not None:
            self._action()

    def count(self):
        return self._count


def solve(problem, store=None, n_eval=N_EVAL, **settings):
    return solve_with(problem, n_eval, store=store, recheck=False, **settings)


def rows(path):
    """Return what the evaluations of a store say of designs, in the order of their positions."""
    found = [(e.n, e.batch, e.X.tobytes(), e.F.tobytes(), e.status) for e in stored(path)]
    return sorted(found)


def rescued_in(error):
    """Return the file that an error names, or None if it names none."""
    match = re.search(r"are in (.+?\.rescued-\d+\.db)\.", str(error))
    return Path(match.group(1)) if match else None


RESCUED = {
    unlink: "was deleted",
    unlink_all: "was deleted",
    replace_by_older: "was replaced by another file",
    empty: "was emptied",
    overwrite: "was (emptied|cut|overwritten)",  # which is one after the other
    cut_log: "(log run.db-wal was cut|was overwritten)",
    unlink_folder: "its folder .* was deleted, renamed or unmounted",
}
IN_PLACE = {
    unlink_log: "its file run.db-wal was deleted",
    forbid_writing: "was made read-only",
}


def disturb(store, how, at=50, **settings):
    """Run until something is done to the store; return the error, and what was known by then."""
    older = store.parent.parent / "older.db"
    solve(Disturbed(), store, n_eval=20, on_mismatch="new")
    shutil.copy(store, older)

    writers, copy_log, happened = [], writer.Writer._copy_log, threading.Event()

    def copy_before(self):
        writers.append(self)
        if not happened.is_set():
            copy_log(self)

    def action():
        # Pages that are in the log too are copied into the file later, which would undo the damage.
        with writers[-1].lock:
            if writer._COPY_ROWS < N_EVAL:
                copy_log(writers[-1])
            happened.set()
        how(store, older)

    problem = Disturbed(action, at)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writer.Writer, "_copy_log", copy_before)
        with pytest.raises(StoreError) as caught:
            solve(problem, store, **settings)
    return caught.value, 20 + problem.count()


def assert_resumed(store, error, known, whole):
    """Resume the run as the error says; its end is that of an undisturbed one, to the last bit."""
    rescued = rescued_in(error)
    if rescued is not None:
        store.parent.mkdir(exist_ok=True)
        shutil.move(rescued, store)
    assert len(stored(store)) == known
    resumed, (pop, evaluations) = solve(Disturbed(), store), whole
    np.testing.assert_array_equal(resumed.pop.get("X"), pop.get("X"))
    np.testing.assert_array_equal(resumed.pop.get("F"), pop.get("F"))
    assert rows(store) == evaluations
    assert resumed.evaluator.n_fresh == N_EVAL - known


@pytest.mark.parametrize("how", RESCUED, ids=lambda how: how.__name__)
def test_everything_known_is_kept_in_a_new_file(store, how, whole):
    error, known = disturb(store, how)
    assert re.search(f"The store .*run.db .*{RESCUED[how]}", str(error))
    assert "rename that file" in str(error)
    assert rescued_in(error).name == "run.db.rescued-1.db"
    assert f"All {known} evaluations" in str(error)
    assert_resumed(store, error, known, whole)


@pytest.mark.parametrize("how", IN_PLACE, ids=lambda how: how.__name__)
def test_a_store_that_has_not_lost_its_file_keeps_everything_in_it(store, how, whole):
    error, known = disturb(store, how)
    assert re.search(f"The store .*run.db .*{IN_PLACE[how]}", str(error))
    assert re.search(f"All {known} evaluations are (in the store itself|safe in it)", str(error))
    assert not list(store.parent.glob("*rescued*"))
    store.chmod(0o644)
    assert_resumed(store, error, known, whole)


@pytest.mark.parametrize("how", [replace_by_older, cut])
def test_what_has_taken_the_place_of_a_store_is_left_as_it_is(store, how):
    placed = []

    def place(path, older):
        how(path, older)
        placed.append(path.read_bytes())

    disturb(store, place)
    assert store.read_bytes() == placed[0]
    assert not log_of(store).exists()  # SQLite would take it for a log of that file
    assert not index_of(store).exists()


@pytest.mark.parametrize(
    ("how", "settings"),
    [(unlink, {"n_jobs": 2}), (unlink_log, {"n_jobs": 2, "backend": "threads"})],
    ids=["processes", "threads"],
)
def test_what_workers_have_in_hand_is_kept_too(store, how, settings):
    X = designs(400)  # of which some twenty are evaluated, and more if the thread is late
    problem = One(seconds=0.05)

    def act():
        wait_for(lambda: store.exists() and len(stored(store)) >= 10, pause=0.01)
        how(store, None)

    thread = threading.Thread(target=act)
    thread.start()
    evaluator = Evaluator(store=store, **settings)
    with pytest.raises(StoreError, match="while a run was writing") as caught:
        evaluator.eval(problem, Population.new(X=X))
    thread.join()
    rescued = rescued_in(caught.value)
    if rescued is not None:
        shutil.move(rescued, store)
    assert len(stored(store)) == evaluator.n_fresh < 400
    with Evaluator(store=store, **settings) as again:
        again.eval(One(seconds=0.0), Population.new(X=X))
    assert again.n_fresh == 400 - evaluator.n_fresh


@pytest.mark.parametrize("how", [unlink, cut], ids=lambda how: how.__name__)
def test_an_incident_is_noticed_within_a_second_by_the_clock(store, how, log):
    """Even if nothing is committed, since an evaluation takes long."""

    def act():
        how(store, None)
        # The evaluation ends once the incident was noticed, however late that is on a busy machine.
        wait_for(lambda: list(store.parent.glob("*.rescued-1.db")))

    assert writer._LOOK_SECONDS < 1.0
    evaluator = Evaluator(store=store)
    problem = Disturbed(act, at=6)
    evaluator.eval(problem, Population.new(X=designs(5)))
    with pytest.raises(StoreError):
        evaluator.eval(problem, Population.new(X=designs(1, seed=1)))
    assert "while a run was writing to it" in log.text


def test_an_incident_after_the_last_evaluation_is_told_by_close(store):
    evaluator = Evaluator(store=store)
    evaluator.eval(One(), Population.new(X=designs(5)))
    unlink(store, None)
    with pytest.raises(StoreError, match=r"was deleted .*All 5 evaluations"):
        evaluator.close()
    evaluator.close()


def test_an_empty_store_is_not_begun_beside_a_rescued_one(store):
    disturb(store, unlink)
    with pytest.raises(StoreError, match=r"a copy that was rescued .*run.db.rescued-1.db"):
        solve(Disturbed(), store)
    assert solve(Disturbed(), store, on_mismatch="new").evaluator.n_fresh == N_EVAL
    solve(Disturbed(), store)


def test_a_store_with_other_runs_is_rescued_with_them(store):
    solve(Disturbed(), store, n_eval=30)
    with pytest.raises(StoreError, match=r"All \d+ evaluations") as caught:
        solve(Disturbed(lambda: unlink(store, None)), store, seed=2, on_mismatch="new")
    shutil.move(rescued_in(caught.value), store)
    with EvaluationStore(store) as reader:
        first, second = (run.n_fresh for run in reader.runs())
    assert first == 30
    assert second >= 50
    assert solve(Disturbed(), store, n_eval=30).evaluator.n_fresh == 0


def test_the_copy_of_another_process_is_no_incident(store, script):
    text = """
        import sys
        from evaluation_cases import One, solve
        solve(One(), 300, seed=int(sys.argv[2]), store=sys.argv[1], on_mismatch="new")
    """
    solve(Disturbed(), store, n_eval=20)
    both = [script(text, store, seed, wait=False) for seed in (1, 2)]
    commands = ["PRAGMA wal_checkpoint(TRUNCATE)", "VACUUM", "SELECT count(*) FROM evaluations"]
    while any(process.poll() is None for process in both):
        for command in commands:
            reader = [shutil.which("sqlite3") or "true", str(store), command]
            subprocess.run(reader, capture_output=True)
    for process in both:
        _, err = process.communicate(timeout=240)
        assert process.returncode == 0, err
    with EvaluationStore(store) as reader:
        assert [run.n_eval for run in reader.runs()] == [20, 300, 300]


def test_a_full_disk_and_the_rows_that_had_no_room(tmp_path):
    with file_system(tmp_path / "small", "size=600k") as folder:
        path = folder / "run.db"
        with pytest.raises(StoreError, match=r"no room left .*All (\d+) evaluations") as caught:
            solve(Disturbed(), path, n_eval=5000)
        rescued = rescued_in(caught.value)
        assert rescued.parent != folder  # which is full
        kept = len(stored(rescued))
        assert kept > len(stored(path)) > 100
        subprocess.run(["mount", "-o", "remount,size=20m", str(folder)], check=True)
        assert log_of(path).exists()  # the disk was too full to copy it into the file
        shutil.move(rescued, path)
        with pytest.raises(StoreError, match=r"run.db-wal beside .* is of another file"):
            EvaluationStore(path)
        result = solve(Disturbed(), path, n_eval=kept + 90)
        assert result.evaluator.n_fresh == 90
        np.testing.assert_array_equal(result.F, solve(Disturbed(), n_eval=kept + 90).F)


@pytest.mark.parametrize("how", [unlink, replace_by_older])
def test_a_reader_says_what_became_of_its_file(store, how):
    solve(Disturbed(), store, n_eval=40)
    older = store.parent.parent / "older.db"
    shutil.copy(store, older)
    with EvaluationStore(store) as reader:
        how(store, older)
        for read in (reader.runs, reader.front, lambda: list(reader.evaluations())):
            with pytest.raises(StoreError, match=r"was (deleted|replaced).* since it was opened"):
                read()


def test_reading_a_store_in_the_process_that_writes_it_ends_no_lock(store, script):
    """To open and close the file by hand would; another process could then delete the log."""
    text = """
        import sys
        from evaluation_cases import One, solve
        solve(One(), 40, seed=2, store=sys.argv[1], on_mismatch="new")
    """
    with Evaluator(store=store) as evaluator:
        evaluator.eval(One(), Population.new(X=designs(5)))
        with EvaluationStore(store) as reader:
            assert len(reader.runs()) == 1
        script(text, store)
        assert log_of(store).exists()
        evaluator.eval(One(), Population.new(X=designs(5, seed=1)))
    assert len(stored(store)) == 50
