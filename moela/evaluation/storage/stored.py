"""Runs and evaluations as a store holds them, and what they become outside."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from pymoo.core.individual import Individual

from moela._arrays import Design, Floats
from moela.evaluation.runners.outcome import OK
from moela.evaluation.storage import rows
from moela.evaluation.storage.schema import RunRow, settings_of
from moela.evaluation.storage.sqlite import owner_alive
from moela.provenance.signature import Json, Signature, shown_name
from moela.quality.table import Row, Table
from moela.quality.words import duration, harmless

__all__ = [
    "StoredEvaluation",
    "StoredRun",
    "StoredRuns",
    "individual_of",
    "line_of",
    "stored_run",
]


@dataclass(frozen=True, slots=True)
class StoredRun:
    """A run in a store, with signatures and settings as they are compared on resume.

    Its ``state`` is ``"done"`` (its budget is spent), ``"running"`` (a process of this host has
    it), ``"stopped"`` (before its budget was spent) or ``"ended"`` (it has no budget, so nothing
    says whether it was complete).
    """

    id: int
    created: str  # UTC, ISO 8601
    updated: str  # the end of a batch, at most about a second or one batch ago
    problem: Signature
    algorithm: Signature
    settings: dict[str, Json]
    versions: dict[str, str]
    seed: int | None  # None also if it was not a number
    seed_drawn: bool  # because none was given
    n_eval: int  # designs answered so far
    budget: int | None  # evaluations at which the run ends, if its termination says so
    n_fresh: int  # evaluations recorded
    n_failed: int  # of these
    elapsed: float  # seconds spent running
    state: str

    def __repr__(self) -> str:
        row = self.row()
        return harmless(
            f"<run {self.id}: {row['algorithm']} on {row['problem']}, seed {row['seed']}, "
            f"{self.state}, {row['evaluations']} evaluations, {self.n_failed} failed>"
        )

    def row(self) -> Row:
        """Return the run as a row of a table."""
        seed = "-" if self.seed is None else f"{self.seed}" + " (drawn)" * self.seed_drawn
        return {
            "run": self.id,
            "problem": shown_name(self.problem),
            "algorithm": shown_name(self.algorithm),
            "seed": seed,
            "state": self.state,
            "evaluations": f"{self.n_eval:,}" + (f" of {self.budget:,}" if self.budget else ""),
            "failed": self.n_failed,
            "running time": duration(self.elapsed),
            "last batch (UTC)": self.updated[:19].replace("T", " "),
        }


class StoredRuns(list[StoredRun]):
    """A list of runs that shows itself as a table."""

    def __repr__(self) -> str:
        return repr(Table([run.row() for run in self])) if self else "[]"

    def _repr_html_(self) -> str:
        return Table([run.row() for run in self])._repr_html_()


@dataclass(frozen=True, slots=True)
class StoredEvaluation:
    """A recorded evaluation."""

    id: int  # ascending in the order in which evaluations were recorded
    run: int
    n: int  # position among the answers of the run, starting at 0
    batch: int  # position of the evaluator's call, starting at 0
    X: Design
    F: Floats | None  # [n_obj], None for a failure
    G: Floats | None  # [n_ieq_constr]
    H: Floats | None  # [n_eq_constr]
    extra: dict[str, Any]  # everything else that the problem put into ``out``
    status: str  # "ok" or how it failed
    error: str | None  # the traceback of the worker
    duration: float  # seconds
    worker: str  # host and process
    attempts: int
    elapsed: float  # seconds that the run had been running when it ended


def n_counted(n_rows: int, newest: int) -> int:
    """Return how many evaluations a run has made for certain, from its rows and newest position.

    Among the positions may be answers that count as no evaluations. A position has several rows if
    its evaluation was tried again.
    """
    return min(newest + 1, n_rows)


def stored_run(row: RunRow, n_fresh: int, n_failed: int, last: int, elapsed: float) -> StoredRun:
    """Return a run from its row and the numbers of its evaluations."""
    # The row of the run is updated only about once a second; its evaluations may be newer.
    n_eval = max(row.n_eval, n_counted(n_fresh, last))
    if row.budget is not None and n_eval >= row.budget:
        state = "done"
    elif owner_alive(row.owner, others_only=False):
        state = "running"
    else:
        state = "ended" if row.budget is None else "stopped"
    return StoredRun(
        id=row.id,
        created=row.created,
        updated=row.updated,
        problem=_signature(row, "problem"),
        algorithm=_signature(row, "algorithm"),
        settings=settings_of(row),
        versions=json.loads(row.versions),
        seed=_number(row.seed),
        seed_drawn=row.seed_drawn,
        n_eval=n_eval,
        budget=row.budget,
        n_fresh=n_fresh,
        n_failed=n_failed,
        elapsed=max(row.elapsed, elapsed),
        state=state,
    )


def _number(seed: str | None) -> int | None:
    return int(seed) if seed is not None and re.fullmatch(r"[0-9]{1,4000}", seed) else None


def _signature(row: RunRow, name: str) -> Signature:
    def read() -> Signature:
        found: Signature = json.loads(getattr(row, name))
        return found

    return rows.check_field("runs", row.id, name, read)


def individual_of(e: StoredEvaluation) -> Individual:
    """Return an evaluation that has not failed as an individual."""
    individual = Individual(X=e.X)
    values = {"F": e.F, "G": e.G, "H": e.H} | e.extra
    for name, value in values.items():
        if value is not None:
            individual.set(name, np.array(value) if isinstance(value, np.ndarray) else value)
    individual.data["status"] = OK
    individual.evaluated.update(("F", "G", "H", *e.extra))
    return individual


def line_of(e: StoredEvaluation) -> dict[str, object]:
    """Return an evaluation as a line of a table, each variable and value in its own column."""
    line: dict[str, object] = {"run": e.run, "n": e.n, "batch": e.batch}
    line |= e.X if isinstance(e.X, dict) else {f"x{i}": v for i, v in enumerate(e.X)}
    for name, value in (("f", e.F), ("g", e.G), ("h", e.H)):
        line |= {f"{name}{i}": v for i, v in enumerate(() if value is None else value)}
    for name, value in e.extra.items():
        value = value.item() if isinstance(value, np.generic) else value
        # Half characters have no place in the columns of pandas.
        line[name] = rows.storable(value) if isinstance(value, str) else value
    for name in ("status", "error", "duration", "worker", "attempts", "elapsed"):
        line[name] = getattr(e, name)
    return line
