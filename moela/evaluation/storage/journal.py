"""The journal: a connection to a store through which runs read and record evaluations."""

from __future__ import annotations

import json
import logging
import os
import sqlite3
import time
import weakref
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from moela._arrays import Designs
from moela.evaluation.runners.call import worker_name
from moela.evaluation.runners.outcome import Outcome
from moela.evaluation.storage import keys, rows, schema
from moela.evaluation.storage.errors import DamagedError, StoreError
from moela.evaluation.storage.rows import read_runs, write_row
from moela.evaluation.storage.schema import Row, RunIdentity, RunRow
from moela.evaluation.storage.sqlite import (
    SQLITE_ERRORS,
    check_contents,
    check_file,
    connect,
    has_log_of_another,
    index_of,
    log_of,
    translated,
)
from moela.evaluation.storage.stored import n_counted
from moela.evaluation.storage.writer import Writer
from moela.provenance import environment
from moela.provenance.signature import dump

logger = logging.getLogger("moela.evaluator")

# SQLite allows a limited number of parameters per statement.
_KEYS_PER_QUERY = 500
_WAL_TRIES = 100
_ROW_BYTES = 10_000  # what a row needs beside its design


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
        check_file(self.path)
        if has_log_of_another(self.path):
            self._set_log_aside()
        self._sizes: dict[int, dict[str, int]] = {}  # of the problem of each run
        self._named: set[str] = set()  # what could not be stored, and has been told
        with translated(self.path):
            self._writer = Writer(connect(self.path), self.path)
            self._closed = weakref.finalize(self, self._writer.close)
            try:
                self._prepare()
            except BaseException:
                self._closed()
                raise

    def _set_log_aside(self) -> None:
        for file in (log_of(self.path), index_of(self.path)):
            with suppress(FileNotFoundError):
                file.rename(file.with_name(file.name + ".old"))
        logger.warning(
            "the log beside the store %s was of another file that had this name; it is renamed to "
            "%s.old",
            self.path,
            log_of(self.path).name,
        )

    @property
    def _db(self) -> sqlite3.Connection:
        return self._writer.db

    def _prepare(self) -> None:
        check_contents(self._db, self.path)
        self._enter_wal()
        self._db.execute("PRAGMA synchronous = NORMAL")
        # The log is copied into the file by the writer, which looks at the file before.
        self._db.execute("PRAGMA wal_autocheckpoint = 0")
        # Keys are random: the pages of their index should stay in memory (64 MB).
        self._db.execute("PRAGMA cache_size = -65536")
        self._db.execute("BEGIN IMMEDIATE")
        if not self._db.execute("PRAGMA application_id").fetchone()[0]:
            schema.create(self._db)
        elif self._db.execute("PRAGMA user_version").fetchone()[0] < schema.SCHEMA_VERSION:
            read_runs(self._db)  # so that damage is not signed as good
            self._db.execute(schema.ADD_CHECKSUMS)
            rows.add_run_checksums(self._db)
            self._db.execute(f"PRAGMA user_version = {schema.SCHEMA_VERSION}")
        self._db.execute("COMMIT")
        # A file that may only be read fails here, not after the first evaluation.
        self._db.execute("BEGIN IMMEDIATE")
        self._db.execute("UPDATE runs SET updated = updated WHERE id = 0")
        self._db.execute("ROLLBACK")
        self.runs()

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
        """Commit what was handed over and close the connection.

        Raises the StoreError that nobody has got yet if the file was deleted or damaged.
        """
        with suppress(sqlite3.Error):
            self._closed()
        failure = self._writer.unraised()
        if failure is not None:
            raise failure

    def watch(self, run: RunRow) -> None:
        """Watch over the file from now on, since this run is about to write into it.

        A second after the file was deleted, replaced or damaged, everything known is in a copy, and
        `failed` is true; `flush` raises the StoreError.
        """
        with self._reading():
            self._writer.watch(run)

    @property
    def failed(self) -> bool:
        """Whether something has happened to the file, so that the run must stop."""
        return self._writer.failure is not None

    def runs(self) -> list[RunRow]:
        """Return all runs, oldest first."""
        with self._reading():
            runs = read_runs(self._db)
        self._writer.runs = {run.id: run for run in runs}
        self._sizes = {run.id: rows.sizes_of(run) for run in runs}
        return runs

    def start_run(self, identity: RunIdentity, budget: int | None) -> RunRow:
        """Enter a new run and return it."""
        now = _now()
        with self._writing():
            run = rows.insert_run(
                self._db,
                {
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
                },
            )
        return next(row for row in self.runs() if row.id == run)

    def update_run(self, run: int, **values: int | float | str | None) -> None:
        """Set columns of a run: ``n_eval``, ``budget``, ``elapsed``, ``owner``."""
        values["updated"] = _now()
        with self._writing():
            rows.update_run(self._db, run, values)
            for name, value in values.items():
                setattr(self._writer.runs[run], name, value)

    def note_progress(self, run: int, n_eval: int, elapsed: float, budget: int | None) -> None:
        """Set how far a run is, in evaluations and seconds, and the budget of its newest call.

        A call that repeats a part of the run may have a smaller budget. Then nothing is lowered.
        """
        stored = self._writer.runs[run]
        n_eval = max(n_eval, stored.n_eval)
        if budget is not None and budget < n_eval:
            budget = stored.budget and max(n_eval, stored.budget)
        elapsed = max(elapsed, stored.elapsed)
        self.update_run(run, n_eval=n_eval, elapsed=elapsed, budget=budget)

    def last_id(self) -> int:
        """Return the id of the newest evaluation in the file, 0 if there is none."""
        with self._reading():
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

    def arrivals(self, run: int) -> list[Row]:
        """Return all rows of a run in the order in which their evaluations ended."""
        return self._rows("run = ? ORDER BY id", (run,))

    def cheapest(self, run: int) -> Row | None:
        """Return the successful evaluation of a run that took the least time."""
        rows = self._rows("run = ? AND status = 'ok' ORDER BY duration, id LIMIT 1", (run,))
        return rows[0] if rows else None

    def n_known(self, run: int) -> int:
        """Return how many evaluations a run has made for certain, from its rows."""
        with self._reading():
            query = "SELECT count(*), coalesce(max(n), -1) FROM evaluations WHERE run = ?"
            n_rows, newest = self._db.execute(query, (run,)).fetchone()
        return n_counted(int(n_rows), int(newest))

    def newest(self, run: int, last: int) -> int | None:
        """Return the last position at which a run has an evaluation with an id up to ``last``."""
        with self._reading():
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
        with self._reading():
            query = f"SELECT {schema.COLUMNS} FROM evaluations WHERE {clause}"
            lines = self._db.execute(query, values).fetchall()
            found = [rows.read_row(line, self._sizes_of(line)) for line in lines]
            self._writer.kept.add(lines)
        return found

    def _sizes_of(self, line: tuple[object, ...]) -> dict[str, int]:
        run = line[1]
        if run not in self._sizes:
            self._sizes = {row.id: rows.sizes_of(row) for row in read_runs(self._db)}
        if run not in self._sizes:
            raise DamagedError("evaluations", line[0], "run", f"there is no run {run}")
        return self._sizes[run]  # type: ignore[index]

    def design_of(self, row: Row) -> Any:
        """Return the design of a stored evaluation."""
        with translated(self.path):
            return rows.design_of(row, self._sizes[row.run])

    def check_designs(self, X: Designs) -> None:
        """Raise StoreError before designs are evaluated that are too large for the file."""
        if X.dtype != object and len(X):
            self._check_design(X[0].nbytes, self._room())

    def _check_design(self, size: int, most: int) -> None:
        if size > most - _ROW_BYTES:
            raise StoreError(
                f"A design of {size:,} bytes is too large for the store {self.path}, which takes "
                f"{most - _ROW_BYTES:,} bytes. Use designs that refer to large data by a number or "
                "a name, or go without a store."
            )

    def _room(self) -> int:
        return self._db.getlimit(sqlite3.SQLITE_LIMIT_LENGTH)

    def add(
        self, run: int, n: int, batch: int, key: bytes, x: bytes, outcome: Outcome, elapsed: float
    ) -> None:
        """Hand over an evaluation to commit in the background; `flush` raises what goes wrong.

        Values of the outcome that cannot be stored are taken from it, so that an algorithm sees the
        same values now and when the run is resumed. A warning names each of them once.
        """
        self._check_design(len(x), self._room() if x[:1] in b"<|" else keys.MOST_TEXT)
        row, left_out = write_row(
            run, n, batch, key, x, outcome, elapsed, self._room(), self._sizes.get(run)
        )
        new = {name: reason for name, reason in left_out.items() if name not in self._named}
        if new:
            self._named.update(new)
            logger.warning(
                "run %d: the store leaves out %s. The algorithm does not get these values either, "
                "so that a resumed run sees the same.",
                run,
                ", ".join(f'out["{name}"], which holds {why}' for name, why in new.items()),
            )
        self._writer.put(row)

    def flush(self, *, last: bool = False) -> None:
        """Wait until every evaluation handed over is committed; raises what went wrong.

        With `last`, since the run has ended, the file is looked at again.
        """
        with translated(self.path):
            self._writer.flush()
            if last:
                self._writer.check(now=True)

    @contextmanager
    def _reading(self) -> Iterator[None]:
        with self._writer.lock:
            try:
                yield
            except (DamagedError, *SQLITE_ERRORS) as error:
                raise self._writer.explain(error) from error

    @contextmanager
    def _writing(self) -> Iterator[None]:
        self.flush()
        with self._reading():
            try:
                self._writer.begin()
                yield
                self._db.execute("COMMIT")
            except BaseException:
                self._writer.rollback()
                raise


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
