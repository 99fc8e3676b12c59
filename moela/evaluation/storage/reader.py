"""EvaluationStore: reading the runs in a store file."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pymoo.core.individual import Individual
from pymoo.core.population import Population

from moela._arrays import Design, Floats
from moela.evaluation.runners.outcome import OK
from moela.evaluation.storage import keys, rows
from moela.evaluation.storage.errors import DamagedError, StoreError
from moela.evaluation.storage.schema import COLUMNS, RunRow, settings_of
from moela.evaluation.storage.sqlite import (
    SQLITE_ERRORS,
    check_contents,
    check_file,
    connect,
    explained,
    has_log_of_another,
    index_of,
    log_of,
    owner_alive,
    within,
)
from moela.heartbeat.working import long_work
from moela.notebook import html
from moela.provenance import renames
from moela.provenance.signature import Json, Signature, shown_name
from moela.quality.table import Row, Table
from moela.quality.words import duration, harmless

if TYPE_CHECKING:
    from pandas import DataFrame

_COUNTS = (
    "SELECT run, count(*), sum(status != 'ok'), max(n), max(elapsed) "
    "FROM evaluations NOT INDEXED GROUP BY run"
)


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


class EvaluationStore:
    """Read a store that :class:`moela.Evaluator` writes, also while it is being written.

    Parameters
    ----------
    path : str or Path
        The file. It is never changed.

    Raises
    ------
    StoreError
        The file does not exist, is damaged, is no store, or is of another version.
    ValueError
        A method is asked for a run that the store does not hold.

    Examples
    --------
    >>> from moela import EvaluationStore
    >>> with EvaluationStore("run.db") as store:  # doctest: +SKIP
    ...     warm = store.front()
    ...     minimize(problem, NSGA2(sampling=warm), ("n_eval", 1000), seed=2)
    """

    def __init__(self, path: str | os.PathLike[str]):
        self.path = Path(path).expanduser().absolute()
        if not self.path.exists():
            raise StoreError(f"There is no store {self.path}.")
        check_file(self.path)
        if has_log_of_another(self.path):
            log = log_of(self.path).name
            raise StoreError(
                f"The log {log} beside the store {self.path} is of another file that had this "
                f"name. Move {log} and {index_of(self.path).name} away."
            )
        with self._translated():
            self._file = os.stat(self.path)
            self._db = self._connect()
            self._closed = weakref.finalize(self, self._db.close)
            try:
                # Rows are read from the tables alone, so what the indices say does not matter.
                check_contents(self._db, self.path, indices=False)
            except BaseException:
                self._closed()
                raise

    def _connect(self) -> sqlite3.Connection:
        options = "mode=ro"
        # A reader needs the log beside the file. In a read-only folder it can neither open nor make
        # one; if there is none, nobody is writing and the reader can do without.
        if not os.access(self.path.parent, os.W_OK) and not log_of(self.path).exists():
            options += "&immutable=1"
        return connect(self.path, options)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Turn errors of SQLite, and damaged content, into a StoreError; as `Journal` does."""
        try:
            yield
        except (DamagedError, OSError, *SQLITE_ERRORS) as error:
            self._check_same_file()
            if "readonly" in str(error):  # and a reader must not roll it back
                raise StoreError(
                    f"The SQLite file {self.path} holds an unfinished transaction of a process "
                    "that was killed. The next run that writes to it repairs it: make the same "
                    "call again."
                ) from error
            raise StoreError(explained(self.path, error)) from error

    def _check_same_file(self) -> None:
        """Raise StoreError if the file that is open is not at its path any more."""
        try:
            now = os.stat(self.path)
        except OSError as error:
            raise StoreError(
                f"The store {self.path} was deleted, renamed or unmounted since it was opened "
                f"({error.strerror}). Open it again where it is now."
            ) from error
        old = self._file
        if (now.st_dev, now.st_ino) != (old.st_dev, old.st_ino) or now.st_size < old.st_size:
            raise StoreError(
                f"The store {self.path} was replaced by another file, or cut, since it was opened. "
                "Open it again."
            )

    def close(self) -> None:
        """Close the file."""
        with suppress(sqlite3.Error):
            self._closed()

    def __enter__(self) -> EvaluationStore:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __repr__(self) -> str:
        try:
            n = len(self.runs())
        except (StoreError, sqlite3.Error):
            return f"EvaluationStore({str(self.path)!r}), closed or damaged"
        return f"EvaluationStore({str(self.path)!r}), {n} run{'s' * (n != 1)}"

    def _repr_html_(self) -> str:
        try:
            runs = self.runs()._repr_html_()
        except (StoreError, sqlite3.Error):
            runs = ""
        return html.paragraph(repr(self)) + runs

    def runs(self) -> StoredRuns:
        """Return the runs, oldest first; an empty list if the first one is about to begin."""
        if self._is_empty():
            return StoredRuns()
        with self._translated(), within(self._db, self.path):
            counts = {run: _counts(run, *numbers) for run, *numbers in self._db.execute(_COUNTS)}
            found = rows.read_runs(self._db)
            if unknown := sorted(counts.keys() - {row.id for row in found}):
                raise DamagedError("runs", unknown[0], "id", "the row is missing")
            return StoredRuns(_run(row, *counts.get(row.id, (0, 0, -1, 0.0))) for row in found)

    def evaluations(self, run: int | None = None, *, after: int = 0) -> Iterator[StoredEvaluation]:
        """Yield the evaluations of a run, or of all runs, in the order in which they ended.

        Only those whose id is larger than `after` are read, so that a growing store can be
        followed.
        """
        sizes = {}
        if not self._is_empty():
            with self._translated():
                sizes = {row.id: rows.sizes_of(row) for row in rows.read_runs(self._db)}
        if run is not None and run not in sizes:
            raise ValueError(
                f"The 'run' parameter must be one of the runs {list(sizes)} of {self.path}. Got "
                f"{run!r} instead."
            )
        # A store numbers rows from 1. One below was altered, and must not be skipped.
        first = after if after > 0 else -(2**63)
        where, values = ("", (first,)) if run is None else ("AND run = ?", (first, run))
        query = f"SELECT {COLUMNS} FROM evaluations NOT INDEXED WHERE id > ? {where} ORDER BY id"
        if self._is_empty():
            return
        with self._translated():
            for line in self._db.execute(query, values):
                if line[1] not in sizes:
                    raise DamagedError("evaluations", line[0], "run", f"no run {line[1]!r}")
                row = rows.read_row(line, sizes[line[1]])
                o, extra = row.outcome, dict(row.outcome.values)
                X = rows.design_of(row, sizes[row.run])
                F, G, H = (extra.pop(name, None) for name in "FGH")
                how = (o.status, o.error, o.duration, o.worker, o.attempts, row.elapsed)
                yield StoredEvaluation(row.id, row.run, row.n, row.batch, X, F, G, H, extra, *how)

    @long_work("reading a store")
    def population(self, run: int | None = None) -> Population:
        """Return the successful evaluations as evaluated individuals, each design once.

        Without a `run`, those of all runs, which must then have the same number of objectives.
        """
        individuals: dict[bytes, Individual] = {}
        sizes = set()
        for e in self.evaluations(run):
            if e.status == OK and e.F is not None:
                sizes.add(len(e.F))
                individuals.setdefault(keys.encode(e.X), _individual(e))
        if len(sizes) > 1:
            raise ValueError(
                f"The 'run' parameter of population must name one run of {self.path}, since its "
                f"runs have different numbers of objectives: {sorted(sizes)}."
            )
        return Population(list(individuals.values()))

    def front(self, run: int | None = None) -> Population:
        """Return the feasible non-dominated designs as evaluated individuals.

        Passed to an algorithm as ``sampling``, they start a new run from the results of the old.
        """
        pop = self.population(run)
        if len(pop):
            pop = pop[[bool(ind.FEAS[0]) for ind in pop]]
        if len(pop):
            from moocore import is_nondominated

            pop = pop[is_nondominated(pop.get("F"), keep_weakly=True)]
        return pop

    @long_work("reading a store")
    def to_frame(self, run: int | None = None) -> DataFrame:
        """Return the evaluations as a pandas DataFrame.

        Columns: run, n, batch, one per variable (``x0``, ... or their names), ``f0``, ...,
        ``g0``, ..., ``h0``, ..., everything else that the problem gave, status, error,
        duration [s], worker, attempts, elapsed [s].
        """
        try:
            import pandas
        except ImportError as error:
            raise ImportError("to_frame needs pandas: pip install 'moela[report]'.") from error
        return pandas.DataFrame([_flat(e) for e in self.evaluations(run)])

    @long_work("reading a store")
    def to_optuna(self, path: str | os.PathLike[str]) -> Path:
        """Write each run as a study of Optuna, which ``optuna-dashboard PATH`` opens.

        Parameters
        ----------
        path : str or Path
            The journal file of Optuna to make, such as ``"run.log"``.

        Returns
        -------
        Path
            The file. Runs of plain functions have the names, options and directions of the call;
            an order of items becomes that of their positions. Failed evaluations are failed trials
            with their status and error; constraints are where Optuna's samplers look for them,
            equality constraints by absolute value.

        Raises
        ------
        ImportError
            optuna isn't installed.
        FileExistsError
            The file exists.
        """
        from moela.plugins.optuna_export import write_studies

        return write_studies(self, path)

    def _is_empty(self) -> bool:
        self._check_same_file()
        with self._translated():
            return not self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]


def _counts(
    run: object, n: object, n_failed: object, last: object, elapsed: object
) -> tuple[int, int, int, float]:
    """Return the numbers of the evaluations of a run, after a check of their types."""
    if type(run) is not int:
        raise DamagedError("evaluations", "with the largest run", "run", f"{run!r} is no number")
    where = f"of run {run}"
    if type(last) is not int or not 0 <= last < rows.MOST_COUNT:
        raise DamagedError("evaluations", where, "n", f"{str(last)[:50]} is out of range")
    if type(elapsed) is not float or not 0 <= elapsed < rows.MOST_SECONDS:
        raise DamagedError("evaluations", where, "elapsed", f"{str(elapsed)[:50]} is out of range")
    assert isinstance(n, int)
    return n, n_failed if isinstance(n_failed, int) else 0, last, elapsed


def _run(row: RunRow, n_fresh: int, n_failed: int, last: int, elapsed: float) -> StoredRun:
    # The row of the run is updated only about once a second; its evaluations may be newer.
    n_eval = max(row.n_eval, last + 1)
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
        return renames.modern(json.loads(getattr(row, name)))

    return rows.check_field("runs", row.id, name, read)


def _individual(e: StoredEvaluation) -> Individual:
    individual = Individual(X=e.X)
    values = {"F": e.F, "G": e.G, "H": e.H} | e.extra
    for name, value in values.items():
        if value is not None:
            individual.set(name, np.array(value) if isinstance(value, np.ndarray) else value)
    individual.data["status"] = OK
    individual.evaluated.update(("F", "G", "H", *e.extra))
    return individual


def _flat(e: StoredEvaluation) -> dict[str, object]:
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
