"""The answers to a batch of designs: known outcomes, and computed ones, kept as they come."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from pymoo.core.individual import Individual
from pymoo.core.population import Population

from moela._arrays import Design, Designs
from moela.evaluation.batch import compute, hand_out, jobs_of, report_failure
from moela.evaluation.known import Known
from moela.evaluation.run_state import RunState
from moela.evaluation.runners.outcome import (
    FAILURES,
    OK,
    EvaluationError,
    Outcome,
    infinite_warning,
)
from moela.evaluation.runners.runner import Runner, SerialRunner
from moela.evaluation.session import Session
from moela.evaluation.storage.keys import encode, keys_of

logger = logging.getLogger("moela.evaluator")


class Answerer(Protocol):
    """The settings and counters of an evaluator that matter to its answers."""

    dedupe: bool
    counts_repeats: bool
    time_limit: float | None
    on_error: str
    n_fresh: int
    n_failed: int

    @property
    def elapsed(self) -> float:
        """Seconds that the run has been running."""


@dataclass(slots=True)
class Answering:
    """The answers of an evaluator in one session of its run."""

    evaluator: Answerer
    run: RunState
    session: Session
    chunk_size: int
    runner: Callable[[Session, dict[str, object]], Runner]

    def answer(
        self,
        individuals: list[Individual],
        names: list[str],
        kwargs: dict[str, object],
        budget: int | None,
    ) -> int:
        """Set the outcome of its design on each individual; return how many were answered."""
        session, run, evaluator = self.session, self.run, self.evaluator
        assert run.marks is not None
        X = Population(individuals).get("X")
        keys = keys_of(session.problem, X) if evaluator.dedupe or session.answers else []
        if session.answers is not None:
            session.answers.journal.check_designs(X)
        known = run.lookup(session, keys, names, len(X), dedupe=evaluator.dedupe)
        # The run has been running at least as long as it had when it first gave these answers.
        run.elapsed += max(0.0, known.elapsed - evaluator.elapsed)
        session.show_known(self._shown(known, keys), budget)
        jobs = jobs_of(known, session.problem, self.chunk_size)
        if self._is_late() and any(outcome is not None for outcome in known.outcomes):
            jobs = []  # a run that is resumed ends where it did before
        if jobs:
            runner = self.runner(session, kwargs)
            fresh = compute(runner, jobs, X, names, known, raises=evaluator.on_error == "raise")
            try:
                with session.working():
                    self._compute(runner, fresh, known, keys, X)
            except EvaluationError:
                # Programs that evaluations started may have ended by the same Ctrl-C.
                if not session.stopped:
                    raise
            finally:
                fresh.close()
                if session.answers is not None:
                    session.answers.journal.flush()
        if evaluator.dedupe:
            known.repeat(keys)
        handed = hand_out(individuals, known.outcomes, names, run.marks)
        evaluator.n_failed += handed.n_failed
        run.n_answered += len(individuals)
        run.n_batches += 1
        if handed.infinite and not run.warned:
            run.warned = True
            text = infinite_warning(handed.infinite, handed.n_infinite, run.n_answered)
            logger.warning("%s", text)
        return handed.n_answered

    def _is_late(self) -> bool:
        """Return whether the time of the run is over."""
        limit = self.evaluator.time_limit
        return limit is not None and self.evaluator.elapsed >= limit

    def _shown(self, known: Known, keys: list[bytes]) -> Known:
        """Return the known answers that count as evaluations."""
        if self.evaluator.counts_repeats:
            return known
        pairs = zip(keys, known.outcomes, strict=True)
        new = {key: outcome for key, outcome in pairs if key not in self.run.answered}
        outcomes = [outcome for outcome in new.values() if outcome is not None]
        return Known([*outcomes], n_replayed=min(known.n_replayed, len(outcomes)))

    def _compute(
        self,
        runner: Runner,
        fresh: Iterable[list[tuple[int, Outcome]]],
        known: Known,
        keys: list[bytes],
        X: Designs,
    ) -> None:
        """Keep the outcomes of a batch as they come."""
        session = self.session
        for rows in fresh:
            kept = []
            for i, outcome in rows:
                if session.stopped and outcome.status in FAILURES:
                    known.outcomes[i] = None  # perhaps because of the same Ctrl-C
                    continue
                place = self.run.n_answered + i, self.run.n_batches
                self.keep(place, keys[i] if keys else b"", X[i], outcome)
                kept.append(outcome)
            session.show(kept)
            # Evaluations in progress are finished and kept, wherever that is possible.
            if session.store_failed and not runner.cancel():
                break
            if self._is_late():
                runner.cancel()  # those in progress are kept
                if isinstance(runner, SerialRunner):
                    break

    def keep(self, place: tuple[int, int], key: bytes, x: Design, outcome: Outcome) -> None:
        """Record an outcome in the store, with its position and batch in the run, or in memory."""
        run, evaluator, answers = self.run, self.evaluator, self.session.answers
        evaluator.n_fresh += 1
        if outcome.status != OK:
            raises = evaluator.on_error == "raise" and outcome.status in FAILURES
            first = not raises and outcome.status in FAILURES and not run.failed
            run.failed = run.failed or first
            report_failure(self.session.problem, x, outcome, first=first, raises=raises)
        if answers is not None:
            code = encode(x)
            answers.journal.add(answers.run.id, *place, key, code, outcome, evaluator.elapsed)
        elif evaluator.dedupe and (outcome.status not in FAILURES or evaluator.on_error != "raise"):
            run.memory.put(key, outcome)
