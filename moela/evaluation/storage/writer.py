"""The thread that writes evaluations into a store while the next ones are computed."""

from __future__ import annotations

import os
import queue
import sqlite3
import threading
import time
from contextlib import suppress
from typing import Any

INSERT = (
    "INSERT INTO evaluations (run, n, batch, key, x, f, g, h, extra, status, error, duration, "
    "worker, attempts, elapsed, checksum) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)"
)
_SYNC_SECONDS = 1.0

# Rows that come faster than this are committed together; one that comes alone waits for nothing.
_COMMIT_SECONDS = 0.01


class Writer:
    """Commits rows in the order in which they come, as many at once as are waiting.

    The connection is used by the thread between :meth:`put` and :meth:`flush`, by the caller
    otherwise.

    Parameters
    ----------
    db : sqlite3.Connection
        In autocommit mode, and not bound to a thread.
    """

    def __init__(self, db: sqlite3.Connection):
        self._db = db
        self._pid = os.getpid()
        self._rows: queue.SimpleQueue[tuple[Any, ...] | None] = queue.SimpleQueue()
        self._changed = threading.Condition()
        self._pending = 0
        self._hurry = False
        self._failure: Exception | None = None
        self._thread: threading.Thread | None = None
        self._synced = float("-inf")

    def put(self, row: tuple[Any, ...]) -> None:
        """Hand over the values of a row; raises the error of an earlier one."""
        self._raise()
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, daemon=True)
            self._thread.start()
        with self._changed:
            self._pending += 1
        self._rows.put(row)

    def flush(self) -> None:
        """Wait until all rows are committed; raises the error that prevents it."""
        with self._changed:
            self._hurry = True
            self._changed.notify_all()
            while self._pending and self._failure is None:
                self._changed.wait()
            self._hurry = False
        self._raise()

    def begin(self) -> None:
        """Begin a transaction, one that waits for the disk if the last such is a while ago."""
        now = time.monotonic()
        due = now - self._synced >= _SYNC_SECONDS
        self._db.execute(f"PRAGMA synchronous = {'FULL' if due else 'NORMAL'}")
        if due:
            self._synced = now
        self._db.execute("BEGIN IMMEDIATE")

    def rollback(self) -> None:
        """Take back an open transaction."""
        if self._db.in_transaction:
            with suppress(sqlite3.Error):
                self._db.execute("ROLLBACK")

    def close(self) -> None:
        """Commit what is waiting, end the thread and close the connection."""
        if os.getpid() != self._pid:  # a fork must not touch the file of its parent
            return
        if self._thread is not None:
            self._rows.put(None)
            with self._changed:
                self._hurry = True
                self._changed.notify_all()
            self._thread.join()
            self._thread = None
        self._db.close()

    def _raise(self) -> None:
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure

    def _work(self) -> None:
        ended = False
        last = float("-inf")
        while not ended:
            waiting = [self._rows.get()]
            pause = last + _COMMIT_SECONDS - time.monotonic()
            if pause > 0:
                with self._changed:
                    self._changed.wait_for(lambda: self._hurry, pause)
            with suppress(queue.Empty):
                while True:
                    waiting.append(self._rows.get_nowait())
            ended = None in waiting
            rows = [row for row in waiting if row is not None]
            failure = self._commit(rows) if rows else None
            last = time.monotonic()
            with self._changed:
                self._pending -= len(rows)
                self._failure = self._failure or failure
                self._changed.notify_all()

    def _commit(self, rows: list[tuple[Any, ...]]) -> Exception | None:
        try:
            self.begin()
            self._db.executemany(INSERT, rows)
            self._db.execute("COMMIT")
        except Exception as error:  # whatever it is: who waits for the rows must hear of it
            self.rollback()
            if len(rows) == 1:
                return error
            # Where the disk fills up, as many as still fit are kept: each may have cost hours.
            half = len(rows) // 2
            return self._commit(rows[:half]) or self._commit(rows[half:])
        return None
