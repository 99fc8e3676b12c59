"""The thread that writes evaluations into a store while the next ones are computed."""

from __future__ import annotations

import os
import queue
import sqlite3
import threading
import time
from contextlib import suppress

from moela.evaluation.storage.schema import WRITTEN

_INSERT = f"INSERT INTO evaluations ({WRITTEN}) VALUES ({','.join('?' * len(WRITTEN.split(', ')))})"
_SYNC_SECONDS = 1.0

# Rows that come faster than this are committed together; a single one is not delayed.
_COMMIT_SECONDS = 0.01

Values = tuple[object, ...]


class Writer:
    """Commits rows in the order in which they come, as many at once as are waiting.

    The thread uses the connection between :meth:`put` and :meth:`flush`, the caller at all other
    times. The connection is in autocommit mode, and not bound to a thread.
    """

    def __init__(self, db: sqlite3.Connection):
        self._db = db
        self._pid = os.getpid()
        self._rows: queue.SimpleQueue[Values | None] = queue.SimpleQueue()
        self._changed = threading.Condition()
        self._pending = 0
        self._hurry = False
        self._failure: Exception | None = None
        self._thread: threading.Thread | None = None
        self._synced = float("-inf")

    def put(self, row: Values) -> None:
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
        """Begin a transaction; about once a second, one whose commit waits for the disk."""
        now = time.monotonic()
        due = now - self._synced >= _SYNC_SECONDS
        self._db.execute(f"PRAGMA synchronous = {'FULL' if due else 'NORMAL'}")
        if due:
            self._synced = now
        self._db.execute("BEGIN IMMEDIATE")

    def rollback(self) -> None:
        """Undo an open transaction."""
        if self._db.in_transaction:
            with suppress(sqlite3.Error):
                self._db.execute("ROLLBACK")

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

    def _commit(self, rows: list[Values]) -> Exception | None:
        try:
            self.begin()
            self._db.executemany(_INSERT, rows)
            self._db.execute("COMMIT")
        except Exception as error:  # of any kind, since a caller in flush() waits for it
            self.rollback()
            if len(rows) == 1:
                return error
            # If the disk fills up, as many rows as still fit are kept: each may have cost hours.
            half = len(rows) // 2
            return self._commit(rows[:half]) or self._commit(rows[half:])
        return None
