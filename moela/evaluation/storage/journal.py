"""The journal: a connection to a store through which runs read and record evaluations."""

from __future__ import annotations

import json
import os
import sqlite3
import time
import weakref
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from moela.evaluation.runners.call import worker_name
from moela.evaluation.runners.outcome import Outcome
from moela.evaluation.storage import schema, sqlite
from moela.evaluation.storage.errors import StoreError
from moela.evaluation.storage.schema import Row, RunIdentity, RunRow, read_row, read_runs, write_row
from moela.evaluation.storage.sqlite import check_contents, check_header, translated
from moela.evaluation.storage.writer import Writer
from moela.provenance import environment
from moela.provenance.signature import dump

# SQLite allows a limited number of parameters per statement.
_KEYS_PER_QUERY = 500
_WAL_TRIES = 100


class Journal:
    """A connection to a store file, for reading and writing; the file is made if it is missing.

    Evaluations are written by a thread as soon as they are handed over; those that end within ten
    milliseconds of each other are committed together. Each commit is in the write-ahead log when it
    is made, so a killed process loses nothing that was committed. At most once a second the log is
    also forced to the disk, so a power failure takes at most the commits of about one second; it
    never damages the file.
    """

    def __init__(self, path: str | os.PathLike[str]):
        self.path = Path(path).expanduser().absolute()
        if not self.path.parent.is_dir():
            raise StoreError(
                f"The folder of the store {self.path} does not exist. Make it, or choose another."
            )
        check_header(self.path)
        with translated(self.path):
            self._db = sqlite3.connect(
                self.path, sqlite.BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
            self._writer = Writer(self._db)
            self._closed = weakref.finalize(self, self._writer.close)
            try:
                self._prepare()
            except BaseException:
                self._closed()
                raise

    def _prepare(self) -> None:
        check_contents(self._db, self.path)
        self._enter_wal()
        self._db.execute("PRAGMA synchronous = NORMAL")
        # Checkpoints copy the log into the file and wait for the disk: rare and large is cheaper.
        self._db.execute("PRAGMA wal_autocheckpoint = 4000")
        # Keys are random: the pages of their index should stay in memory (64 MB).
        self._db.execute("PRAGMA cache_size = -65536")
        self._db.execute("BEGIN IMMEDIATE")
        if not self._db.execute("PRAGMA application_id").fetchone()[0]:
            for statement in schema.SCHEMA.split(";")[:-1]:
                self._db.execute(statement)
            self._db.execute(f"PRAGMA user_version = {schema.SCHEMA_VERSION}")
            self._db.execute(f"PRAGMA application_id = {schema.APPLICATION_ID}")
        self._db.execute("COMMIT")
        # A file that may only be read fails here, not after the first evaluation.
        self._db.execute("BEGIN IMMEDIATE")
        self._db.execute("UPDATE runs SET updated = updated WHERE id = 0")
        self._db.execute("ROLLBACK")

    def _enter_wal(self) -> None:
        # Two processes that open a new file at once can meet here, and SQLite does not wait.
        for attempt in range(_WAL_TRIES):
            try:
                mode = self._db.execute("PRAGMA journal_mode = WAL").fetchone()[0]
                break
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or attempt == _WAL_TRIES - 1:
                    raise
                time.sleep(0.05)
        if mode != "wal":
            raise StoreError(
                f"The file system of the store {self.path} has no shared memory, which SQLite's "
                "write-ahead log needs. Choose a local disk."
            )

    def close(self) -> None:
        """Commit what was handed over and close the connection."""
        with suppress(sqlite3.Error):
            self._closed()

    def runs(self) -> list[RunRow]:
        """Return all runs, oldest first."""
        with translated(self.path):
            return read_runs(self._db)

    def start_run(self, identity: RunIdentity, budget: int | None) -> RunRow:
        """Enter a new run and return it."""
        now = _now()
        with translated(self.path), self._writing():
            values: dict[str, object] = {
                "created": now,
                "updated": now,
                "problem": dump(identity.problem),
                "algorithm": dump(identity.algorithm),
                "seed": identity.seed,
                "seed_drawn": int(identity.seed_drawn),
                "settings": dump(identity.settings),
                "versions": dump(environment.versions()),
                "base": self.last_id(),
                "budget": budget,
                "owner": worker_name(),
            }
            run = self._db.execute(
                f"INSERT INTO runs ({', '.join(values)}) VALUES ({','.join('?' * len(values))})",
                tuple(values.values()),
            ).lastrowid
        return next(row for row in self.runs() if row.id == run)

    def update_run(self, run: int, **values: int | float | str | None) -> None:
        """Set columns of a run: ``n_eval``, ``budget``, ``elapsed``, ``owner``."""
        values["updated"] = _now()
        names = ", ".join(f"{name} = ?" for name in values)
        with translated(self.path), self._writing():
            self._db.execute(f"UPDATE runs SET {names} WHERE id = ?", (*values.values(), run))

    def last_id(self) -> int:
        """Return the id of the newest evaluation in the file, 0 if there is none."""
        with translated(self.path):
            return self._db.execute("SELECT coalesce(max(id), 0) FROM evaluations").fetchone()[0]

    def lookup(
        self, keys: Sequence[bytes], run: RunRow, sources: Iterable[int]
    ) -> dict[bytes, list[Row]]:
        """Return the evaluations that may answer these keys, the run's own first, newest first.

        Successful evaluations that the runs in `sources` had made before this run began count too.
        Later ones do not, so that a resumed run sees the same answers as before.
        """
        others = json.dumps([*sources])
        rows: dict[bytes, list[Row]] = {}
        for start in range(0, len(keys), _KEYS_PER_QUERY):
            part = keys[start : start + _KEYS_PER_QUERY]
            clause = (
                f"key IN ({','.join('?' * len(part))}) AND (run = ? OR (id <= ? AND status = 'ok' "
                "AND run IN (SELECT value FROM json_each(?)))) "
                "ORDER BY run = ? DESC, id DESC"
            )
            for row in self._rows(clause, (*part, run.id, run.base, others, run.id)):
                rows.setdefault(row.key, []).append(row)
        return rows

    def answers(self, run: int, first: int, last: int) -> dict[int, Row]:
        """Return the newest row of a run at each position from ``first`` up to ``last``."""
        rows = self._rows("run = ? AND n >= ? AND n < ? ORDER BY id", (run, first, last))
        return {row.n: row for row in rows}

    def cheapest(self, run: int) -> Row | None:
        """Return the successful evaluation of a run that took the least time."""
        rows = self._rows("run = ? AND status = 'ok' ORDER BY duration, id LIMIT 1", (run,))
        return rows[0] if rows else None

    def newest(self, run: int, last: int) -> int | None:
        """Return the last position at which a run has an evaluation with an id up to ``last``."""
        with translated(self.path):
            query = "SELECT max(n) FROM evaluations WHERE run = ? AND id <= ?"
            return self._db.execute(query, (run, last)).fetchone()[0]

    def near(self, run: int, n: int, last: int) -> Row | None:
        """Return the successful evaluation of a run at position ``n``, or the next one.

        Evaluations with an id after ``last`` are left out.
        """
        clause = "run = ? AND n >= ? AND id <= ? AND status = 'ok' ORDER BY n, id LIMIT 1"
        rows = self._rows(clause, (run, n, last))
        return rows[0] if rows else None

    def _rows(self, clause: str, values: Sequence[object]) -> list[Row]:
        with translated(self.path):
            query = f"SELECT {schema.COLUMNS} FROM evaluations WHERE {clause}"
            return [read_row(line) for line in self._db.execute(query, values)]

    def add(
        self, run: int, n: int, batch: int, key: bytes, x: bytes, outcome: Outcome, elapsed: float
    ) -> None:
        """Hand over an evaluation to commit in the background; raises an earlier one's error."""
        with translated(self.path):
            self._writer.put(write_row(run, n, batch, key, x, outcome, elapsed))

    def flush(self) -> None:
        """Wait until every evaluation handed over is committed."""
        with translated(self.path):
            self._writer.flush()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        self._writer.flush()
        self._writer.begin()
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            self._writer.rollback()
            raise


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
