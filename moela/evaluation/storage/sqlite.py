"""SQLite files: whether one is a store, and its errors in terms of the store."""

from __future__ import annotations

import json
import os
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from moela.evaluation.storage.errors import StoreError
from moela.evaluation.storage.schema import APPLICATION_ID, SCHEMA_VERSION

BUSY_SECONDS = 60.0
_START = b"SQLite format 3\0"


def check_header(path: Path) -> None:
    """Raise StoreError if a file exists and is no SQLite file; nothing is written to it."""
    if path.is_dir():
        raise StoreError(f"The store {path} is a folder. Name a file instead.")
    try:
        with path.open("rb") as file:
            start = file.read(len(_START))
    except FileNotFoundError:
        return
    except OSError as error:
        raise StoreError(f"The store {path} cannot be read: {error}.") from error
    if start and start != _START:
        raise StoreError(
            f"The file {path} is not a store: it does not start like an SQLite file. It was not "
            "changed. Choose another name, or restore the file if it was a store."
        )


def check_contents(db: sqlite3.Connection, path: Path) -> None:
    """Raise StoreError if an SQLite file is damaged, not a store, or of another version."""
    tables = db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if db.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID and tables:
        raise StoreError(
            f"The file {path} is an SQLite database of another program. It was not changed. "
            "Choose another name for the store."
        )
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if tables and version != SCHEMA_VERSION:
        raise StoreError(
            f"The store {path} has version {version}, but this moela reads version "
            f"{SCHEMA_VERSION}. It was not changed. Install the moela that wrote it, or choose "
            "another name."
        )
    verdict = db.execute("PRAGMA quick_check(1)").fetchone()[0]
    if verdict != "ok":
        raise StoreError(_damaged(path, verdict))


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Turn the errors of SQLite into a StoreError that says what happened and what to do."""
    try:
        yield
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise StoreError(_damaged(path, str(error))) from error
    except sqlite3.Error as error:
        raise StoreError(_explained(path, str(error))) from error


def _explained(path: Path, text: str) -> str:
    if "full" in text:
        return (
            f"The disk has no room left for the store {path}. Every evaluation committed so far is "
            "safe in it. Free some space and make the same call again."
        )
    if "readonly" in text or "unable to open" in text:
        return (
            f"The store {path} cannot be written ({text}). Its folder must be writable too, since "
            "SQLite keeps its log beside the file."
        )
    if "malformed" in text or "not a database" in text or "decode" in text:
        return _damaged(path, text)
    if "locked" in text:
        return (
            f"Another process has been writing to the store {path} for {BUSY_SECONDS:.0f} seconds "
            "without a pause. Make the same call again once it has ended."
        )
    return f"The store {path} failed: {text}. Every evaluation committed so far is safe in it."


def _damaged(path: Path, details: str) -> str:
    return (
        f"The store {path} is damaged ({details}). It was not changed. Save its readable part with "
        f"`sqlite3 {path.name} .recover | sqlite3 saved.db`, or restore a copy."
    )


def owner_alive(name: str | None, others_only: bool = True) -> bool:
    """Return whether the owner, a `worker_name`, is a process of this host that still lives.

    With ``others_only`` this process does not count.
    """
    host, _, pid = (name or "").rpartition(":")
    elsewhere = host != socket.gethostname() or not pid.isdigit()
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
