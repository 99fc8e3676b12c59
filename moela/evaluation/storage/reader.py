"""EvaluationStore: reading the runs in a store file."""

from __future__ import annotations

import os
import sqlite3
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from pymoo.core.individual import Individual
from pymoo.core.population import Population

from moela.evaluation.runners.outcome import OK
from moela.evaluation.storage import keys, rows
from moela.evaluation.storage.errors import DamagedError, StoreError
from moela.evaluation.storage.schema import COLUMNS
from moela.evaluation.storage.sqlite import (
    SQLITE_ERRORS,
    check_contents,
    check_file,
    close_reader,
    connect,
    explained,
    has_log_of_another,
    index_of,
    log_of,
    within,
)
from moela.evaluation.storage.stored import (
    StoredEvaluation,
    StoredRun,
    StoredRuns,
    individual_of,
    line_of,
    stored_run,
)
from moela.heartbeat.working import long_work
from moela.notebook import html

if TYPE_CHECKING:
    from pandas import DataFrame

# Pickles of earlier versions name this module for the other classes.
__all__ = ["EvaluationStore", "StoredEvaluation", "StoredRun", "StoredRuns"]

_COUNTS = (
    "SELECT run, count(*), sum(status != 'ok'), max(n), max(elapsed) "
    "FROM evaluations NOT INDEXED GROUP BY run"
)


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
            raise StoreError(
                f"There is no store {self.path}. Check the path; a run makes its store when it "
                "begins."
            )
        check_file(self.path)
        if has_log_of_another(self.path):
            log = log_of(self.path).name
            raise StoreError(
                f"The log {log} beside the store {self.path} is of another file that had this "
                f"name. Move {log} and {index_of(self.path).name} away."
            )
        with self._translated():
            self._file = os.stat(self.path)
            before = log_of(self.path)  # an empty one may be left of an earlier reader
            alone = not before.exists() or before.stat().st_size == 0
            self._db = self._connect()
            self._closed = weakref.finalize(self, close_reader, self._db, self.path, alone)
            try:
                # Rows are read from the tables alone, so what the indices say does not matter.
                check_contents(self._db, self.path, indices=False)
            except BaseException:
                self._closed()
                raise

    def _connect(self) -> sqlite3.Connection:
        options = "mode=ro"
        # A reader needs the log beside the file. In a read-only folder it can neither open nor make
        # one, and beside a read-only file it could not remove it again. If there is none, nobody
        # is writing and the reader can do without.
        writable = os.access(self.path.parent, os.W_OK) and os.access(self.path, os.W_OK)
        if not writable and not log_of(self.path).exists():
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
            return StoredRuns(
                stored_run(row, *counts.get(row.id, (0, 0, -1, 0.0))) for row in found
            )

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
                individuals.setdefault(keys.encode(e.X), individual_of(e))
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
        return pandas.DataFrame([line_of(e) for e in self.evaluations(run)])

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
