"""The thread that writes evaluations into a store, and watches over its files, during a run."""

from __future__ import annotations

import logging
import os
import queue
import sqlite3
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from moela.evaluation.storage.errors import StoreError
from moela.evaluation.storage.rescue import Kept, reopen, rescue
from moela.evaluation.storage.schema import COLUMNS, Line, RunRow
from moela.evaluation.storage.sqlite import explained, index_of, log_of
from moela.evaluation.storage.watch import Incident, Loss, NotLookedError, Watch
from moela.files import descriptors

logger = logging.getLogger("moela.evaluator")

_INSERT = f"INSERT INTO evaluations ({COLUMNS}) VALUES ({','.join('?' * len(COLUMNS.split(', ')))})"
_SYNC_SECONDS = 1.0

# Rows that come faster than this are committed together; a single one is not delayed.
_COMMIT_SECONDS = 0.01
# The files are looked at so often, so that an incident is noticed within a second.
_LOOK_SECONDS = 0.9
# The log is copied into the file after so many rows, or seconds. A copy waits for the disk: rare
# and large is cheaper. It is always preceded by a look at the file.
_COPY_ROWS = 2000
_COPY_SECONDS = 10.0
# Whoever waits for the thread looks so often whether it still runs.
_ALIVE_SECONDS = 1.0

Values = Line  # without an id


class Writer:
    """Commits rows in the order in which they come, as many at once as are waiting.

    Whoever uses the connection holds the `lock`. The connection is in autocommit mode, and not
    bound to a thread. If the files are deleted or damaged, or cannot be written any more, all that
    is known is copied into a new file, in which later rows go, and `failure` says what happened.
    """

    def __init__(self, db: sqlite3.Connection, path: Path):
        self.db = db
        self.path = path
        self.lock = threading.RLock()
        self.kept = Kept()
        self.runs: dict[int, RunRow] = {}
        self.failure: Exception | None = None
        self._raised = False  # whether somebody has got the failure
        self._pid = os.getpid()
        self._rows: queue.SimpleQueue[Values | None] = queue.SimpleQueue()
        self._changed = threading.Condition()
        self._pending = 0
        self._hurry = False
        self._thread: threading.Thread | None = None
        self._watch: Watch | None = None
        self._synced = float("-inf")
        self._looked = self._copied = time.monotonic()
        self._uncopied = 0
        self._newest = self._expected = 0
        self._rescued = False
        self._words = ""  # of the failure
        self._reason = ""  # of a commit that failed first
        self._unsafe: list[Values] = []  # rows that could not be committed
        self._safe = 0
        self._copy_each = False

    # ---- for the owner of the writer -------------------------------------------------------------

    def watch(self, run: RunRow) -> None:
        """Begin to watch over the files of the store, into which this run is about to write."""
        with self.lock:
            self._newest, self._expected = self._max_id(), self._count()
            self._watch = Watch(self.path, (run.id, run.created))
            self._copy_log()
            self._start()

    def put(self, row: Values) -> None:
        """Hand over the values of a row; an error is kept in `failure`."""
        self._start()
        with self._changed:
            self._pending += 1
        self._rows.put(row)

    def flush(self) -> None:
        """Wait until all rows are committed; raises the error that prevents it."""
        with self._changed:
            self._hurry = True
            self._changed.notify_all()
            while self._pending and self._is_alive():
                self._changed.wait(_ALIVE_SECONDS)
            self._hurry = False
        self._check_thread()
        self.check()

    def check(self, *, now: bool = False) -> None:
        """Raise the failure, if there is one; with `now`, look at the files first."""
        if now:
            with self.lock:
                self._look(now=True, closely=True)
        if self.failure is not None:
            raise self._tell()

    def explain(self, error: Exception) -> Exception:
        """Return the error for an operation of the owner that failed with an error of SQLite."""
        with self.lock:
            if self.failure is None:
                self._look(now=True, closely=True)
            return StoreError(explained(self.path, error)) if self.failure is None else self._tell()

    def begin(self) -> None:
        """Begin a transaction; about once a second, one whose commit waits for the disk."""
        now = time.monotonic()
        due = now - self._synced >= _SYNC_SECONDS
        self.db.execute(f"PRAGMA synchronous = {'FULL' if due or self._rescued else 'NORMAL'}")
        if due:
            self._synced = now
        self.db.execute("BEGIN IMMEDIATE")

    def rollback(self) -> None:
        """Undo an open transaction."""
        if self.db.in_transaction:
            with suppress(sqlite3.Error):
                self.db.execute("ROLLBACK")

    def close(self) -> None:
        """Commit the waiting rows, end the thread and close the connection."""
        if os.getpid() != self._pid:  # a fork must not touch the file of its parent
            return
        if self._thread is not None:
            self._rows.put(None)
            with self._changed:
                self._hurry = True
                self._changed.notify_all()
            self._thread.join()
            self._check_thread()
            self._thread = None
        with self.lock:
            self._look(now=True, closely=True)
            self._watch = None
            self.db.close()

    def unraised(self) -> Exception | None:
        """Return a failure that nobody has got yet."""
        return None if self._raised or self.failure is None else self._tell()

    def _tell(self) -> Exception:
        """Return the failure, with the number of evaluations that are safe by now."""
        failure = self.failure
        assert failure is not None
        self._raised = True
        if isinstance(failure, StoreError):
            with self.lock:
                return StoreError(self._message())
        self.failure = None  # of one row, which the next may not have
        return failure

    def _message(self) -> str:
        with suppress(sqlite3.Error):  # the connection may be closed
            self._safe = self._count()
        return self._words.format(n=self._safe)

    # ---- the thread ------------------------------------------------------------------------------

    def _start(self) -> None:
        if self._thread is None:
            thread = threading.Thread(target=self._work, daemon=True)
            thread.start()
            self._thread = thread

    def _is_alive(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def _check_thread(self) -> None:
        """Set the failure if the thread has ended with rows that it has not committed."""
        with self._changed:
            n, self._pending = self._pending, 0
        if n and not isinstance(self.failure, StoreError):
            text = f"{n} evaluation{'s' * (n != 1)} could not be written into the store {self.path}"
            reason = "" if self.failure is None else f" ({self.failure})"
            with self.lock:
                self._stop(
                    f"{_literal(text + reason)}, since the thread that writes them has ended. The "
                    "{n} evaluations before are in it. Make the same call again."
                )

    def _work(self) -> None:
        ended = False
        last = float("-inf")
        while not ended:
            try:
                due = self._looked + _LOOK_SECONDS - time.monotonic()
                waiting = [self._rows.get(timeout=min(max(due, 0.0), _LOOK_SECONDS))]
            except queue.Empty:
                self._look_idle()
                continue
            pause = last + _COMMIT_SECONDS - time.monotonic()
            if pause > 0:
                with self._changed:
                    self._changed.wait_for(lambda: self._hurry, pause)
            with suppress(queue.Empty):
                while True:
                    waiting.append(self._rows.get_nowait())
            ended = None in waiting
            rows = [row for row in waiting if row is not None]
            if rows:
                self._store(rows)
            last = time.monotonic()
            with self._changed:
                self._pending -= len(rows)
                self._changed.notify_all()

    def _store(self, rows: list[Values]) -> None:
        with self.lock:
            try:
                failure, unsafe = self._commit(rows)
                if failure is None:
                    self._look()
                elif isinstance(failure, sqlite3.Error) and not self._rescued:
                    self._fail(failure, unsafe)
                elif self.failure is None:
                    self.failure, self._raised = failure, False
            except Exception as error:  # of any kind, since the owner waits for this thread
                self._note(error)

    def _look_idle(self) -> None:
        with self.lock:
            try:
                self._look(now=True)
            except Exception as error:  # as in `_store`
                self._note(error)

    def _note(self, error: Exception) -> None:
        self.failure, self._raised = self.failure or error, False

    def _commit(self, rows: list[Values]) -> tuple[Exception | None, list[Values]]:
        """Commit rows; return the first error, and the rows that could not be committed."""
        try:
            self.begin()
            # Ids are given here, not by SQLite, so that a rescued row keeps its own.
            first = self._max_id() + 1
            lines = [(first + i, *row) for i, row in enumerate(rows)]
            self.db.executemany(_INSERT, lines)
            self.db.execute("COMMIT")
        except Exception as error:
            self.rollback()
            if len(rows) == 1:
                return error, rows
            # If the disk fills up, as many rows as still fit are kept: each may have cost hours.
            half = len(rows) // 2
            (one, some), (two, more) = self._commit(rows[:half]), self._commit(rows[half:])
            return one or two, some + more
        self.kept.add(lines)
        self._newest = lines[-1][0]
        self._expected += len(rows)
        self._uncopied += len(rows)
        if self._watch is not None:
            self._watch.committed = self._newest
        if self._copy_each:
            _empty_log(self.db)
        return None, []

    def _max_id(self) -> int:
        (newest,) = self.db.execute("SELECT coalesce(max(id), 0) FROM evaluations").fetchone()
        return int(newest)

    # ---- the files -------------------------------------------------------------------------------

    def _look(self, *, now: bool = False, closely: bool = False) -> None:
        """Look at the files, once a second or `now`; copy the log into the file if it is due."""
        time_ = time.monotonic()
        due = now or time_ - self._looked >= _LOOK_SECONDS
        if not due or os.getpid() != self._pid:
            return
        self._looked = time_
        if self._watch is None or isinstance(self.failure, StoreError):
            return
        copies = self._uncopied >= _COPY_ROWS or (
            self._uncopied > 0 and time_ - self._copied >= _COPY_SECONDS
        )
        try:
            incident = self._watch.look(closely=copies or closely)
            if incident is None and copies:
                self._copy_log()
            if incident is None and (copies or closely):
                incident = self._watch.look_at_pages(now=closely)
        except NotLookedError:  # the rows are safe in the log
            return
        if incident is not None:
            self._lose(incident)

    def _copy_log(self) -> None:
        assert self._watch is not None
        # A full disk fails here too; the rows are safe in the log.
        with suppress(sqlite3.Error):
            busy, pages, copied = self.db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
            if not busy and pages == copied:
                self._watch.saved(self._max_id())
                self._uncopied = 0
        self._copied = time.monotonic()

    def _lose(self, incident: Incident) -> None:
        """Bring everything to safety after an incident, and say what happened."""
        if incident.loss in (Loss.LOG, Loss.READ_ONLY) and self._save_in_place(incident):
            remedy = {
                Loss.LOG: "All {n} evaluations are in the store itself. Make the same call again.",
                Loss.READ_ONLY: "All {n} evaluations are safe in it. Make it writable and make the "
                "same call again.",
            }[incident.loss]
            self._copy_each = incident.loss is Loss.LOG
        else:
            remedy = self._rescue(incident.loss, ())
        what = f"The store {self.path} {incident.words} while a run was writing to it."
        self._stop(f"{_literal(what)} {remedy}")

    def _fail(self, error: sqlite3.Error, unsafe: list[Values]) -> None:
        """Bring rows that could not be committed to safety."""
        self._look(now=True, closely=True)
        if self._rescued:  # the files were the reason, and the rest is safe now
            self._commit(unsafe)
            return
        if not self._unsafe:
            self._reason = explained(self.path, error)
        self._unsafe += unsafe
        self._stop(f"{_literal(self._reason)} {self._rescue(None, self._unsafe)}")

    def _stop(self, words: str) -> None:
        """Set the failure; `words` may hold ``{n}``, the number of evaluations that are safe."""
        first = not isinstance(self.failure, StoreError)
        self._words = words
        self.failure, self._raised = StoreError(words), False
        if first:  # what is raised later has the last count
            brief = f"the store {self.path} has failed; the run stops after the evaluations in hand"
            logger.error("%s", self._message(), extra={"brief": brief})

    def _save_in_place(self, incident: Incident) -> bool:
        """Copy a log that has lost its name into the file; return whether all is in the file."""
        watch = self._watch
        assert watch is not None
        if incident.loss is Loss.READ_ONLY:
            return True
        if any(file.exists() and not watch.is_ours(file) for file in _beside(self.path)):
            return False  # another process writes to a log of its own
        try:
            return _empty_log(self.db) and watch.holds(self._newest)
        except sqlite3.Error:
            return False

    def _count(self) -> int:
        return int(self.db.execute("SELECT count(*) FROM evaluations").fetchone()[0])

    def _rescue(self, loss: Loss | None, unsafe: Sequence[Values]) -> str:
        """Copy everything into a new file and go on in it; return what to tell about that."""
        lines = [*self.kept, *((None, *row) for row in unsafe)]
        expected = self._expected + len(unsafe)
        rescued = rescue(self.db, self.path, self.runs, lines, self._newest, expected)
        if rescued is None:
            missing = "Some of its evaluations are lost"
            if loss is None:
                several = len(unsafe) != 1
                missing = f"{len(unsafe)} evaluation{'s' * several} that ended later "
                missing += "are lost" if several else "is lost"
            reason = f" Too many files are open. {descriptors.ADVICE}" * descriptors.at_limit()
            return (
                f"{missing}, since a copy of the store could be made neither "
                f"beside it nor in the temporary folder.{reason}"
            )
        try:
            db = reopen(rescued)
        except sqlite3.Error as error:  # pragma: no cover (the file has just been written)
            return _literal(f"{rescued.n} evaluations are in {rescued.path} ({error}).")
        old, self.db, self._rescued = self.db, db, True
        if loss is not None:
            self._abandon(old, loss)
        else:
            old.close()
        which = "All {n} evaluations"
        if not rescued.complete:
            lost = expected - rescued.n
            which = f"{{n}} evaluations, all but {lost} that were not in memory and cannot be read,"
        return f"{which} are in " + _literal(
            f"{rescued.path}. To go on from these, rename that file to {self.path} and make the "
            "same call again."
        )

    def _abandon(self, db: sqlite3.Connection, loss: Loss) -> None:
        """Close the connection to a lost file without writing to whatever is in its place.

        A log left beside the path would be taken for one of the next file of this name.
        """
        watch = self._watch
        assert watch is not None
        ours = [file for file in _beside(self.path) if watch.is_ours(file)]
        log = log_of(self.path)
        with suppress(sqlite3.Error, OSError):
            if loss is Loss.MOVED:  # whatever its name is now, the file has all of its log
                _empty_log(db)
            elif log in ours:  # what SQLite would copy into the file when the connection closes
                os.truncate(log, 0)
        with suppress(sqlite3.Error):
            db.close()
        for file in ours:
            with suppress(OSError):
                file.unlink()


def _literal(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")


def _empty_log(db: sqlite3.Connection) -> bool:
    """Copy the log into the file; return whether all of it is there."""
    db.execute("PRAGMA busy_timeout = 1000")
    busy, *_ = db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    return not busy


def _beside(path: Path) -> tuple[Path, Path]:
    return log_of(path), index_of(path)
