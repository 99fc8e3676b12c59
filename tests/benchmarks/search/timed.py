"""Runs that end by process time, and what they have found at given times and evaluations."""

from __future__ import annotations

import time
from typing import Any

from pymoo.core.algorithm import Algorithm
from pymoo.core.problem import Problem
from pymoo.core.termination import Termination
from threadpoolctl import threadpool_limits

from moela._arrays import Floats
from moela.experiments.recording import RecordingEvaluator
from moela.experiments.tasks import make_algorithm
from moela.quality.indicators import hypervolume
from tests.benchmarks.search.runs import Make, Run

# Their steps depend on how long the run will be, so that each length needs a run of its own.
SCHEDULED = ("VS-RLS",)


class TimedEvaluator(RecordingEvaluator):
    """A recording evaluator that notes the process time of the run after each batch.

    Recording is not part of the time.
    """

    def __init__(self) -> None:
        super().__init__()
        self.began = time.process_time()
        # Evaluations so far, and seconds when they were known.
        self.marks: list[tuple[int, float]] = []

    @property
    def seconds(self) -> float:
        """Process time of the run so far."""
        return time.process_time() - self.began - self.recording.cpu

    def eval(self, *args: Any, **kwargs: Any) -> Any:
        """Evaluate, and note the time."""
        answer = super().eval(*args, **kwargs)
        self.marks.append((len(self.evaluated.F), self.seconds))
        return answer

    def evaluations_at(self, seconds: float) -> int:
        """Return the number of evaluations known after this time."""
        return max((n for n, at in self.marks if at <= seconds), default=0)

    def seconds_at(self, n_eval: int) -> float:
        """Return the time at which this many evaluations were known, or infinity."""
        return next((at for n, at in self.marks if n >= n_eval), float("inf"))


class Enough(Termination):
    """Ends a run once it has taken this process time and made this many evaluations."""

    def __init__(self, clock: TimedEvaluator, seconds: float = 0.0, n_eval: int = 0) -> None:
        super().__init__()
        self.clock, self.max_seconds, self.n_eval = clock, seconds, n_eval

    def _update(self, algorithm: Algorithm) -> float:
        shares = [1.0]
        if self.max_seconds > 0.0:
            shares.append(self.clock.seconds / self.max_seconds)
        if self.n_eval > 0:
            shares.append(len(self.clock.evaluated.F) / self.n_eval)
        return min(shares)


class TimedRun:
    """A run of an algorithm until a process time and a number of evaluations are both reached.

    BLAS and OpenMP get one thread.
    """

    def __init__(
        self,
        problem: Problem,
        algorithm: Algorithm,
        seed: int,
        seconds: float = 0.0,
        n_eval: int = 0,
    ) -> None:
        self.problem = problem
        with threadpool_limits(1):
            self.clock = TimedEvaluator()
            enough = Enough(self.clock, seconds, n_eval)
            algorithm.setup(problem, termination=enough, seed=seed, evaluator=self.clock)
            algorithm.run()

    def front_after(self, n_eval: int) -> Floats:
        """Return the feasible non-dominated objectives of the first evaluations, [k, M]."""
        front: Floats = self.clock.evaluated.arrays(self.problem, n_eval)["front_F"]
        return front

    def hypervolume_after(self, n_eval: int, ref_point: Floats) -> float:
        """Return the hypervolume of the first evaluations, 0 if none is feasible."""
        front = self.front_after(n_eval)
        return hypervolume(front, ref_point) if len(front) else 0.0


# Algorithms and kinds of problems that have run in this process.
_WARM: set[tuple[str, type]] = set()


def timed_run(
    run: Run, problem: Problem, make: Make, seconds: float = 0.0, n_eval: int = 0
) -> TimedRun:
    """Make a run, after a short one that compiles, imports and fills caches."""
    kind = run.algorithm, type(problem)
    if kind not in _WARM:
        _WARM.add(kind)
        TimedRun(problem, make_algorithm(run.algorithm, make, problem), 0, n_eval=400)
    algorithm = make_algorithm(run.algorithm, make, problem)
    return TimedRun(problem, algorithm, run.seed, seconds, n_eval)
