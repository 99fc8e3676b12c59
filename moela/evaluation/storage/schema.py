"""The two tables of a store, and their rows as dataclasses."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass
from typing import Any

import numpy as np

from moela.evaluation.runners.outcome import OK, Outcome
from moela.evaluation.storage import keys
from moela.provenance.signature import Json, Signature

APPLICATION_ID = 0x4D4F4541
SCHEMA_VERSION = 2
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
    owner TEXT                  -- host and process that write it
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


def read_runs(db: sqlite3.Connection) -> list[RunRow]:
    """Return all runs of an open store, oldest first."""
    names = ", ".join(RunRow.__dataclass_fields__)
    runs = [RunRow(*line) for line in db.execute(f"SELECT {names} FROM runs ORDER BY id")]
    for run in runs:
        run.seed_drawn = bool(run.seed_drawn)
        for text in (run.problem, run.algorithm, run.settings, run.versions):
            json.loads(text)  # so that damage is noticed now, not where the text is used
    return runs


def read_row(line: tuple[Any, ...]) -> Row:
    """Return the evaluation in a line of `COLUMNS`.

    Raises
    ------
    sqlite3.DatabaseError
        The checksum is wrong: a byte has changed, which SQLite itself does not notice.
    """
    if keys.checksum(line[1:-1]) != line[-1]:
        raise sqlite3.DatabaseError(f"malformed content of evaluation {line[0]}")
    id_, run, n, batch, key, x, f, g, h, extra, status, *how, elapsed, _ = line
    values = keys.unpack(extra)
    for name, blob in (("F", f), ("G", g), ("H", h)):
        if blob is not None:
            values[name] = np.frombuffer(blob, "<f8").astype(float)
    outcome = Outcome(status, values if status == OK else {}, *how)
    return Row(id_, run, n, batch, key, x, elapsed, outcome)


def write_row(
    run: int, n: int, batch: int, key: bytes, x: bytes, outcome: Outcome, elapsed: float
) -> tuple[object, ...]:
    """Return an evaluation as the values of the columns in `WRITTEN`."""
    extra = dict(outcome.values)
    f, g, h = (extra.pop(name, None) for name in "FGH")
    row = (
        *(run, n, batch, key, x),
        *(None if v is None else np.asarray(v, "<f8").tobytes() for v in (f, g, h)),
        keys.pack(extra),
        *(outcome.status, _storable(outcome.error), float(outcome.duration), outcome.worker),
        *(outcome.attempts, float(elapsed)),
    )
    return (*row, keys.checksum(row))


def _storable(error: str | None) -> str | None:
    """Return a traceback with lone surrogates escaped, which file names can bring into it."""
    return None if error is None else error.encode(errors="backslashreplace").decode()
