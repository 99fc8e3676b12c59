"""Known answers to designs: in memory for a run without a store, else in its journal."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from moela.evaluation.runners.outcome import FAILURES, OK, Outcome
from moela.evaluation.storage.journal import Journal
from moela.evaluation.storage.schema import Row, RunRow

logger = logging.getLogger("moela.evaluator")


@dataclass(slots=True)
class Known:
    """The known answers to the rows of a batch, and the rows to compute.

    ``due`` lists the rows that this batch has to compute, or had to when it was first made, without
    repetitions and without rows that an earlier batch has answered. The chunks of a vectorized
    problem are cut from these, so that a resumed run cuts them in the same way.
    """

    outcomes: list[Outcome | None]
    due: list[int] = field(default_factory=list)
    elapsed: float = 0.0  # seconds that the run had been running when it gave the newest answer
    n_replayed: int = 0  # answers that were in the store before this session

    def repeat(self, keys: Sequence[bytes]) -> None:
        """Answer the rows that repeat another one of the batch."""
        first = {key: i for i, key in reversed(list(enumerate(keys)))}
        for i, key in enumerate(keys):
            self.outcomes[i] = self.outcomes[i] or self.outcomes[first[key]]


class AnswersInMemory(dict[bytes, Outcome | bytes]):
    """Answers by key, packed: a million of them take about 200 MB for three objectives.

    Copies of an evaluator share this object, so that a history of copies does not multiply it.
    """

    def __deepcopy__(self, memo: object) -> AnswersInMemory:
        return self

    def lookup(self, keys: Sequence[bytes], names: Sequence[str], shape: Sequence[int]) -> Known:
        """Return the known answers; ``shape`` is (n_obj, n_ieq_constr, n_eq_constr)."""
        known = Known([None] * len(keys))
        earlier: set[bytes] = set()
        for i, key in enumerate(keys):
            value = self.get(key)
            if isinstance(value, bytes):
                parts = np.split(np.frombuffer(value), np.cumsum(shape)[:-1])
                value = Outcome(OK, {n: p.copy() for n, p in zip("FGH", parts, strict=True)})
            if value is not None and _covers(value, names):
                known.outcomes[i] = value
            elif key not in earlier:
                earlier.add(key)
                known.due.append(i)
        return known

    def put(self, key: bytes, outcome: Outcome) -> None:
        """Remember an answer."""
        values = outcome.values
        if outcome.status == OK and values.keys() == {"F", "G", "H"}:
            self[key] = np.concatenate([values[name].astype(float) for name in "FGH"]).tobytes()
        else:
            self[key] = outcome


class StoredAnswers:
    """Answers in the journal of a run.

    With ``dedupe`` a design is known by its key, also if one of the runs in ``sources`` has
    evaluated it; otherwise only the answer at the same position of the same run counts. Before the
    first answer of another run is given, ``trusted`` decides whether to use that run. Recorded
    failures are answers if ``accept_failures``; with ``retry_failed`` only those that are recorded
    from now on.
    """

    def __init__(
        self,
        journal: Journal,
        run: RunRow,
        dedupe: bool,
        accept_failures: bool,
        retry_failed: bool,
        sources: Sequence[int] = (),
        trusted: Callable[[int], bool] = lambda run: True,
    ):
        self.journal = journal
        self.run = run
        self.sources = list(sources)
        self.trusted = trusted
        self.dedupe = dedupe
        self.accept_failures = accept_failures
        self.newest = journal.last_id()  # evaluation that was in the store before
        self.opened = self.newest if retry_failed else 0
        self._replaying = True

    def lookup(self, keys: Sequence[bytes], names: Sequence[str], first: int, batch: int) -> Known:
        """Return the known answers at the positions ``first``, ``first + 1``, ... of the run."""
        placed = self._placed(keys, first)
        known = Known([None] * len(keys))
        if not self.dedupe:
            known.due = list(range(len(keys)))
            for i, key in enumerate(keys):
                row = placed.get(first + i)
                if row is not None and row.key == key and self._usable(row, names):
                    known.outcomes[i] = row.outcome
                    known.elapsed = max(known.elapsed, row.elapsed)
                    known.n_replayed += row.id <= self.newest
            return known

        rows = self.journal.lookup(list(dict.fromkeys(keys)), self.run, self.sources)
        earlier: set[bytes] = set()
        for i, key in enumerate(keys):
            row = self._choose(rows.get(key, ()), names)
            due = row is None
            if row is not None:
                known.outcomes[i] = row.outcome
                known.n_replayed += row.id <= self.newest
                if row.run == self.run.id:
                    known.elapsed = max(known.elapsed, row.elapsed)
                    due = row.batch == batch
            if due and key not in earlier:
                known.due.append(i)
            earlier.add(key)
        return known

    def recorded(self) -> list[Row]:
        """Return the usable rows of this run, in the order in which their evaluations ended."""
        return [row for row in self.journal.arrivals(self.run.id) if self._usable(row, ())]

    def settle(self) -> None:
        """Decide now, not before their first answer, which of the other runs to use."""
        self.sources = [run for run in self.sources if self.trusted(run)]

    def of_others(self, key: bytes, names: Sequence[str]) -> Outcome | None:
        """Return the outcome of a design that another run has evaluated, if it may be used."""
        rows = self.journal.lookup([key], self.run, self.sources).get(key, ())
        row = self._choose([row for row in rows if row.run != self.run.id], names)
        return None if row is None else row.outcome

    def _placed(self, keys: Sequence[bytes], first: int) -> dict[int, Row]:
        """Return the rows at these positions; warn if the run does not repeat itself."""
        if self.dedupe and not self._replaying:
            return {}
        placed = self.journal.answers(self.run.id, first, first + len(keys))
        if any(n - first < len(keys) and row.key != keys[n - first] for n, row in placed.items()):
            logger.warning(
                "run %d does not repeat itself from evaluation %d on: the algorithm asks for other "
                "designs than before, because something outside its signature has changed or is "
                "random; known designs are still answered from the store",
                self.run.id,
                first,
            )
            self._replaying = False
        return placed

    def _choose(self, rows: Sequence[Row], names: Sequence[str]) -> Row | None:
        """Return the newest usable row of this run, else the oldest of the others."""
        usable = [row for row in rows if self._usable(row, names)]
        own = next((row for row in usable if row.run == self.run.id), None)
        if own is not None:
            return own
        for row in reversed(usable):
            if row.run in self.sources:
                if self.trusted(row.run):
                    return row
                self.sources.remove(row.run)
        return None

    def _usable(self, row: Row, names: Sequence[str]) -> bool:
        if row.outcome.status == OK:
            return _covers(row.outcome, names)
        accepted = self.accept_failures or row.outcome.status not in FAILURES
        return accepted and row.id > self.opened


def _covers(outcome: Outcome, names: Sequence[str]) -> bool:
    return outcome.status != OK or all(name in outcome.values for name in names)
