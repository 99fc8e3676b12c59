"""The journal: one SQLite file that knows what has been evaluated, in which run, with what end."""

from __future__ import annotations

import json
import os
import sqlite3
import time
import weakref
from collections.abc import Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from moela.evaluation.runners.outcome import OK, Outcome
from moela.evaluation.storage import keys, sqlite
from moela.evaluation.storage.sqlite import (
    APPLICATION_ID,
    SCHEMA_VERSION,
    StoreError,
    check_contents,
    check_header,
    owner,
    translated,
)
from moela.evaluation.storage.writer import Writer
from moela.provenance import signature

if TYPE_CHECKING:
    from collections.abc import Iterator

_SCHEMA = """
CREATE TABLE runs (
    id INTEGER PRIMARY KEY,
    created TEXT NOT NULL,      -- UTC, ISO 8601
    updated TEXT NOT NULL,
    problem TEXT NOT NULL,      -- signatures, settings and versions are JSON
    algorithm TEXT NOT NULL,
    seed TEXT,                  -- as text: a drawn seed has 128 bits
    seed_drawn INTEGER NOT NULL,
    settings TEXT NOT NULL,
    versions TEXT NOT NULL,
    base INTEGER NOT NULL,      -- evaluations of other runs up to this id may answer this run
    n_eval INTEGER NOT NULL DEFAULT 0,
    budget INTEGER,
    elapsed REAL NOT NULL DEFAULT 0,
    owner TEXT                  -- host and process that write it
);
CREATE TABLE evaluations (
    id INTEGER PRIMARY KEY,
    run INTEGER NOT NULL REFERENCES runs (id),
    n INTEGER NOT NULL,         -- the how-manieth answer of its run, from 0
    batch INTEGER NOT NULL,     -- the how-manieth call of the evaluator
    key BLOB NOT NULL,
    x BLOB NOT NULL,
    f BLOB,
    g BLOB,
    h BLOB,
    extra BLOB,
    status TEXT NOT NULL,
    error TEXT,
    duration REAL NOT NULL,     -- seconds
    worker TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    elapsed REAL NOT NULL,      -- seconds that the run had been running when it finished
    checksum INTEGER NOT NULL   -- of the columns from run to elapsed
);
CREATE INDEX evaluations_key ON evaluations (key);
CREATE INDEX evaluations_run ON evaluations (run, n);
"""
COLUMNS = (
    "id, run, n, batch, key, x, f, g, h, extra, status, error, duration, worker, attempts, "
    "elapsed, checksum"
)


class StoreMismatchError(StoreError):
    """A store holds runs, but none of this problem, algorithm and seed."""


@dataclass(slots=True)
class Row:
    """One evaluation of the journal: where in its run it stood, and what came of it."""

    id: int
    run: int
    n: int
    batch: int
    key: bytes
    elapsed: float
    outcome: Outcome


@dataclass(slots=True)
class RunRow:
    """One run of the journal, its signatures as the JSON that was stored."""

    id: int
    created: str
    updated: str
    problem: str
    algorithm: str
    seed: str | None
    seed_drawn: bool
    settings: str
    versions: str
    base: int
    n_eval: int
    budget: int | None
    elapsed: float
    owner: str | None


class Journal:
    """A connection to a store file, for reading and writing.

    Evaluations are written by a thread as soon as they are handed over; those that end within ten
    milliseconds of each other are committed together.

    Durability: each commit is in the write-ahead log when it is made, so a killed process loses
    nothing that was committed. Once a second at most the log is also forced to the disk, so a
    power failure takes at most the commits of about one second; it never damages the file.

    Parameters
    ----------
    path : str or Path
        The file; made if it does not exist.

    Raises
    ------
    StoreError
        The folder is missing or read-only, or the file is damaged, no store, or of a newer version.
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
                self.path,
                timeout=sqlite.BUSY_SECONDS,
                isolation_level=None,
                check_same_thread=False,
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
        # Checkpoints copy the log into the file and wait for the disk: seldom and large is cheaper.
        self._db.execute("PRAGMA wal_autocheckpoint = 4000")
        # Keys are random: the pages of their index should stay in memory (64 MB).
        self._db.execute("PRAGMA cache_size = -65536")
        self._db.execute("BEGIN IMMEDIATE")
        if not self._db.execute("PRAGMA application_id").fetchone()[0]:
            for statement in _SCHEMA.split(";")[:-1]:
                self._db.execute(statement)
            self._db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
            self._db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        self._db.execute("COMMIT")
        # Fails here, and not after the first evaluation, where the file may only be read.
        self._db.execute("BEGIN IMMEDIATE")
        self._db.execute("UPDATE runs SET updated = updated WHERE id = 0")
        self._db.execute("ROLLBACK")

    def _enter_wal(self) -> None:
        # Two processes that open a new file at once can meet here, where SQLite does not wait.
        for attempt in range(100):
            try:
                mode = self._db.execute("PRAGMA journal_mode = WAL").fetchone()[0]
                break
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or attempt == 99:
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

    # ---- runs ------------------------------------------------------------------------------------

    def runs(self) -> list[RunRow]:
        """Return all runs, oldest first."""
        with translated(self.path):
            return read_runs(self._db)

    def start_run(
        self,
        problem: dict[str, Any],
        algorithm: dict[str, Any],
        seed: str | None,
        seed_drawn: bool,
        settings: dict[str, Any],
        budget: int | None,
    ) -> RunRow:
        """Enter a new run and return it."""
        now = _now()
        with translated(self.path), self._writing():
            base = self._db.execute("SELECT coalesce(max(id), 0) FROM evaluations").fetchone()[0]
            cursor = self._db.execute(
                "INSERT INTO runs (created, updated, problem, algorithm, seed, seed_drawn, "
                "settings, versions, base, budget, owner) VALUES (?,?,?,?,?,?,?,?,?,?,?)",
                (
                    now,
                    now,
                    signature.dump(problem),
                    signature.dump(algorithm),
                    seed,
                    int(seed_drawn),
                    signature.dump(settings),
                    signature.dump(signature.versions()),
                    base,
                    budget,
                    owner(),
                ),
            )
            run = cursor.lastrowid
        return next(r for r in self.runs() if r.id == run)

    def update_run(self, run: int, **values: Any) -> None:
        """Set columns of a run: ``n_eval``, ``budget``, ``elapsed``, ``owner``."""
        values["updated"] = _now()
        names = ", ".join(f"{name} = ?" for name in values)
        with translated(self.path), self._writing():
            self._db.execute(f"UPDATE runs SET {names} WHERE id = ?", (*values.values(), run))

    # ---- evaluations -----------------------------------------------------------------------------

    def last_id(self) -> int:
        """Return the id of the youngest evaluation in the file, 0 if there is none."""
        with translated(self.path):
            return self._db.execute("SELECT coalesce(max(id), 0) FROM evaluations").fetchone()[0]

    def lookup(self, keys: Sequence[bytes], run: RunRow, shared: bool) -> dict[bytes, list[Row]]:
        """Return what may answer these keys, the run's own rows first, youngest first.

        Parameters
        ----------
        keys : sequence of bytes
        run : RunRow
        shared : bool
            Whether successful evaluations that other runs of the same problem had made before this
            run began count too. Later ones do not, so that a resumed run sees what it saw before.
        """
        found: dict[bytes, list[Row]] = {}
        others = (
            "OR (id <= ? AND status = 'ok' AND run IN (SELECT id FROM runs WHERE problem = ?))"
            if shared
            else ""
        )
        extra = (run.base, run.problem) if shared else ()
        with translated(self.path):
            for start in range(0, len(keys), 500):
                part = list(keys[start : start + 500])
                marks = ",".join("?" * len(part))
                cursor = self._db.execute(
                    f"SELECT {COLUMNS} FROM evaluations WHERE key IN ({marks}) "
                    f"AND (run = ? {others}) ORDER BY run = ? DESC, id DESC",
                    (*part, run.id, *extra, run.id),
                )
                for line in cursor:
                    row = _row(line)
                    found.setdefault(row.key, []).append(row)
        return found

    def answers(self, run: int, first: int, last: int) -> dict[int, Row]:
        """Return the youngest row of a run at each position from ``first`` up to ``last``."""
        with translated(self.path):
            cursor = self._db.execute(
                f"SELECT {COLUMNS} FROM evaluations WHERE run = ? AND n >= ? AND n < ? ORDER BY id",
                (run, first, last),
            )
            return {row.n: row for row in map(_row, cursor)}

    def cheapest(self, run: int) -> tuple[Any, Row] | None:
        """Return the successful evaluation of a run that took least time, with its design."""
        with translated(self.path):
            line = self._db.execute(
                f"SELECT {COLUMNS} FROM evaluations WHERE run = ? AND status = 'ok' "
                "ORDER BY duration, id LIMIT 1",
                (run,),
            ).fetchone()
            return None if line is None else (keys.decode(line[5]), _row(line))

    def add(
        self, run: int, n: int, batch: int, key: bytes, x: bytes, outcome: Outcome, elapsed: float
    ) -> None:
        """Hand over an evaluation; it is committed in the background, see above.

        Raises
        ------
        StoreError
            This or an earlier evaluation cannot be written.
        """
        values = dict(outcome.values)
        f, g, h = (values.pop(name, None) for name in "FGH")
        row = (
            *(run, n, batch, key, x),
            *(None if v is None else np.asarray(v, "<f8").tobytes() for v in (f, g, h)),
            keys.pack(values),
            *(outcome.status, _text(outcome.error), float(outcome.duration), outcome.worker),
            *(outcome.attempts, float(elapsed)),
        )
        with translated(self.path):
            self._writer.put((*row, keys.checksum(row)))

    def flush(self) -> None:
        """Return when everything that was added is committed.

        Raises
        ------
        StoreError
            Something cannot be written.
        """
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


def read_runs(db: sqlite3.Connection) -> list[RunRow]:
    """Return all runs of an open store, oldest first."""
    names = ", ".join(RunRow.__dataclass_fields__)
    runs = [RunRow(*line) for line in db.execute(f"SELECT {names} FROM runs ORDER BY id")]
    for run in runs:
        run.seed_drawn = bool(run.seed_drawn)
        for text in (run.problem, run.algorithm, run.settings, run.versions):
            json.loads(text)  # damage shows here, and not wherever they are looked at
    return runs


def intact(line: Sequence[Any]) -> Sequence[Any]:
    """Return a line of COLUMNS as it came.

    Raises
    ------
    sqlite3.DatabaseError
        It is not what was written, which SQLite itself does not notice.
    """
    if keys.checksum(line[1:-1]) != line[-1]:
        raise sqlite3.DatabaseError(f"malformed content of evaluation {line[0]}")
    return line


def _row(line: Sequence[Any]) -> Row:
    id_, run, n, batch, key, _, f, g, h, extra, status, *how, elapsed, _ = intact(line)
    values = keys.unpack(extra)
    for name, blob in (("F", f), ("G", g), ("H", h)):
        if blob is not None:
            values[name] = np.frombuffer(blob, "<f8").astype(float)
    outcome = Outcome(status, values if status == OK else {}, *how)
    return Row(id_, run, n, batch, key, elapsed, outcome)


def _text(error: str | None) -> str | None:
    """Return a traceback without the halves of characters that a file name can bring into it."""
    return None if error is None else error.encode(errors="backslashreplace").decode()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
