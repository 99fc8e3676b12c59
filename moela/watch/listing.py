"""The runs of a store as a table."""

from __future__ import annotations

import os

from moela.evaluation.storage.reader import EvaluationStore
from moela.heartbeat.working import long_work
from moela.quality.table import Row, Table
from moela.quality.words import duration, harmless
from moela.watch.state import Snapshot, WatchedRun

_COLUMNS = (
    *("run", "state", "problem", "algorithm", "seed", "evaluations", "computed", "failed"),
    *("per second", "running time", "time left", "hypervolume", "last batch (UTC)"),
)


@long_work("reading the runs of a store")
def snapshots(path: str | os.PathLike[str]) -> list[Snapshot]:
    """Return the state of each run of a store, oldest first."""
    out = []
    with EvaluationStore(path) as store:
        for run in store.runs():
            state = WatchedRun()
            state.read(store, run)
            out.append(state.snapshot(store, run))
    return out


def describe_runs(path: str | os.PathLike[str]) -> list[str]:
    """Return a table of the runs of a store as lines of text, the first being the heading.

    The hypervolume is the share that the front dominates of the box between the best value of each
    objective and the worst values of the first designs. It compares moments of one run, not runs;
    for that use :func:`moela.compare`.

    Parameters
    ----------
    path : str or Path
        The store's file.

    Returns
    -------
    list of str

    Raises
    ------
    StoreError
        There is no such store, or the file is none.

    Examples
    --------
    >>> from moela import describe_runs
    >>> for line in describe_runs("run.db"):  # doctest: +SKIP
    ...     print(line)
    """
    rows: list[Row] = [
        dict(zip(_COLUMNS, _cells(snapshot), strict=True)) for snapshot in snapshots(path)
    ]
    return str(Table(rows)).splitlines() if rows else ["  ".join(_COLUMNS)]


def failure_lines(path: str | os.PathLike[str]) -> list[str]:
    """Return the failures of each run by reason, most frequent first, as lines of text."""
    lines = []
    for s in snapshots(path):
        lines.append(f"run {s.run}: {s.n_failed:,} of {s.n_fresh:,} evaluations failed")
        lines += [f"  {n:,} x {status}: {text}" for n, status, text in s.failures]
    return [*map(harmless, lines)]


def _cells(s: Snapshot) -> list[str]:
    """Return the texts of a run in the columns `_COLUMNS`."""
    n_eval = f"{s.n_eval}" if s.budget is None else f"{s.n_eval}/{s.budget}"
    return [
        *(str(s.run), s.state, s.problem, s.algorithm, s.seed, n_eval),
        *(str(s.n_fresh), str(s.n_failed)),
        "-" if s.rate is None else f"{s.rate:.3g}",
        duration(s.elapsed),
        "-" if s.seconds_left is None else duration(s.seconds_left),
        "-" if s.volume is None else f"{100 * s.volume:.2f} %",
        s.updated[:19].replace("T", " "),
    ]
