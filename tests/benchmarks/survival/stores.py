"""Stores as files that others may have damaged: bits, bytes, tables, and fields with checksums."""

from __future__ import annotations

import contextlib
import logging
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.core.population import Population
from pymoo.core.problem import ElementwiseProblem
from pymoo.optimize import minimize

from moela import EvaluationStore, Evaluator
from moela.evaluation.storage import keys
from moela.evaluation.storage.errors import StoreError
from moela.evaluation.storage.rows import EVALUATION_COLUMNS, RUN_COLUMNS, run_checksums
from tests.benchmarks.survival import Bar, Options, damage

N_BITS = 500
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


def solve(path: Path, n_eval: int = 60) -> Any:
    """Begin or resume a run in a store."""
    with Evaluator(
        store=path, on_error="infeasible", on_mismatch="new", progress=False
    ) as evaluator:
        return minimize(Beam(), NSGA2(pop_size=10), ("n_eval", n_eval), seed=1, evaluator=evaluator)


def write(folder: Path) -> Path:
    """Write a store with a run that has further values and failures."""
    solve(path := folder / "run.db", 40)
    return path


def read_all(path: Path) -> list[tuple[Any, ...]]:
    """Return what a store answers to whoever reads all of it."""
    with EvaluationStore(path) as store:
        runs = [run.n_eval for run in store.runs()]
        found = [
            (e.n, e.status, e.X.tobytes(), _bytes(e.F), _bytes(e.G)) for e in store.evaluations()
        ]
        assert len(store.to_frame()) == len(found)
        for number in range(1, len(runs) + 1):
            store.front(number)
    return [*runs, *found]


def _bytes(values: Any) -> bytes | None:
    return None if values is None else values.tobytes()


# ------------------------------------------------------------------------------------------- bits


def bars(options: Options) -> Iterator[Bar]:
    """Flip bits of a store, one at a time: what is read or reused is what was stored."""
    n, rng = options.share(N_BITS, at_least=20), np.random.default_rng(options.seed)
    reported = answered = 0
    logging.getLogger("moela.evaluator").setLevel(logging.CRITICAL)  # some designs fail
    with tempfile.TemporaryDirectory() as folder:
        path = write(Path(folder))
        content, whole = path.read_bytes(), read_all(path)
        X = np.array([np.frombuffer(row[2]) for row in whole[1:]])
        for bit in rng.integers(8 * len(content), size=n).tolist():
            flipped = bytearray(content)
            flipped[bit // 8] ^= 1 << bit % 8
            for use in (lambda path: read_all(path) != whole, lambda path: _reuses(path, X)):
                with tempfile.TemporaryDirectory(dir=folder) as place:
                    (copy := Path(place) / "run.db").write_bytes(flipped)
                    try:
                        answered += use(copy)
                    except StoreError:
                        reported += 1
    value = f"{answered} answered of {2 * n} readings, {reported} refused"
    yield Bar(f"flips of {n} random bits of a store", value, "0 answered", not answered)


def _reuses(path: Path, X: np.ndarray) -> bool:
    """Return whether a run that finds these designs in a store is given another result."""
    given = []
    for store in (path, None):
        with Evaluator(
            store=store, on_error="infeasible", on_mismatch="new", progress=False
        ) as evaluator:
            pop = evaluator.eval(Beam(), Population.new(X=X.copy()))
            given.append(pop.get("F").tobytes() + pop.get("G").tobytes())
    return given[0] != given[1]


# -------------------------------------------------------------------------------------- structure


def mutate(source: Path, target: Path, rng: damage.Rng) -> str:
    """Write a damaged copy of a store; return what was done to it."""
    for suffix in ("-wal", "-shm", "-journal"):
        target.with_name(target.name + suffix).unlink(missing_ok=True)
    if rng.random() < 0.4:
        changed, what = damage.byte_damage(source.read_bytes(), rng)
        target.write_bytes(changed)
        return what
    shutil.copyfile(source, target)
    with contextlib.closing(sqlite3.connect(target, isolation_level=None)) as db:
        try:
            return damage.pick(rng, (_statement, _rows, *[_field] * 6))(db, rng)
        except sqlite3.Error as error:
            return f"nothing: {error}"


def _statement(db: Db, rng: damage.Rng) -> str:
    """Change a table, or what the file says of itself."""
    table = damage.pick(rng, ("runs", "evaluations"))
    statement = damage.pick(rng, (
        f"DROP TABLE {table}",
        f"ALTER TABLE {table} RENAME COLUMN id TO number",
        f"ALTER TABLE {table} RENAME TO hidden; CREATE VIEW {table} AS SELECT * FROM hidden",
        f"ALTER TABLE {table} ADD COLUMN more TEXT AS (hex(zeroblob(100000000))) VIRTUAL",
        f"CREATE TRIGGER t AFTER INSERT ON {table} BEGIN DELETE FROM {table}; END",
        f"PRAGMA writable_schema = 1; UPDATE sqlite_master SET rootpage = 3 WHERE name = '{table}'",
        "DROP INDEX evaluations_key",
        "PRAGMA user_version = 4711",
        "PRAGMA application_id = 4711",
    ))  # fmt: skip
    db.executescript(statement)
    return statement


def _rows(db: Db, rng: damage.Rng) -> str:
    """Delete a row, or give it a number that no store has."""
    table, row = _place(db, rng)
    number = damage.pick(rng, (None, 2**62, 2**63 - 1, -5))
    if number is None:
        db.execute(f"DELETE FROM {table} WHERE id = ?", (row,))
    else:
        db.execute(f"UPDATE {table} SET id = ? WHERE id = ?", (number, row))
        _sign(db, table, number)
    return f"row {row} of {table} is {number}"


def _field(db: Db, rng: damage.Rng) -> str:
    """Give a field another content; the checksum is made right in most cases."""
    table, row = _place(db, rng)
    name = damage.pick(rng, RUN_COLUMNS if table == "runs" else EVALUATION_COLUMNS[:-1])
    (old,) = db.execute(f"SELECT {name} FROM {table} WHERE id = ?", (row,)).fetchone()
    value = _changed(old, rng) if rng.random() < 0.7 else damage.pick(rng, ODD)
    db.execute(f"UPDATE {table} SET {name} = ? WHERE id = ?", (value, row))
    if signed := rng.random() < 0.85:
        _sign(db, table, row)
    return f"{name} of row {row} of {table} = {str(value)[:60]}, {'' if signed else 'not '}signed"


def _place(db: Db, rng: damage.Rng) -> tuple[str, int]:
    table = damage.pick(rng, ("runs", "evaluations"))
    return table, damage.pick(rng, db.execute(f"SELECT id FROM {table}").fetchall())[0]


def _sign(db: Db, table: str, row: int) -> None:
    """Make the checksums of a row right."""
    names = RUN_COLUMNS if table == "runs" else EVALUATION_COLUMNS[1:-1]
    line = db.execute(f"SELECT {', '.join(names)} FROM {table} WHERE id = ?", (row,)).fetchone()
    if line and table == "runs":
        db.execute("UPDATE runs SET checksums = ? WHERE id = ?", (run_checksums(line), row))
    elif line:
        db.execute("UPDATE evaluations SET checksum = ? WHERE id = ?", (keys.checksum(line), row))


def _changed(old: Any, rng: damage.Rng) -> Any:
    """Return a value like another one, changed a little."""
    if isinstance(old, int):
        return old + damage.pick(rng, (-1, 1, 10, 10**6))
    if isinstance(old, float):
        return old * damage.pick(rng, (-1.0, 0.0, 2.0, 1e300))
    if isinstance(old, bytes):
        return damage.byte_damage(old, rng)[0]
    if isinstance(old, str):
        change = damage.json_damage if old.startswith("{") else damage.byte_damage
        return change(old.encode(), rng)[0].decode(errors="replace")
    return damage.pick(rng, ODD)


DEEP = "[" * 100_000 + "]" * 100_000
ODD: list[Any] = [
    *(None, "", "x", "\0", "NaN", "1e999", "9" * 5000, DEEP, "[1, 2]", '{"a": NaN}', 0, -1, 2**62),
    *(2**63 - 1, 0.5, float("inf"), 5e-324, b"", b"\0", bytes(8), b"<f8\0" + bytes(24), b"<f8"),
    *(b"|O\0" + bytes(16), b"<U5\0" + b"\xff" * 20, DEEP.encode(), b"{}", b"[[]]\0"),
    *(b'[["a", "<f8", [1099511627776, 1099511627776]]]\0', b'[["a", "|O", [1]]]\0' + bytes(8)),
    *(b'[["a", "<f8", [-1]]]\0' + bytes(8), b'[["a", {"o": [[1099511627776], []]}]]\0'),
    *('{"class": "problems.NoC3D", "settings": []}', '{"class": "a", "class": "b"}'),
]
