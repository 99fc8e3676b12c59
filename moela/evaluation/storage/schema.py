"""The two tables of a store, and their rows as dataclasses."""

from __future__ import annotations

import json
import re
import sqlite3
from dataclasses import dataclass
from typing import Any

from moela.evaluation.runners.outcome import Outcome
from moela.provenance.signature import Json, Signature

Line = tuple[Any, ...]
"""The columns of a row as SQLite gives them."""

APPLICATION_ID = 0x4D4F4541
SCHEMA_VERSION = 3
# Stores of version 2 are read as they are; a writer adds the checksums of the runs.
OLDEST_VERSION = 2
ADD_CHECKSUMS = "ALTER TABLE runs ADD COLUMN checksums BLOB NOT NULL DEFAULT x''"
SCHEMA = """
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
    owner TEXT,                 -- host and process that write it
    checksums BLOB NOT NULL DEFAULT x''   -- of each column before, four bytes
);
CREATE TABLE evaluations (
    id INTEGER PRIMARY KEY,
    run INTEGER NOT NULL REFERENCES runs (id),
    n INTEGER NOT NULL,         -- position of the answer in its run, starting at 0
    batch INTEGER NOT NULL,     -- position of the evaluator's call in the run, starting at 0
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
WRITTEN = (
    "run, n, batch, key, x, f, g, h, extra, status, error, duration, worker, attempts, elapsed, "
    "checksum"
)
COLUMNS = f"id, {WRITTEN}"


def create(db: sqlite3.Connection) -> None:
    """Make the tables of a new store."""
    for statement in SCHEMA.split(";")[:-1]:
        db.execute(statement)
    db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    db.execute(f"PRAGMA application_id = {APPLICATION_ID}")


def expected(version: int) -> dict[str, str]:
    """Return the statements that made the tables and indices of a store, `plain`, by name."""
    statements = [plain(text) for text in SCHEMA.split(";")[:-1]]
    if version < SCHEMA_VERSION:
        statements = [re.sub(r",? checksums BLOB .*\)", ")", text) for text in statements]
    return {re.findall(r"\w+", text)[2]: text for text in statements}


def plain(statement: str) -> str:
    """Return a statement without comments and with single spaces, for comparisons."""
    text = " ".join(re.sub(r"--.*", "", statement).split())
    return re.sub(r" ?([(),]) ?", r"\1 ", text).strip()


@dataclass(frozen=True, slots=True)
class RunIdentity:
    """Everything by which a run is recognized, and whether its seed had to be drawn."""

    problem: Signature
    algorithm: Signature
    seed: str | None
    seed_drawn: bool
    settings: dict[str, Json]  # of the evaluator: those that may change the last bits of a result


@dataclass(slots=True)
class RunRow:
    """A run, with its signatures as the JSON text that was stored."""

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


PLANNED = "planned"
"""Name of the setting that is the budget with which a run began, no part of its identity."""


def settings_of(run: RunRow) -> dict[str, Json]:
    """Return the settings by which a run is recognized."""
    return {name: value for name, value in json.loads(run.settings).items() if name != PLANNED}


def planned_of(run: RunRow) -> int | None:
    """Return the budget with which a run began, None if it had none."""
    planned = json.loads(run.settings).get(PLANNED)
    return planned if isinstance(planned, int) else None


@dataclass(slots=True)
class Row:
    """An evaluation: its position, its design as stored, and its outcome."""

    id: int
    run: int
    n: int
    batch: int
    key: bytes
    x: bytes
    elapsed: float
    outcome: Outcome
