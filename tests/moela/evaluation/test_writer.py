"""The thread that writes a store: whatever happens to it, the run ends and says why."""

import sys
import threading

import pytest
from evaluation_cases import One, designs, stored
from pymoo.core.population import Population

from moela.evaluation.evaluator import Evaluator
from moela.evaluation.storage import writer
from moela.evaluation.storage.errors import StoreError


@pytest.fixture(autouse=True)
def often(monkeypatch):
    """Have the files, and the thread, looked at far more often."""
    monkeypatch.setattr(writer, "_LOOK_SECONDS", 0.01)
    monkeypatch.setattr(writer, "_ALIVE_SECONDS", 0.01)


@pytest.fixture
def no_temporary_folder(monkeypatch):
    def fail():
        raise FileNotFoundError(2, "No usable temporary directory found")

    monkeypatch.setattr("tempfile.gettempdir", fail)


class Paused(One):
    """Does something before the sixth evaluation, and waits until the thread has seen it."""

    def __init__(self, action, seen):
        super().__init__()
        self._action, self._seen, self._count = action, seen, 0

    def _evaluate(self, x, out, *args, **kwargs):
        self._count += 1
        if self._count == 6:
            self._action()
            assert self._seen.wait(60)
        super()._evaluate(x, out)


def error_of(problem, store):
    """Evaluate ten designs into a store; return the error, which must come in time."""
    errors = []

    def run():
        try:
            with Evaluator(store=store) as evaluator:
                evaluator.eval(problem, Population.new(X=designs(10)))
        except (OSError, StoreError) as error:
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(60)
    assert not thread.is_alive(), "the run hangs"
    return errors[0]


@pytest.fixture
def looked(monkeypatch):
    """Set once the thread that has no rows to write has looked at the files."""
    seen, look = threading.Event(), writer.Writer._look_idle

    def look_idle(self):
        look(self)
        if self.failure is not None:
            seen.set()

    monkeypatch.setattr(writer.Writer, "_look_idle", look_idle)
    return seen


def test_a_store_is_rescued_beside_it_without_a_temporary_folder(
    store, looked, no_temporary_folder
):
    error = error_of(Paused(store.unlink, looked), store)
    rescued = store.with_name("run.db.rescued-1.db")
    assert (
        f"was deleted or moved while a run was writing to it. All 6 evaluations are in {rescued}"
        in str(error)
    )
    assert len(stored(rescued)) == 6


def test_nobody_waits_for_a_thread_that_has_ended(store, monkeypatch):
    kept, commit = [], writer.Writer._store

    def end_later(self, rows):
        if kept:
            raise SystemExit
        commit(self, rows)
        kept.extend(rows)

    monkeypatch.setattr(threading, "excepthook", lambda args: None)
    monkeypatch.setattr(writer.Writer, "_store", end_later)
    error = error_of(One(seconds=0.02), store)
    assert isinstance(error, StoreError)
    n = 10 - len(kept)
    assert f"{n} evaluations could not be written into the store" in str(error)
    assert f"The {len(kept)} evaluations before are in it" in str(error)
    assert len(stored(store)) == len(kept)


@pytest.mark.skipif(sys.platform == "win32", reason="limits of POSIX")
def test_a_process_that_can_open_no_more_files_loses_no_store(store, script):
    text = """
        import os, resource, sys, time
        from evaluation_cases import One, designs
        from pymoo.core.population import Population
        from moela.evaluation.evaluator import Evaluator
        from moela.evaluation.storage import writer
        from moela.evaluation.storage.reader import EvaluationStore
        writer._LOOK_SECONDS, writer._COPY_ROWS = 0.01, 1
        resource.setrlimit(resource.RLIMIT_NOFILE, (80, 80))
        evaluator = Evaluator(store=sys.argv[1])
        evaluator.eval(One(), Population.new(X=designs(5)))
        opened, before = [], -1
        while len(opened) > before:  # the thread may just have closed a file
            before = len(opened)
            try:
                while True:
                    opened.append(os.open(os.devnull, os.O_RDONLY))
            except OSError:
                time.sleep(0.3)  # the thread looks at the files
        evaluator.eval(One(), Population.new(X=designs(5, seed=1)))
        errors = []
        for call in (
            lambda: EvaluationStore(sys.argv[1]),
            lambda: Evaluator(n_jobs=2).eval(One(), Population.new(X=designs(5))),
        ):
            try:
                call()
            except Exception as error:
                errors.append(error)
        evaluator.close()
        for file in opened:
            os.close(file)
        for error in errors:
            print(error, *getattr(error, "__notes__", ()))
    """
    of_reader, of_workers = script(text, store).splitlines()
    assert "cannot be opened, since too many files are open. Raise the limit" in of_reader
    assert "Too many open files" in of_workers
    assert "(ulimit -n), use fewer jobs" in of_workers
    assert len(stored(store)) == 10
