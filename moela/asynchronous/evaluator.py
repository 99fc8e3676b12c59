"""Evaluation of single designs as workers become free, recorded in the order of arrival."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from pymoo.core.algorithm import Algorithm
from pymoo.core.individual import Individual
from pymoo.core.population import Population
from pymoo.core.problem import Problem

from moela._arrays import Designs
from moela.asynchronous.recorded import RecordedArrivals
from moela.asynchronous.streams import Stream, make_stream
from moela.evaluation.batch import hand_out
from moela.evaluation.evaluator import Evaluator
from moela.evaluation.known import Known
from moela.evaluation.optimum import leave_out_failures
from moela.evaluation.run_state import REPEATED
from moela.evaluation.runners.outcome import FAILURES, Outcome, failure, infinite_warning
from moela.evaluation.runners.runner import Runner
from moela.evaluation.session import Session
from moela.evaluation.storage.keys import keys_of
from moela.evaluation.storage.schema import Row

logger = logging.getLogger("moela.evaluator")

# Seconds of a wait for an arrival, after which Ctrl-C and the store are looked at.
_WAIT_SECONDS = 0.5


@dataclass(slots=True)
class _Design:
    """A design that was handed over and has not arrived."""

    individual: Individual
    X: Designs  # as a batch of one, [1, ...]
    key: bytes
    n_arrived: int  # designs that had arrived when it was handed over
    repeated: bool = False  # whether the run has answered it before, which is no evaluation


@dataclass(slots=True)
class _Flow:
    """The designs of one run, between the algorithm and the workers."""

    session: Session
    runner: Runner
    stream: Stream
    budget: int | None
    recorded: RecordedArrivals
    in_progress: dict[int, _Design] = field(default_factory=dict)  # by number
    postponed: list[int] = field(default_factory=list)  # of these, those that no worker has yet
    known: deque[tuple[int, Outcome]] = field(default_factory=deque)  # which arrive at once
    fresh: deque[tuple[int, Outcome]] = field(default_factory=deque)  # which have arrived
    n_handed_over: int = 0
    n_repeated: int = 0  # of these
    n_arrived: int = 0
    failed: tuple[_Design, Outcome] | None = None  # ends the run, once all others have arrived


class ArrivalEvaluator(Evaluator):
    """An Evaluator of single designs: `begin` a run, then `submit` designs and take each `arrival`.

    Parameters are those of :class:`moela.Evaluator`. Results are recorded in the order in which
    evaluations end. When the same call is made again, they arrive in that order first, and designs
    that were in progress are evaluated again.
    """

    by_arrival = True
    _flow: _Flow | None = None

    def begin(self, problem: Problem, algorithm: Algorithm) -> None:
        """Begin or resume the run of an algorithm that was asked for its first designs."""
        session = self._attach(problem, algorithm)
        runner = self._runner(session, {})
        rows: list[Row] = []
        if session.answers is not None:
            rows = session.answers.recorded()
            session.answers.settle()
        recorded = RecordedArrivals(rows)
        stream = make_stream(runner, self.n_jobs)
        self._flow = _Flow(session, runner, stream, session.budget(algorithm), recorded)

    def _chunk(self, problem: Problem) -> int:
        return 1

    @property
    def flow(self) -> _Flow:
        """The run in progress."""
        assert self._flow is not None
        return self._flow

    @property
    def n_in_progress(self) -> int:
        """Number of designs that were handed over and have not arrived."""
        return len(self.flow.in_progress)

    @property
    def stopped(self) -> bool:
        """Whether Ctrl-C, a failed evaluation or a lost store ends the run."""
        session = self.flow.session
        return session.stopped or self.flow.failed is not None or session.store_failed

    def wants_design(self) -> bool:
        """Return whether another design should be handed over now."""
        flow = self.flow
        n_counted = flow.n_handed_over - flow.n_repeated
        full = flow.budget is not None and n_counted >= flow.budget
        if full or self.stopped:
            return False
        free = len(flow.in_progress) < flow.stream.n_workers
        return flow.recorded.hands_over(flow.n_handed_over, flow.n_arrived, free=free)

    def submit(self, individual: Individual) -> None:
        """Hand over a design; it arrives at once if its outcome is known."""
        flow, number = self.flow, self.flow.n_handed_over
        session = flow.session
        X = Population([individual]).get("X")
        key = b""
        if self.dedupe or session.answers is not None:
            key = keys_of(session.problem, X)[0]
        if session.answers is not None:
            session.answers.journal.check_designs(X)
        known = self._known(key) if self.dedupe else None
        repeated = known is not None and not self.counts_repeats and key in self._run.answered
        flow.in_progress[number] = _Design(individual, X, key, flow.n_arrived, repeated)
        flow.n_handed_over += 1
        flow.n_repeated += repeated
        if known is not None:
            flow.known.append((number, known))
        else:
            flow.postponed.append(number)
        if not len(flow.recorded):
            self._hand_to_workers()

    def _known(self, key: bytes) -> Outcome | None:
        """Return the outcome of a design that has arrived before, or that another run has."""
        flow, names = self.flow, list(self.evaluate_values_of)
        problem = flow.session.problem
        shape = (problem.n_obj, problem.n_ieq_constr, problem.n_eq_constr)
        outcome = self._run.memory.lookup([key], names, shape).outcomes[0]
        if outcome is None and flow.session.answers is not None:
            outcome = flow.session.answers.of_others(key, names)
        return outcome

    def _hand_to_workers(self) -> None:
        flow = self.flow
        for number in flow.postponed:
            flow.stream.submit(number, flow.in_progress[number].X, list(self.evaluate_values_of))
        flow.postponed.clear()

    def arrival(self, algorithm: Algorithm) -> Individual | None:
        """Wait for the next design and return it evaluated; None if it does not count.

        An evaluation that fails after Ctrl-C does not count, since the same signal may have ended
        it, nor does one that ends the run with an error.
        """
        flow, row = self.flow, None
        is_new = False
        if flow.known:
            number, outcome = flow.known.popleft()
        elif len(flow.recorded):
            row = self._replayed()
            if row is None:
                return None
            number, outcome = row.n, row.outcome
            self._run.elapsed += max(0.0, row.elapsed - self.elapsed)
        else:
            number, outcome = self._awaited()
            is_new = True
        design = flow.in_progress.pop(number)
        if is_new and flow.session.stopped and outcome.status in FAILURES:
            return None
        if is_new:
            flow.runner.kept([outcome])
            answering = self._answering(flow.session)
            answering.keep((number, design.n_arrived), design.key, design.X[0], outcome)
            flow.session.show([outcome])
            if flow.session.answers is not None:
                flow.session.answers.journal.flush()
        elif not design.repeated:
            flow.session.show_known(Known([outcome], n_replayed=int(row is not None)), flow.budget)
        if self.on_error == "raise" and outcome.status in FAILURES:
            flow.failed = flow.failed or (design, outcome)
            return None
        if self.dedupe:
            self._run.memory.put(design.key, outcome)
        self._count(design, outcome, algorithm)
        return design.individual

    def _count(self, design: _Design, outcome: Outcome, algorithm: Algorithm) -> None:
        flow, run, individual = self.flow, self._run, design.individual
        assert run.marks is not None
        flow.n_arrived += 1
        self.n_eval += not design.repeated
        if not self.counts_repeats:
            run.answered.add(design.key)
            individual.data[REPEATED] = design.repeated
        run.n_answered += 1
        handed = hand_out([individual], [outcome], list(self.evaluate_values_of), run.marks)
        self.n_failed += 0 if design.repeated else handed.n_failed
        if handed.infinite and not run.warned:
            run.warned = True
            logger.warning("%s", infinite_warning(handed.infinite, 1, run.n_answered))
        run.marks.update([individual], algorithm)
        if run.marks.in_use:
            leave_out_failures(algorithm, run.marks)
        flow.session.show_total(self.n_eval)
        flow.session.note(self.n_eval, self.elapsed, flow.budget, last=False)
        if self.callback:
            self.callback(Population.create(individual))

    def _replayed(self) -> Row | None:
        """Return the next recorded arrival; None if the run does not repeat itself."""
        flow = self.flow
        row = flow.recorded.pop()
        design = flow.in_progress.get(row.n)
        if design is not None and design.key == row.key:
            flow.postponed.remove(row.n)
            if not len(flow.recorded) and not self.stopped:
                self._hand_to_workers()
            return row
        assert flow.session.answers is not None
        logger.warning(
            "run %d does not repeat itself from evaluation %d on: the algorithm asks for other "
            "designs than before, because something outside its signature has changed or is "
            "random; known designs are still answered from the store",
            flow.session.answers.run.id,
            row.n,
        )
        self._forget_order([row, *flow.recorded.rest()])
        return None

    def _forget_order(self, rows: Iterable[Row]) -> None:
        """Answer designs by what they are from now on, not by their place in the run."""
        flow = self.flow
        if self.dedupe:
            for row in rows:
                self._run.memory.put(row.key, row.outcome)
            for number in list(flow.postponed):
                known = self._known(flow.in_progress[number].key)
                if known is not None:
                    flow.postponed.remove(number)
                    flow.known.append((number, known))
        if not self.stopped:
            self._hand_to_workers()

    def _awaited(self) -> tuple[int, Outcome]:
        """Wait for the next evaluation that ends."""
        flow = self.flow
        with flow.session.working():
            while not flow.fresh:
                flow.fresh.extend(flow.stream.wait(_WAIT_SECONDS))
        return flow.fresh.popleft()

    def drop_postponed(self) -> None:
        """Give up the designs that no worker has, since the run ends."""
        for number in self.flow.postponed:
            del self.flow.in_progress[number]
        self.flow.postponed.clear()

    def end(self) -> None:
        """End the run: note its progress, release everything, and raise what has ended it."""
        flow = self.flow
        over = flow.budget is not None and self.n_eval >= flow.budget
        self.interrupted = flow.session.stopped and not over
        flow.session.note(self.n_eval, self.elapsed, flow.budget, last=True)
        failed, interrupted = flow.failed, flow.session.stopped
        self.close()
        # Programs that evaluations started may have ended by the same Ctrl-C.
        if failed is not None and not interrupted:
            design, outcome = failed
            raise failure(design.X[0], outcome)

    def close(self) -> None:
        """Release workers, progress bar and connection; what is in progress is given up."""
        flow, self._flow = self._flow, None
        if flow is not None:
            flow.stream.close()
        super().close()

    def __getstate__(self) -> dict[str, object]:
        return {**super().__getstate__(), "_flow": None}
