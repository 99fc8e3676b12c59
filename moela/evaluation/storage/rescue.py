"""A copy of a store that has been damaged or deleted while a run was writing to it."""

from __future__ import annotations

import itertools
import os
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from moela.evaluation.storage import schema
from moela.evaluation.storage.errors import DamagedError
from moela.evaluation.storage.rows import (
    EVALUATION_COLUMNS,
    RUN_COLUMNS,
    insert_run,
    read_row,
    read_runs,
)
from moela.evaluation.storage.schema import Line, RunRow
from moela.evaluation.storage.sqlite import SQLITE_ERRORS, connect

# What a process that writes a store keeps of it in memory.
_KEPT_BYTES = 64 * 2**20
_ROW_BYTES = 500  # of a row itself, beside its large values
_LINES = 1000
_PLACES = tuple(EVALUATION_COLUMNS.index(name) for name in ("run", "n", "key", "checksum"))


class Kept:
    """The newest rows that a process has written or read, up to 64 MB of them."""

    def __init__(self) -> None:
        self._lines: dict[int, Line] = {}  # in the form of `COLUMNS`, by id
        self._size = 0

    def add(self, lines: Iterable[Line]) -> None:
        """Keep rows in the form of `COLUMNS`."""
        for line in lines:
            if line[0] not in self._lines:
                self._lines[line[0]] = line
                self._size += _size(line)
        while self._size > _KEPT_BYTES and len(self._lines) > 1:
            self._size -= _size(self._lines.pop(next(iter(self._lines))))

    def __iter__(self) -> Iterator[Line]:
        return iter(self._lines.values())


@dataclass(frozen=True, slots=True)
class Rescued:
    """A file of rescued rows."""

    path: Path
    n: int  # evaluations in it
    complete: bool  # whether these are as many as there were


def rescue(
    db: sqlite3.Connection,
    path: Path,
    runs: Mapping[int, RunRow],
    lines: Iterable[Line],
    newest: int,
    expected: int,
) -> Rescued | None:
    """Copy all that is known of a store into a new file beside it, or else in a temporary folder.

    `db` is the connection that was opened before the damage: of a file that was deleted it can
    still read everything. `runs` and `lines` are what this process has in memory; a line without an
    id has not been committed. `newest` is the largest id that was, and
    `expected` how many evaluations there should be.
    """
    for folder in _folders(path):
        part = folder / f"{path.name}.rescued.{os.getpid()}.part"
        try:
            if not _copy(db, part):
                _salvage(db, part, runs, newest)
            n = _complete(part, runs, lines)
            target = _named(part, path.name)
        except (OSError, DamagedError, *SQLITE_ERRORS):
            for name in (part, part.with_name(part.name + "-journal")):
                with suppress(OSError):
                    name.unlink()
            continue
        return Rescued(target, n, n >= expected)
    return None


def _folders(path: Path) -> Iterator[Path]:
    """Yield the folders for a copy; the temporary one is looked for only if the first fails."""
    yield path.parent
    try:
        temporary = Path(tempfile.gettempdir())  # which writes a file, to see whether it can
    except OSError:
        return
    yield temporary


def rescued_copies(path: Path) -> list[Path]:
    """Return the rescued copies beside a store."""
    return sorted(path.parent.glob(f"{_escaped(path.name)}.rescued-*.db"))


def _escaped(name: str) -> str:
    return "".join(f"[{c}]" if c in "*?[" else c for c in name)


def _named(part: Path, name: str) -> Path:
    """Give a finished copy the first name that is free."""
    for number in itertools.count(1):
        target = part.with_name(f"{name}.rescued-{number}.db")
        if target.exists():
            continue
        try:
            os.link(part, target)  # fails if another process has just taken the name
        except FileExistsError:
            continue
        except OSError:  # a file system without links
            part.rename(target)
        else:
            part.unlink()
        return target
    raise AssertionError


def _copy(db: sqlite3.Connection, part: Path) -> bool:
    """Copy a whole store as SQLite sees it; return whether the copy is good."""
    with closing(sqlite3.connect(part, isolation_level=None)) as copy:
        try:
            db.backup(copy)
            # One file without a log: whoever renames it has all of it.
            copy.execute("PRAGMA journal_mode = DELETE")
            if copy.execute("PRAGMA integrity_check(1)").fetchone()[0] == "ok":
                version = copy.execute("PRAGMA user_version").fetchone()[0]
                return bool(version == schema.SCHEMA_VERSION and read_runs(copy))
        except (DamagedError, *SQLITE_ERRORS) as error:
            if _is_full(error):
                raise
    part.unlink()
    return False


def _salvage(db: sqlite3.Connection, part: Path, runs: Mapping[int, RunRow], newest: int) -> None:
    """Copy the rows that can still be read, one by one if need be."""
    with closing(sqlite3.connect(part, isolation_level=None)) as copy:
        copy.execute("PRAGMA journal_mode = OFF")
        schema.create(copy)
        numbers = set(runs)
        with suppress(DamagedError, *SQLITE_ERRORS):
            # So that SQLite reads what is left of a file that is shorter than its header says.
            db.execute("PRAGMA writable_schema = ON")
            for run in read_runs(db):
                insert_run(copy, _columns(run))
                numbers.add(run.id)
        last = 0
        copy.execute("BEGIN")
        for line in _readable(db, newest):
            with suppress(DamagedError, sqlite3.IntegrityError):
                row = read_row(line, {})
                if row.run in numbers and row.id > last:
                    _insert(copy, line)
                    last = row.id
        copy.execute("COMMIT")


def _readable(db: sqlite3.Connection, newest: int) -> Iterator[Line]:
    """Yield the rows of a damaged store that can be read, in order."""
    query = f"SELECT {schema.COLUMNS} FROM evaluations NOT INDEXED WHERE id"
    last = 0
    while True:
        try:
            lines = db.execute(f"{query} > ? ORDER BY id LIMIT {_LINES}", (last,)).fetchall()
            if not lines:
                return
            yield from lines
            last = lines[-1][0]
        except SQLITE_ERRORS:  # a page that is gone: go on behind it
            if last >= newest:
                return
            for number in range(last + 1, last + 1 + _LINES):
                with suppress(*SQLITE_ERRORS):
                    yield from db.execute(f"{query} = ?", (number,)).fetchall()
            last += _LINES


def _complete(part: Path, runs: Mapping[int, RunRow], lines: Iterable[Line]) -> int:
    """Add the runs and rows from memory that a copy lacks; return its number of evaluations."""
    with closing(sqlite3.connect(part, isolation_level=None)) as copy:
        copy.execute("BEGIN")
        known = {number for (number,) in copy.execute("SELECT id FROM runs")}
        for number, run in runs.items():
            if number not in known:
                insert_run(copy, _columns(run))
        for line in lines:
            place = tuple(line[i] for i in _PLACES)
            clause = "run = ? AND n = ? AND key = ? AND checksum = ?"
            if not copy.execute(f"SELECT 1 FROM evaluations WHERE {clause}", place).fetchone():
                _insert(copy, line)
        copy.execute("COMMIT")
        (n,) = copy.execute("SELECT count(*) FROM evaluations").fetchone()
    return int(n)


def _insert(copy: sqlite3.Connection, line: Line) -> None:
    marks = ",".join("?" * len(line))
    query = f"INSERT INTO evaluations ({schema.COLUMNS}) VALUES ({marks})"
    try:
        copy.execute(query, line)
    except sqlite3.IntegrityError:  # another row has this id
        copy.execute(query, (None, *line[1:]))


def _columns(run: RunRow) -> dict[str, object]:
    columns = {name: getattr(run, name) for name in RUN_COLUMNS}
    return columns | {"seed_drawn": int(run.seed_drawn)}


def _is_full(error: Exception) -> bool:
    return "full" in str(error)


def _size(line: Line) -> int:
    return _ROW_BYTES + sum(len(value) for value in line if isinstance(value, bytes | str))


def reopen(rescued: Rescued) -> sqlite3.Connection:
    """Return a connection to a rescued file for the rows that still come."""
    db = connect(rescued.path)
    db.execute("PRAGMA synchronous = FULL")
    return db
