"""Damaged stores: bytes and structure are changed, checksums made right again, types exchanged."""

from __future__ import annotations

import contextlib
import json
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.core.mixed import MixedVariableGA
from pymoo.core.problem import ElementwiseProblem
from pymoo.core.variable import Choice, Integer, Real
from pymoo.operators.survival.rank_and_crowding import RankAndCrowding
from pymoo.optimize import minimize

from moela import EvaluationStore, Evaluator, compare, describe_runs
from moela.evaluation.storage import keys
from moela.evaluation.storage.errors import StoreError
from moela.evaluation.storage.rows import EVALUATION_COLUMNS, RUN_COLUMNS, run_checksums
from tests.benchmarks.survival.loader import Loader

Db = sqlite3.Connection


class Beam(ElementwiseProblem):
    """Gives further values, and fails for some designs."""

    def __init__(self) -> None:
        super().__init__(n_var=3, n_obj=2, n_ieq_constr=1, xl=0.0, xu=1.0)

    def _evaluate(self, x: Any, out: Any, *args: object, **kwargs: object) -> None:
        if x[0] < 0.1:
            raise ArithmeticError("this beam breaks")
        out["F"] = [x[0], 1 - x[0] + x[1]]
        out["G"] = [0.1 - x[2]]
        out["info"] = {"loads": x * 2, "name": "beam", "steps": [1, (2.5, None)]}
        out["heat"] = x * 100


class Gear(ElementwiseProblem):
    """Mixed variables."""

    def __init__(self) -> None:
        variables = {
            "a": Real(bounds=(0.0, 1.0)),
            "n": Integer(bounds=(1, 9)),
            "kind": Choice(options=["spur", "worm"]),
        }
        super().__init__(vars=variables, n_obj=2)

    def _evaluate(self, X: Any, out: Any, *args: object, **kwargs: object) -> None:
        out["F"] = [X["a"] + X["n"], 1 / X["n"] + (X["kind"] == "worm")]


def solve(path: Path, kind: type[ElementwiseProblem] = Beam, n_eval: int = 40) -> Any:
    """Begin or resume a run in a store."""
    algorithm = (
        NSGA2(pop_size=10)
        if kind is Beam
        else MixedVariableGA(pop_size=10, survival=RankAndCrowding())
    )
    with Evaluator(
        store=path, on_error="infeasible", on_mismatch="new", progress=False
    ) as evaluator:
        return minimize(kind(), algorithm, ("n_eval", n_eval), seed=1, evaluator=evaluator)


def make_source(path: Path) -> Path:
    """Write a store with two runs: further values, failures, mixed variables."""
    solve(path)
    solve(path, Gear)
    return path


def _read(path: Path, run: Callable[[EvaluationStore], object]) -> object:
    with EvaluationStore(path) as store:
        return run(store)


def _loader(
    name: str, load: Callable[[Path], object], errors: tuple[type[Exception], ...] = (StoreError,)
) -> Loader:
    return Loader(f"store: {name}", lambda folder: make_source(folder / "run.db"), load, errors)


LOADERS = [
    _loader("runs", lambda path: _read(path, lambda store: store.runs())),
    _loader("evaluations", lambda path: _read(path, lambda store: list(store.evaluations()))),
    _loader("front", lambda path: _read(path, lambda store: store.front(1))),
    _loader("to_frame", lambda path: _read(path, lambda store: store.to_frame())),
    _loader("describe_runs", describe_runs),
    # It takes files of any kind, and says in a ValueError what it cannot compare.
    _loader("compare", compare, (StoreError, ValueError)),
    _loader("resume", lambda path: solve(path, n_eval=60)),
    _loader("resume mixed", lambda path: solve(path, Gear, n_eval=60)),
]


def mutate(source: Path, target: Path, rng: np.random.Generator) -> str:
    """Write a damaged copy of a store; return what was done to it."""
    for suffix in ("-wal", "-shm", "-journal"):
        target.with_name(target.name + suffix).unlink(missing_ok=True)
    shutil.copyfile(source, target)
    if rng.random() < 0.3:
        return _bytes(target, rng)
    done = []
    with contextlib.closing(sqlite3.connect(target, isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode = DELETE")
        for _ in range(int(rng.choice([1, 1, 1, 2, 3]))):
            change = _STRUCTURE[int(rng.integers(len(_STRUCTURE)))]
            # The change before may have made a table an endless view.
            steps = iter(range(_MOST_STEPS))
            db.set_progress_handler(lambda steps=steps: next(steps, None) is None, 1_000_000)
            try:
                done.append(change(db, rng))
            except sqlite3.Error as error:  # of a change that the one before does not allow
                done.append(f"{change.__name__} was not possible ({error})")
        if rng.random() < 0.5:  # as a store that a run has been writing to
            with contextlib.suppress(sqlite3.Error):
                db.execute("PRAGMA journal_mode = WAL")
    return "; ".join(done)


# ------------------------------------------------------------------------------------------ bytes


def _bytes(target: Path, rng: np.random.Generator) -> str:
    data = bytearray(target.read_bytes())
    how = ["flip", "garbage", "zeros", "cut", "repeat", "insert", "header"][int(rng.integers(7))]
    at, n = int(rng.integers(len(data))), int(rng.integers(1, 5000))
    if how == "flip":
        for i in rng.integers(len(data), size=int(rng.integers(1, 20))):
            data[i] ^= 1 << int(rng.integers(8))
    elif how == "garbage":
        data[at : at + n] = rng.bytes(n)
    elif how == "zeros":
        data[at : at + n] = bytes(n)
    elif how == "cut":
        del data[at:]
    elif how == "repeat":
        data[at:at] = data[at : at + n]
    elif how == "insert":
        data[at:at] = rng.bytes(n)
    else:
        data[int(rng.integers(16, 100))] = int(rng.integers(256))
    target.write_bytes(data)
    return f"bytes: {how} at {at}"


# -------------------------------------------------------------------------------------- structure

# Millions of SQLite's instructions in which a table of a mutant is counted and changed.
_MOST_STEPS = 10
_ENDLESS = "WITH RECURSIVE t(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM t) SELECT "


def _view(db: Db, rng: np.random.Generator) -> str:
    """Replace a table by a view, which may be endless."""
    table = ("runs", "evaluations")[int(rng.integers(2))]
    names = [row[1] for row in db.execute(f"PRAGMA table_info({table})")]
    if rng.random() < 0.5:
        db.execute(f"ALTER TABLE {table} RENAME TO hidden")
        db.execute(f"CREATE VIEW {table} AS SELECT * FROM hidden")
        return f"table {table} is a view"
    db.execute(f"DROP TABLE {table}")
    columns = ", ".join(f"i AS {name}" for name in names)
    db.execute(f"CREATE VIEW {table} AS {_ENDLESS} {columns} FROM t")
    return f"table {table} is an endless view"


def _trigger(db: Db, rng: np.random.Generator) -> str:
    db.execute(
        "CREATE TRIGGER t AFTER INSERT ON evaluations BEGIN "
        "UPDATE evaluations SET status = 'error' WHERE id = new.id; END"
    )
    return "a trigger"


def _table(db: Db, rng: np.random.Generator) -> str:
    """Make a table of another kind: generated columns, virtual, without a key, fewer columns."""
    how = int(rng.integers(4))
    if how == 0:
        db.execute("ALTER TABLE runs ADD COLUMN more TEXT AS (hex(zeroblob(100000000))) VIRTUAL")
        return "a generated column"
    if how == 1:
        db.execute("DROP TABLE runs")
        db.execute(f"CREATE VIRTUAL TABLE runs USING fts5({', '.join(RUN_COLUMNS[1:])})")
        return "a virtual table"
    table, names = ("runs", RUN_COLUMNS) if how == 2 else ("evaluations", EVALUATION_COLUMNS)
    if rng.random() < 0.5:
        name = names[int(rng.integers(1, len(names)))]
        db.execute(f"ALTER TABLE {table} RENAME COLUMN {name} TO other")
        return f"column {name} of {table} has another name"
    db.execute(f"DROP TABLE {table}")
    return f"no table {table}"


def _schema(db: Db, rng: np.random.Generator) -> str:
    """Edit sqlite_master itself."""
    db.execute("PRAGMA writable_schema = ON")
    rows = db.execute("SELECT rowid, name FROM sqlite_master").fetchall()
    row, name = rows[int(rng.integers(len(rows)))]
    column = ("type", "name", "tbl_name", "rootpage", "sql")[int(rng.integers(5))]
    value = _odd(rng)
    if column == "rootpage" and rng.random() < 0.7:
        value = int(rng.integers(0, 20))
    db.execute(f"UPDATE sqlite_master SET {column} = ? WHERE rowid = ?", (value, row))
    return f"sqlite_master: {column} of {name} = {_brief(value)}"


def _index(db: Db, rng: np.random.Generator) -> str:
    """Have an index that does not agree with its table."""
    db.execute("PRAGMA writable_schema = ON")
    name = ("evaluations_key", "evaluations_run")[int(rng.integers(2))]
    if rng.random() < 0.3:
        db.execute(f"DROP INDEX {name}")
        return f"no index {name}"
    db.execute("UPDATE sqlite_master SET type = 'x' WHERE name = ?", (name,))
    return f"index {name} is no index"


def _header(db: Db, rng: np.random.Generator) -> str:
    pragma = ("user_version", "application_id")[int(rng.integers(2))]
    value = int(rng.integers(-(2**31), 2**31)) if rng.random() < 0.5 else int(rng.integers(5))
    db.execute(f"PRAGMA {pragma} = {value}")
    return f"{pragma} = {value}"


def _more(db: Db, rng: np.random.Generator) -> str:
    db.execute("CREATE TABLE more (a CHECK (length(hex(zeroblob(100000000))) > 0))")
    db.execute("PRAGMA ignore_check_constraints = ON")
    db.executemany("INSERT INTO more VALUES (?)", [(i,) for i in range(50)])
    db.execute(f"CREATE VIEW endless AS {_ENDLESS} i FROM t")
    return "a table and a view of others"


def _rows(db: Db, rng: np.random.Generator) -> str:
    """Delete rows, or repeat them."""
    table = ("runs", "evaluations")[int(rng.integers(2))]
    (n,) = db.execute(f"SELECT count(*) FROM {table}").fetchone()
    row = int(rng.integers(1, max(n, 1) + 1))
    if rng.random() < 0.5:
        db.execute(f"DELETE FROM {table} WHERE id = ?", (row,))
        return f"row {row} of {table} is missing"
    names = (*(RUN_COLUMNS if table == "runs" else EVALUATION_COLUMNS),)[1:]
    rest = ", ".join((*names, "checksums") if table == "runs" else names)
    number = int(rng.choice([n + 1, 2**62, 2**63 - 1, -5]))
    db.execute(f"INSERT INTO {table} (id, {rest}) SELECT ?, {rest} FROM {table} LIMIT 1", (number,))
    if rng.random() < 0.5:
        _sign(db, table, number)
    return f"a row {number} of {table} too many"


def _field(db: Db, rng: np.random.Generator) -> str:
    """Give a field another content; the checksum is made right in most cases."""
    table = ("runs", "evaluations")[int(rng.integers(2))]
    names = RUN_COLUMNS if table == "runs" else EVALUATION_COLUMNS[:-1]
    (n,) = db.execute(f"SELECT count(*) FROM {table}").fetchone()
    row = int(rng.integers(1, max(n, 1) + 1))
    name = str(rng.choice(names))
    (old,) = db.execute(f"SELECT {name} FROM {table} WHERE id = ?", (row,)).fetchone() or (None,)
    value = _changed(old, rng) if rng.random() < 0.7 else _odd(rng)
    db.execute(f"UPDATE {table} SET {name} = ? WHERE id = ?", (value, row))
    signed = rng.random() < 0.85
    if signed:
        _sign(db, table, row)
    return f"{name} of row {row} of {table} = {_brief(value)}, {'' if signed else 'not '}signed"


def _text_as_bytes(db: Db, rng: np.random.Generator) -> str:
    """Put bytes that are no text into a column of texts."""
    table, name = (("runs", "owner"), ("evaluations", "error"))[int(rng.integers(2))]
    db.execute(f"UPDATE {table} SET {name} = CAST(x'ff00fe' AS TEXT) WHERE id = 1")
    return f"{name} of {table} is no text"


_STRUCTURE: list[Callable[[Db, np.random.Generator], str]] = [
    *(_view, _trigger, _table, _schema, _index, _header, _more, _rows, _text_as_bytes),
    *([_field] * 14),
]


def _sign(db: Db, table: str, row: int) -> None:
    """Make the checksums of a row right."""
    if table == "runs":
        line = db.execute(
            f"SELECT {', '.join(RUN_COLUMNS)} FROM runs WHERE id = ?", (row,)
        ).fetchone()
        if line:
            db.execute("UPDATE runs SET checksums = ? WHERE id = ?", (run_checksums(line), row))
        return
    names = ", ".join(EVALUATION_COLUMNS[1:-1])
    line = db.execute(f"SELECT {names} FROM evaluations WHERE id = ?", (row,)).fetchone()
    if line:
        checksum = keys.checksum(line)
        db.execute("UPDATE evaluations SET checksum = ? WHERE id = ?", (checksum, row))


# ----------------------------------------------------------------------------------------- values

_DEEP = "[" * 100_000 + "]" * 100_000


def _odd(rng: np.random.Generator) -> Any:
    """Return a value of any type."""
    values: list[Any] = [
        *(None, "", "x", "\0", "²", "NaN", "1e999", "-1", "9" * 5000, _DEEP),
        *(0, -1, 1, 2**31, 2**62, 2**63 - 1, -(2**63)),
        *(0.5, -1.0, float("inf"), float("-inf"), 1e308, 5e-324),
        *(b"", b"\0", b"x" * 1000, bytes(7), bytes(8), bytes(16), rng.bytes(50)),
        *(b"<f8\0" + bytes(24), b"|O\0" + bytes(16), b"<f8", b"<U5\0" + b"\xff" * 20),
        *(_DEEP.encode(), b"{}", b"[]\0", b"null\0", b"[[]]\0", b'{"f": "x"}'),
        json.dumps([["a", "<f8", [2**40, 2**40]]]).encode() + b"\0",
        json.dumps([["a", "|O", [1]]]).encode() + b"\0" + bytes(8),
        json.dumps([["a", "<f8", [-1]]]).encode() + b"\0" + bytes(8),
        json.dumps([["a", {"a": [[["x", "|O"]], [1]]}]]).encode() + b"\0" + bytes(8),
        json.dumps([["a", {"a": ["<U1", [2]]}]]).encode() + b"\0" + b"\xff" * 8,
        json.dumps([["a", {"m": [[{"a": ["<f8", [1]]}, 1]]}]]).encode() + b"\0" + bytes(8),
        json.dumps([["a", {"o": [[2**40], []]}]]).encode() + b"\0",
        json.dumps([["a", {"i": "f" * 10000}]]).encode() + b"\0",
        json.dumps({"class": 5}),
        json.dumps({"class": "problems.NoC3D", "settings": []}),
        json.dumps({"class": "moela.MOELA", "settings": {"models": {"a": {}}}, "n_var": -1}),
        json.dumps({"class": "x", "n_var": 10**30}),
        json.dumps({"numpy": 5}),
        json.dumps([1, 2]),
        '{"class": "a", "class": "b"}',
        '{"a": NaN}',
    ]
    return values[int(rng.integers(len(values)))]


def _changed(old: Any, rng: np.random.Generator) -> Any:
    """Return a value like another one, changed a little."""
    if isinstance(old, int):
        return int(old + rng.choice([-1, 1, 2, 10, 10**6, -(10**6)]))
    if isinstance(old, float):
        return old * float(rng.choice([-1.0, 0.0, 1e300, 2.0])) + float(rng.normal())
    if isinstance(old, bytes):
        data = bytearray(old)
        how = int(rng.integers(5))
        if not data or how == 0:
            return bytes(data[: int(rng.integers(len(data) + 1))])
        if how == 1:
            return bytes(data) * 2
        if how == 2:
            return bytes(data) + rng.bytes(int(rng.integers(1, 20)))
        for i in rng.integers(len(data), size=int(rng.integers(1, 4))):
            data[i] = int(rng.integers(256))
        return bytes(data)
    if isinstance(old, str):
        text = list(old)
        how = int(rng.integers(4))
        if not text or how == 0:
            return "".join(text[: int(rng.integers(len(text) + 1))])
        if how == 1:
            return _json(old, rng)
        for i in rng.integers(len(text), size=int(rng.integers(1, 4))):
            text[i] = str(rng.choice(list('0a"{}[],:\\ é\0²')))
        return "".join(text)
    return _odd(rng)


def _json(text: str, rng: np.random.Generator) -> str:
    """Change one value somewhere in a JSON text."""
    try:
        tree = json.loads(text)
    except ValueError:
        return text + " "
    where: list[tuple[Any, Any]] = []

    def walk(value: Any) -> None:
        pairs = value.items() if isinstance(value, dict) else enumerate(value)
        for key, inner in list(pairs):
            where.append((value, key))
            if isinstance(inner, dict | list):
                walk(inner)

    if isinstance(tree, dict | list):
        walk(tree)
    if not where:
        return "[]"
    container, key = where[int(rng.integers(len(where)))]
    if isinstance(container, dict) and rng.random() < 0.3:
        del container[key]
    else:
        container[key] = [None, -1, 10**40, 1.5, "x", [], {}, [[]], {"class": 1}, True, 1e308][
            int(rng.integers(11))
        ]
    return json.dumps(tree)


def _brief(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}..."
