"""Rows of the two tables: written with checksums, and read with every field checked."""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar
from zlib import crc32

import numpy as np

from moela.evaluation.runners.outcome import FAILURES, INFINITE, OK, Outcome
from moela.evaluation.storage import keys, values
from moela.evaluation.storage.errors import DamagedError, StoreError
from moela.evaluation.storage.schema import SCHEMA_VERSION, WRITTEN, Line, Row, RunRow
from moela.files.text import is_deep

RUN_COLUMNS = tuple(RunRow.__dataclass_fields__)
EVALUATION_COLUMNS = ("id", *WRITTEN.split(", "))

# By column, in the order of the columns: the types of its values.
_TEXT, _COUNT, _SECONDS, _BYTES = (str,), (int,), (float,), (bytes,)
_RUN_TYPES: dict[str, tuple[type, ...]] = {
    "id": _COUNT,
    **dict.fromkeys(("created", "updated", "problem", "algorithm"), _TEXT),
    "seed": (str, type(None)),
    "seed_drawn": _COUNT,
    **dict.fromkeys(("settings", "versions"), _TEXT),
    **dict.fromkeys(("base", "n_eval"), _COUNT),
    "budget": (int, type(None)),
    "elapsed": _SECONDS,
    "owner": (str, type(None)),
}
_EVALUATION_TYPES: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("id", "run", "n", "batch"), _COUNT),
    **dict.fromkeys(("key", "x"), _BYTES),
    **dict.fromkeys(("f", "g", "h", "extra"), (bytes, type(None))),
    "status": _TEXT,
    "error": (str, type(None)),
    "duration": _SECONDS,
    "worker": _TEXT,
    "attempts": _COUNT,
    "elapsed": _SECONDS,
    "checksum": _COUNT,
}
_STATUSES = FAILURES | {OK, INFINITE}
_MOST_LEVELS = 100
MOST_SECONDS = 1e12
MOST_COUNT = 2**62  # so that one more is an integer of SQLite, too
_MOST_ERROR = 100_000  # characters of a stored traceback
_SIZES = (("f", "n_obj"), ("g", "n_ieq_constr"), ("h", "n_eq_constr"))

T = TypeVar("T")

# ------------------------------------------------------------------------------------------- runs


def read_runs(db: sqlite3.Connection) -> list[RunRow]:
    """Return all runs of an open store, oldest first."""
    return [run for run, _ in _runs(db)]


def _runs(db: sqlite3.Connection) -> list[tuple[RunRow, Line]]:
    version = db.execute("PRAGMA user_version").fetchone()[0]
    names = (*RUN_COLUMNS, "checksums") if version >= SCHEMA_VERSION else RUN_COLUMNS
    lines = db.execute(f"SELECT {', '.join(names)} FROM runs ORDER BY id").fetchall()
    return [(_read_run(line), line[: len(RUN_COLUMNS)]) for line in lines]


def _read_run(line: Line) -> RunRow:
    number = line[0]
    _check_types("runs", number, _RUN_TYPES, line)
    if len(line) > len(RUN_COLUMNS):
        *fields, found = line
        if not isinstance(found, bytes) or len(found) != 4 * len(RUN_COLUMNS):
            raise DamagedError("runs", number, "checksums", "not one for each column")
        expected = run_checksums(fields)
        for i, name in enumerate(RUN_COLUMNS):
            if found[4 * i : 4 * i + 4] != expected[4 * i : 4 * i + 4]:
                raise DamagedError("runs", number, name, "the content has another checksum")
    run = RunRow(*line[: len(RUN_COLUMNS)])
    run.seed_drawn = bool(run.seed_drawn)
    for name in ("problem", "algorithm", "settings", "versions"):
        check_field("runs", number, name, _check_signature, name, getattr(run, name))
    return run


def _check_signature(name: str, text: str) -> None:
    """Raise ValueError if a text is no JSON object such as moela writes."""
    value = json.loads(text)
    if not isinstance(value, dict):
        raise ValueError("must be a JSON object")
    if is_deep(value, _MOST_LEVELS):
        raise ValueError(f"is nested in more than {_MOST_LEVELS} levels")
    if name == "versions":
        if not all(isinstance(v, str) for v in value.values()):
            raise ValueError("must hold versions as text")
    elif name in ("problem", "algorithm"):
        if not isinstance(value.get("class"), str | None):
            raise ValueError("must name a class")
        if not isinstance(value.get("settings", {}), dict):
            raise ValueError("must hold settings by name")
        for key in ("n_var", "n_obj", "n_ieq_constr", "n_eq_constr"):
            size = value.get(key, 0)
            if type(size) is not int or not 0 <= size < 2**31:
                raise ValueError(f"must hold a number {key}")


def sizes_of(run: RunRow) -> dict[str, int]:
    """Return the numbers of variables, objectives and constraints of the problem of a run."""
    signature: Any = json.loads(run.problem)
    names = ["n_obj", "n_ieq_constr", "n_eq_constr"]
    if signature.get("vars") is None:  # a dictionary may have other variables
        names.append("n_var")
    return {name: signature[name] for name in names if name in signature}


def run_checksums(line: Sequence[Any]) -> bytes:
    """Return the checksum of each column of a run, given in the order of `RUN_COLUMNS`."""
    return b"".join(
        crc32(f"{name}:{type(value).__name__}:{value}".encode()).to_bytes(4, "little")
        for name, value in zip(RUN_COLUMNS, line, strict=True)
    )


def add_run_checksums(db: sqlite3.Connection) -> None:
    """Write the checksums of all runs; their rows must have none yet, or be known to be good."""
    names = ", ".join(RUN_COLUMNS)
    for line in db.execute(f"SELECT {names} FROM runs").fetchall():
        _check_types("runs", line[0], _RUN_TYPES, line)
        db.execute("UPDATE runs SET checksums = ? WHERE id = ?", (run_checksums(line), line[0]))


def insert_run(db: sqlite3.Connection, columns: Mapping[str, object]) -> int:
    """Insert a run and return its number; columns that are not given are as for a new run."""
    (last,) = db.execute("SELECT coalesce(max(id), 0) FROM runs").fetchone()
    defaults = {"id": last + 1, "n_eval": 0, "budget": None, "elapsed": 0.0, "owner": None}
    full = defaults | dict(columns)
    line = tuple(full[name] for name in RUN_COLUMNS)
    marks = ",".join("?" * (len(line) + 1))
    db.execute(
        f"INSERT INTO runs ({', '.join(RUN_COLUMNS)}, checksums) VALUES ({marks})",
        (*line, run_checksums(line)),
    )
    return int(line[0])


def update_run(db: sqlite3.Connection, number: int, columns: Mapping[str, object]) -> None:
    """Set columns of a run; its row is checked first, so that damage is never signed as good."""
    names = ", ".join((*RUN_COLUMNS, "checksums"))
    line = db.execute(f"SELECT {names} FROM runs WHERE id = ?", (number,)).fetchone()
    if line is None:
        raise DamagedError("runs", number, "id", "the row is missing")
    _read_run(line)
    full = dict(zip(RUN_COLUMNS, line, strict=False)) | dict(columns)
    assignments = ", ".join(f"{name} = ?" for name in columns)
    db.execute(
        f"UPDATE runs SET {assignments}, checksums = ? WHERE id = ?",
        (*columns.values(), run_checksums([*full.values()]), number),
    )


# ------------------------------------------------------------------------------------ evaluations


def read_row(line: Line, sizes: Mapping[str, int]) -> Row:
    """Return the evaluation in a line of `COLUMNS`; `sizes` has the `n_obj`, ... of its problem."""
    number = line[0]
    _check_types("evaluations", number, _EVALUATION_TYPES, line)
    if number < 1:  # a store numbers rows from 1
        raise DamagedError("evaluations", number, "id", "it is not positive")
    # SQLite itself does not notice that a byte has changed.
    if keys.checksum(line[1:-1]) != line[-1]:
        raise DamagedError("evaluations", number, "checksum", "the content has another checksum")
    id_, run, n, batch, key, x, f, g, h, extra, status, *how, elapsed, _ = line
    if status not in _STATUSES:
        raise DamagedError("evaluations", number, "status", f"{status[:50]!r} is no status")
    outputs: dict[str, Any] = {}
    if status == OK:
        outputs = check_field("evaluations", number, "extra", values.unpack, extra)
        for (name, size), blob in zip(_SIZES, (f, g, h), strict=True):
            if blob is not None:
                outputs[name.upper()] = check_field(
                    "evaluations", number, name, _numbers, name, blob, sizes.get(size)
                )
    return Row(id_, run, n, batch, key, x, elapsed, Outcome(status, outputs, *how))


def _numbers(name: str, blob: bytes, size: int | None) -> Any:
    numbers = np.frombuffer(blob, "<f8").astype(float)
    if size is not None and len(numbers) != size:
        raise ValueError(f"{len(numbers)} numbers, but the problem of the run has {size}")
    # A failure has another status, so the objectives of a success are finite.
    if blob and not np.isfinite(numbers).all() and (name == "f" or np.isnan(numbers).any()):
        raise ValueError("not finite")
    return numbers


def design_of(row: Row, sizes: Mapping[str, int]) -> Any:
    """Return the design of a stored row."""

    def decode(data: bytes) -> Any:
        x = keys.decode(data)
        if isinstance(x, np.ndarray) and x.dtype != object:
            n_var = sizes.get("n_var", len(x))
            if len(x) != n_var:
                raise ValueError(f"{len(x)} values, but the problem of the run has {n_var}")
        elif not isinstance(x, dict | list | np.ndarray):
            raise ValueError(f"a {type(x).__name__} is no design")
        return x

    return check_field("evaluations", row.id, "x", decode, row.x)


def write_row(
    run: int,
    n: int,
    batch: int,
    key: bytes,
    x: bytes,
    outcome: Outcome,
    elapsed: float,
    room: float = math.inf,
    sizes: Mapping[str, int] | None = None,
) -> tuple[tuple[object, ...], dict[str, str]]:
    """Return an evaluation as the columns in `WRITTEN`, and what is left out of it, with reasons.

    A row takes at most `room` bytes. The values of the outcome become those that a reader will get.
    """
    main = {name: outcome.values[name] for name in "FGH" if name in outcome.values}
    blobs = []
    for name, size in _SIZES:
        value = main.get(name.upper())
        numbers = None if value is None else np.asarray(value, "<f8")
        if numbers is not None and numbers.size != (sizes or {}).get(size, numbers.size):
            raise StoreError(
                f"The problem gave {name.upper()} with {numbers.size} values, but says that its "
                f"{size} is {(sizes or {})[size]}. A store could not tell such values from damage."
            )
        blobs.append(None if numbers is None else numbers.tobytes())
    f, g, h = blobs
    error, worker = outcome.error and storable(_cut(outcome.error)), storable(outcome.worker)
    room -= sum(len(v) for v in (key, x, f, g, h, worker) if v) + 4 * len(error or "") + 1000
    rest = {name: v for name, v in outcome.values.items() if name not in main}
    packed = values.pack(rest, room)
    outcome.values = {
        name: main[name] if name in main else packed.values[name]
        for name in outcome.values
        if name in main or name in packed.values
    }
    row = (
        *(run, n, batch, key, x, f, g, h, packed.data),
        *(outcome.status, error, float(outcome.duration), worker),
        *(outcome.attempts, float(elapsed)),
    )
    return (*row, keys.checksum(row)), packed.left_out


def storable(text: str) -> str:
    """Return a text without what SQLite and pandas cannot keep in a column of texts."""
    # Lone surrogates, which file names can bring into a traceback, are escaped. SQLite's own
    # functions would end a text at a zero character.
    return text.encode(errors="backslashreplace").decode().replace("\0", "\\x00")


def _cut(error: str) -> str:
    """Return a traceback without its middle if it is very long: a recursion, a printed array."""
    if len(error) <= _MOST_ERROR:
        return error
    head, tail = error[: _MOST_ERROR // 2], error[-_MOST_ERROR // 2 :]
    return f"{head}\n... {len(error) - _MOST_ERROR:,} characters left out ...\n{tail}"


# ----------------------------------------------------------------------------------------- fields


def check_field(
    table: str, row: object, field: str, read: Callable[..., T], *arguments: object
) -> T:
    """Return what `read` makes of the content of a field; any error of it names the field."""
    try:
        return read(*arguments)
    except Exception as error:  # whatever numpy, JSON or Python say about such content
        details = str(error) if type(error) is ValueError else f"{type(error).__name__}: {error}"
        raise DamagedError(table, row, field, details[:500]) from error


def _check_types(
    table: str, row: object, types: Mapping[str, tuple[type, ...]], line: Sequence[Any]
) -> None:
    for (name, kinds), value in zip(types.items(), line, strict=False):
        kind = type(value)
        if kind not in kinds:
            raise DamagedError(table, row, name, f"a {kind.__name__} is of the wrong type")
        if kind is int and not (name == "id") <= value < MOST_COUNT:
            raise DamagedError(table, row, name, f"{value} is out of range")
        if kind is float and not 0 <= value < MOST_SECONDS:
            raise DamagedError(table, row, name, f"{value} is out of range")
        if kind is str and not value.isascii():
            try:
                value.encode()
            except UnicodeEncodeError:
                raise DamagedError(table, row, name, "no text in UTF-8") from None
