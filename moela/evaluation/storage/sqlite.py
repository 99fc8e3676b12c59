"""SQLite files: whether one is a store, and what its errors mean to the user."""

from __future__ import annotations

import json
import os
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

APPLICATION_ID = 0x4D4F4541
SCHEMA_VERSION = 2
BUSY_SECONDS = 60.0


class StoreError(RuntimeError):
    """A store cannot be read or written; the message says why and what to do."""


def check_header(path: Path) -> None:
    """Raise StoreError if a file exists and is no SQLite file; nothing is written to it."""
    if path.is_dir():
        raise StoreError(f"The store {path} is a folder. Name a file instead.")
    try:
        head = path.read_bytes()[:16] if path.stat().st_size < 16 else _head(path)
    except FileNotFoundError:
        return
    except OSError as error:
        raise StoreError(f"The store {path} cannot be read: {error}.") from error
    if head and head != b"SQLite format 3\0":
        raise StoreError(
            f"The file {path} is not a store: it does not start as an SQLite file does. It was "
            "left as it is; choose another name, or restore it if it was a store."
        )


def check_contents(db: sqlite3.Connection, path: Path) -> None:
    """Raise StoreError if an SQLite file is damaged, not a store, or of another version."""
    tables = db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if db.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID and tables:
        raise StoreError(
            f"The file {path} is an SQLite database of another program. It was left as it is; "
            "choose another name for the store."
        )
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if tables and version != SCHEMA_VERSION:
        raise StoreError(
            f"The store {path} has version {version}; this moela knows version {SCHEMA_VERSION}. "
            "It was left as it is; install the moela that wrote it, or choose another name."
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
        text = str(error)
        if "full" in text:
            message = (
                f"There is no room left for the store {path}. Every evaluation committed so far is "
                "safe in it; free some space and make the same call again."
            )
        elif "readonly" in text or "unable to open" in text:
            message = (
                f"The store {path} cannot be written ({text}). The folder must be writable too, "
                "since SQLite keeps its log beside the file."
            )
        elif "malformed" in text or "not a database" in text or "decode" in text:
            message = _damaged(path, text)
        elif "locked" in text:
            message = (
                f"Another process has been writing to the store {path} for {BUSY_SECONDS:.0f} "
                "seconds without a pause. Make the same call again once it has ended."
            )
        else:
            message = (
                f"The store {path} failed: {text}. Every evaluation committed so far is safe in it."
            )
        raise StoreError(message) from error


def owner() -> str:
    """Return host and process, by which a run knows who writes it."""
    return f"{socket.gethostname()}:{os.getpid()}"


def owner_alive(name: str | None, others_only: bool = True) -> bool:
    """Return whether the named owner is a process of this host that still lives.

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


def _damaged(path: Path, what: str) -> str:
    return (
        f"The store {path} is damaged ({what}). It was left as it is. Save what can be read with "
        f"`sqlite3 {path.name} .recover | sqlite3 saved.db`, or restore a copy."
    )


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(16)
