"""SQLite files: whether one is a store, and its errors in terms of the store."""

from __future__ import annotations

import os
import re
import socket
import sqlite3
import stat
import time
import weakref
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from moela.evaluation.storage import schema
from moela.evaluation.storage.errors import DamagedError, StoreError
from moela.evaluation.storage.folders import MAGIC
from moela.evaluation.storage.schema import APPLICATION_ID, OLDEST_VERSION, SCHEMA_VERSION
from moela.files import descriptors
from moela.files.guard import open_file

try:
    import resource
except ImportError:  # Windows, which has no such limits
    resource = None  # type: ignore[assignment]

BUSY_SECONDS = 60.0
# What the sqlite3 module raises for damaged files, and for values larger than the memory.
SQLITE_ERRORS = (sqlite3.Error, UnicodeError, MemoryError, OverflowError)
# The whole content of a file of this size is checked in about a second when it is opened. The
# indices of a larger one are only checked for their structure and their number of entries.
_CHECKED_BYTES = 64 * 2**20
# A store that holds what moela writes is checked and listed far faster than this.
_LEAST_SECONDS = 5.0
_BYTES_PER_SECOND = 5e6
# Nothing that is read can be larger than the file, so SQLite need not make room for more.
_LEAST_LENGTH = 2**26
_STEPS = 100_000  # of SQLite between two looks at the clock
_WITHOUT_LOG = b"\x01\x01"
_KEPT = "The evaluations committed before are safe in it."
_NEAR_BYTES = 2**16  # a file so close to a limit has reached it: SQLite writes whole pages
_KINDS = {stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}


class _Connection(sqlite3.Connection):
    """A connection that is known by the file that it has open."""

    file: tuple[int, int] = (0, 0)

    def close(self) -> None:
        """Close the connection."""
        super().close()
        _connections.discard(self)


_connections: weakref.WeakSet[_Connection] = weakref.WeakSet()


def has_log_of_another(path: Path) -> bool:
    """Return whether the log beside a store was left by another file that had its name.

    SQLite would take it for a log of the store, and damage it. A rescued copy has no log and says
    so in its header.
    """
    try:
        file = path.stat()
        if not log_of(path).stat().st_size or any(
            db.file == (file.st_dev, file.st_ino) for db in [*_connections]
        ):
            return False  # to read the file here would end the locks of that connection
        with open_file(path) as stream:
            header = stream.read(20)
    except (OSError, ValueError):
        return False
    return header.startswith(MAGIC) and header[18:20] == _WITHOUT_LOG


def check_file(path: Path) -> None:
    """Raise StoreError if a file exists and is no SQLite file; nothing is written to it."""
    try:
        info = path.stat()
    except FileNotFoundError:
        return
    except OSError as error:
        raise StoreError(f"The store {path} cannot be read: {error}.") from error
    if stat.S_ISDIR(info.st_mode):
        raise StoreError(f"The store {path} is a folder. Name a file instead.")
    if not stat.S_ISREG(info.st_mode):
        kind = _KINDS.get(stat.S_IFMT(info.st_mode), "a device")
        raise StoreError(f"The store {path} is {kind}. Name a regular file instead.")
    if not info.st_size:
        return
    # Not read by `open`: to close that would end all locks that this process has on the file.
    try:
        with closing(connect(path, "mode=ro&immutable=1")) as db:
            db.execute("PRAGMA schema_version").fetchone()
    except sqlite3.DatabaseError as error:
        if "not a database" in str(error):
            raise StoreError(
                f"The file {path} is not a store: it does not start like an SQLite file. It was "
                "not changed. Choose another name, or restore the file if it was a store."
            ) from error
        # Without its log, which is not looked at here, a good file may seem damaged.
        if "unable to open" in str(error) and descriptors.at_limit():
            raise StoreError(explained(path, error)) from error
        if "malformed" not in str(error):
            raise StoreError(f"The SQLite file {path} cannot be read: {error}.") from error


def connect(path: Path, options: str = "") -> sqlite3.Connection:
    """Return a connection that runs nothing that a file from a stranger may define.

    `options` are those of an SQLite URI, such as ``"mode=ro"``.
    """
    db = sqlite3.connect(
        path.as_uri() + ("?" + options if options else ""),
        timeout=BUSY_SECONDS,
        isolation_level=None,
        check_same_thread=False,
        factory=_Connection,
        uri=True,
    )
    # Bytes that are no text are told by the check of their field.
    db.text_factory = _text
    with suppress(OSError):
        file = path.stat()
        db.file = (file.st_dev, file.st_ino)
        _connections.add(db)
    for pragma in ("trusted_schema = OFF", "cell_size_check = ON"):
        db.execute(f"PRAGMA {pragma}")
    if "mode=ro" in options:  # a file from a stranger
        db.execute("PRAGMA query_only = ON")
        length = max(_LEAST_LENGTH, *(_size(file) for file in (path, log_of(path))))
        most = db.getlimit(sqlite3.SQLITE_LIMIT_LENGTH)
        db.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, min(length, most))
    return db


def log_of(path: Path) -> Path:
    """Return the write-ahead log of a store."""
    return path.with_name(path.name + "-wal")


def index_of(path: Path) -> Path:
    """Return the file of shared memory beside a store."""
    return path.with_name(path.name + "-shm")


def close_reader(db: sqlite3.Connection, path: Path, alone: bool) -> None:
    """Close a connection that only read a store, and leave no files beside it.

    SQLite keeps a log and its index while a store is open, and a connection that may not write
    cannot remove them. If the reader was `alone`, because there was no log or an empty one, SQLite
    removes them here, unless another process has the store open.
    """
    file = getattr(db, "file", None)
    db.close()
    if not alone:
        return
    with suppress(OSError, sqlite3.Error):
        now = path.stat()
        if (now.st_dev, now.st_ino) == file and log_of(path).stat().st_size == 0:
            uri = f"{path.as_uri()}?mode=rw"
            with closing(sqlite3.connect(uri, timeout=0.0, uri=True)) as last:
                last.execute("PRAGMA schema_version").fetchone()


def check_contents(db: sqlite3.Connection, path: Path, *, indices: bool = True) -> None:
    """Raise StoreError if an SQLite file is damaged, not a store, or of another version.

    Without `indices`, it is not checked whether they agree with the tables.
    """
    with within(db, path):
        tables = db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if db.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID and tables:
            raise StoreError(
                f"The file {path} is an SQLite database of another program. It was not changed. "
                "Choose another name for the store."
            )
        version = db.execute("PRAGMA user_version").fetchone()[0]
        if tables and not OLDEST_VERSION <= version <= SCHEMA_VERSION:
            raise StoreError(
                f"The store {path} has version {version} (user_version of the SQLite file), but "
                f"this moela reads versions {OLDEST_VERSION} to {SCHEMA_VERSION}. It was not "
                "changed. Install the moela that wrote it, or choose another name."
            )
        if not tables:
            return
        more = _check_schema(db, version)
        _check_pages(db, path, only_ours=more, indices=indices)


def _check_schema(db: sqlite3.Connection, version: int) -> bool:
    """Raise DamagedError unless tables and indices are as moela makes them.

    Return whether there are further tables.
    """
    expected = schema.expected(version)
    more = False
    found = set()
    for kind, name, table, statement in db.execute(
        "SELECT type, name, tbl_name, substr(sql, 1, 10000) FROM sqlite_master"
    ):
        if name in expected:
            found.add(name)
            if not isinstance(statement, str) or schema.plain(statement) != expected[name]:
                raise DamagedError(
                    "sqlite_master", name, "sql", f"the {kind} is not the one that moela makes"
                )
        elif kind == "trigger" or table in expected:
            raise DamagedError("sqlite_master", name, "type", f"moela makes no {kind} of this name")
        more = more or (kind == "table" and name not in expected)
    if missing := sorted(expected.keys() - found):
        raise DamagedError("sqlite_master", missing[0], "name", "the row is missing")
    return more


def _check_pages(db: sqlite3.Connection, path: Path, *, only_ours: bool, indices: bool) -> None:
    whole = indices and _size(path) <= _CHECKED_BYTES
    pragma = "integrity_check" if whole else "quick_check"
    # Of tables that somebody else has added, nothing is evaluated.
    for argument in ("'runs'", "'evaluations'") if only_ours else ("1",):
        verdict = db.execute(f"PRAGMA {pragma}({argument})").fetchone()[0]
        if verdict != "ok":
            raise sqlite3.DatabaseError(f"malformed: {str(verdict)[:200]}")
    if indices and not whole:
        counts = {
            name: db.execute(f"SELECT count(*) FROM evaluations {how}").fetchone()[0]
            for name, how in (
                ("table", "NOT INDEXED"),
                ("index evaluations_key", "INDEXED BY evaluations_key"),
                ("index evaluations_run", "INDEXED BY evaluations_run"),
            )
        }
        if len(set(counts.values())) > 1:
            raise sqlite3.DatabaseError(f"malformed: numbers of entries differ: {counts}")


@contextmanager
def within(db: sqlite3.Connection, path: Path) -> Iterator[None]:
    """End statements that run for longer than any on a file of this size should."""
    end = time.monotonic() + _LEAST_SECONDS + _size(path) / _BYTES_PER_SECOND
    db.set_progress_handler(lambda: time.monotonic() > end, _STEPS)
    try:
        yield
    finally:
        db.set_progress_handler(None, 0)


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Turn the errors of SQLite into a StoreError that says what happened and what to do."""
    try:
        yield
    except (DamagedError, *SQLITE_ERRORS) as error:
        raise StoreError(explained(path, error)) from error


def explained(path: Path, error: Exception) -> str:
    """Return what an error of SQLite, or damage, means for a store, and what to do."""
    text = str(error)
    if isinstance(error, DamagedError):
        return _damaged(path, text, error)
    if "full" in text:
        return (
            f"The disk has no room left for the store {path}. {_KEPT} Free some space and make the "
            "same call again."
        )
    if "unable to open" in text and descriptors.at_limit():
        return (
            f"The store {path} cannot be opened, since too many files are open. "
            f"{descriptors.ADVICE}"
        )
    if "readonly" in text and os.access(path, os.W_OK) and os.access(path.parent, os.W_OK):
        return _damaged(path, f"the header of the SQLite file: {text}")
    if "readonly" in text or "unable to open" in text:
        log = path.with_name(f"{path.name}-wal")
        copy = f" To read it, copy {path.name} and {log.name} to such a folder."
        return (
            f"The store {path} cannot be written ({text}). Its folder must be writable too, since "
            f"SQLite keeps its log beside the file.{copy * log.exists()}"
        )
    if "malformed" in text or "not a database" in text or "decode" in text:
        return _damaged(path, f"the SQLite file: {text}")
    if "interrupted" in text:
        return _damaged(path, "the SQLite file: reading it takes longer than its size allows")
    if "too big" in text:
        return f"A row is too large for the store {path} ({text}). {_KEPT}"
    if "locked" in text:
        return (
            f"Another process has been writing to the store {path} for {BUSY_SECONDS:.0f} seconds "
            "without a pause. Make the same call again once it has ended."
        )
    if "disk I/O" in text and (limit := _reached_limit(path)) is not None:
        return (
            f"The store {path} has reached the limit of {limit:,} bytes that this process may "
            f"write into a file (ulimit -f). {_KEPT} Raise the limit and make the same call again."
        )
    return f"The store {path} failed as an SQLite file: {text}. {_KEPT}"


def _reached_limit(path: Path) -> int | None:
    """Return the limit on the size of files, if the store or its log is about as large."""
    if resource is None:
        return None
    limit, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    sizes = [_size(file) for file in (path, log_of(path)) if file.exists()]
    reached = limit != resource.RLIM_INFINITY and max(sizes, default=0) + _NEAR_BYTES > limit
    return limit if reached else None


def _damaged(path: Path, details: str, error: DamagedError | None = None) -> str:
    remedy = (
        f"Save its readable part with `sqlite3 {path.name} .recover | sqlite3 saved.db`, or "
        "restore a copy."
    )
    if error is not None and error.table == "evaluations" and isinstance(error.row, int):
        remedy = (
            "Restore a copy, or have that evaluation computed again: `sqlite3 "
            f'{path.name} "DELETE FROM evaluations WHERE id = {error.row}"`.'
        )
    return f"The store {path} is damaged ({details}). It was not changed. {remedy}"


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def owner_alive(name: str | None, others_only: bool = True) -> bool:
    """Return whether the owner, a `worker_name`, is a process of this host that still lives.

    With ``others_only`` this process does not count.
    """
    host, _, pid = (name or "").rpartition(":")
    elsewhere = host != socket.gethostname() or not re.fullmatch(r"[0-9]{1,9}", pid)
    if not elsewhere and int(pid) == os.getpid():
        return not others_only
    if elsewhere or os.name != "posix":  # on Windows, os.kill would end the process
        return False
    try:
        os.kill(int(pid), 0)
    except PermissionError:
        return True
    except OSError:
        return False
    return True
