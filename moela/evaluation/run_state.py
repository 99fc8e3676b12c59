"""The state of a run that copies of an evaluator keep, and the entry of a run into a store."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from pymoo.core.algorithm import Algorithm
from pymoo.core.individual import Individual
from pymoo.core.population import Population
from pymoo.core.problem import Problem

from moela.evaluation.known import AnswersInMemory, Known, StoredAnswers
from moela.evaluation.marks import Marks
from moela.evaluation.runners.outcome import OK, SKIPPED
from moela.evaluation.runners.runner import Runner
from moela.evaluation.runs import reuse
from moela.evaluation.runs.identity import begin_again, continue_or_begin, recheck
from moela.evaluation.runs.open_run import OpenRun, Signed
from moela.evaluation.session import Session
from moela.evaluation.storage.errors import StoreError, StoreMismatchError
from moela.evaluation.storage.keys import keys_of
from moela.provenance.signature import Json, Signature, differences

logger = logging.getLogger("moela.evaluator")

# On individuals whose design the run has answered before, if that is no evaluation.
REPEATED = "repeated"


@dataclass(slots=True)
class RunState:
    """The state of a run that copies and pickles of the evaluator keep."""

    token: object = None  # identifies the algorithm and its copies
    signature: Signature | None = None  # of the problem
    id: int | None = None  # in the store
    n_answered: int = 0
    n_batches: int = 0
    elapsed: float = 0.0  # seconds before the current session
    memory: AnswersInMemory = field(default_factory=AnswersInMemory)
    answered: set[bytes] = field(default_factory=set)  # keys, if repeats are no evaluations
    marks: Marks | None = None  # what failures have in the place of objectives
    warned: bool = False  # of an infinite objective
    failed: bool = False  # whether a warning has told of the first failure

    def bind(self, problem: Problem, signed: Signed, *, same: bool, copied: bool) -> None:
        """Continue with a problem, which may be another one than before if there is no store.

        Parameters
        ----------
        same : bool
            Whether it is the same object as before, or one in a copy of the run. Results in memory
            answer no other object, since parts of it that are not public may differ.
        copied : bool
            Whether the run has been copied since.
        """
        if copied and self.signature is not None:
            self.signature["settings"] = signed.signature["settings"]
        if self.signature is not None:
            changes = differences(self.signature, signed.signature, "problem")
            if changes and self.id is not None:
                raise StoreError(
                    "A stored run must keep to one problem, but the problem has changed in "
                    f"{'; '.join(changes)}. Use a new Evaluator for each problem."
                )
            if changes or not same:
                self.memory, self.marks = AnswersInMemory(), None
        if self.marks is None:
            self.marks = Marks(problem)
        self.signature = signed.signature

    def keys(self, problem: Problem, individuals: Sequence[Individual]) -> list[bytes]:
        """Return the key of each design."""
        return keys_of(problem, Population(individuals).get("X")) if len(individuals) else []

    def reach(self, keys: Sequence[bytes], room: int) -> int:
        """Return how many designs, from the first on, hold at most `room` that are new."""
        known = self.answered.intersection(keys)
        for i, key in enumerate(keys):
            if key not in known:
                if room == 0:
                    return i
                room -= 1
                known.add(key)
        return len(keys)

    def repeats(
        self, keys: Sequence[bytes], individuals: Sequence[Individual], n: int
    ) -> tuple[int, int]:
        """Mark those of n answered designs that the run has answered before.

        Return how many are new, and how many of the others are failures.
        """
        n_failed = 0
        for key, individual in zip(keys, individuals, strict=False):
            if individual.data["status"] == SKIPPED:
                continue
            individual.data[REPEATED] = repeated = key in self.answered
            self.answered.add(key)
            n -= repeated
            n_failed += repeated and individual.data["status"] != OK
        return n, n_failed

    def lookup(
        self, session: Session, keys: list[bytes], names: list[str], n: int, *, dedupe: bool
    ) -> Known:
        """Return the known answers to a batch of n designs."""
        problem = session.problem
        if session.answers is not None:
            return session.answers.lookup(keys, names, self.n_answered, self.n_batches)
        if dedupe:
            shape = (problem.n_obj, problem.n_ieq_constr, problem.n_eq_constr)
            return self.memory.lookup(keys, names, shape)
        return Known([None] * n, list(range(n)))


class StoreSettings(Protocol):
    """The settings of an evaluator that matter to its store."""

    dedupe: bool
    recheck: bool
    retry_failed: bool
    on_error: str
    on_mismatch: str
    by_arrival: bool
    keeps_chunks: bool


@dataclass(slots=True)
class StoreEntry:
    """The entry of a run into a store: the stored run that a session continues or begins."""

    settings: StoreSettings
    run: RunState
    session: Session
    chunk_size: int
    runner: Callable[[Session, dict[str, object]], Runner]

    def enter(self, store: Path, signed: Signed, algorithm: Algorithm | None) -> None:
        """Open the store and have the session answer from it, after checking an old design."""
        settings, session = self.settings, self.session
        budget = session.budget(algorithm)
        identity: dict[str, Json] = {"dedupe": settings.dedupe}
        if settings.keeps_chunks:
            identity["chunk_size"] = self.chunk_size
        if settings.by_arrival:
            identity["order"] = "arrival"
        opened = continue_or_begin(
            store,
            self.run.id,
            signed=signed,
            algorithm=algorithm,
            settings=identity,
            budget=budget,
            on_mismatch=settings.on_mismatch,
        )
        self._answer_from(opened)
        if opened.resumed and settings.recheck and settings.dedupe:
            session.opened = None  # until then, the run keeps nothing of this problem
            try:
                recheck(opened, self.runner(session, {}))
            except StoreMismatchError as error:
                if settings.on_mismatch != "new":
                    raise
                logger.warning("%s", error)
                opened = begin_again(opened, signed, budget)
                self._answer_from(opened)
            session.opened = opened
        if opened.resumed:  # and is still the same
            opened.journal.note_progress(opened.run.id, 0, 0.0, budget)

    def _answer_from(self, opened: OpenRun) -> None:
        """Answer the designs of the session from a run of the store."""
        settings, session = self.settings, self.session

        def trusted(source: int) -> bool:
            runner = self.runner(session, {}) if settings.recheck else None
            return reuse.trusted(opened, source, runner)

        self.run.id = opened.run.id
        session.opened = opened
        opened.journal.watch(opened.run)
        session.answers = StoredAnswers(
            opened.journal,
            opened.run,
            dedupe=settings.dedupe,
            accept_failures=settings.on_error != "raise",
            retry_failed=settings.retry_failed,
            sources=[run for run, state in opened.sources.items() if isinstance(state, int)],
            trusted=trusted,
        )


def token_of(algorithm: Algorithm | None) -> object:
    """Return a value that a run of an algorithm shares with its copies and pickles only."""
    return getattr(algorithm, "start_time", None)
