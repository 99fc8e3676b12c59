"""An ask-and-tell loop that asks for a design as soon as a worker is free."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from pymoo.algorithms.base.genetic import GeneticAlgorithm
from pymoo.core.algorithm import Algorithm
from pymoo.core.individual import Individual
from pymoo.core.population import Population

from moela.asynchronous.evaluator import ArrivalEvaluator
from moela.core.algorithm import ArchiveAlgorithm
from moela.core.origin import origin_of
from moela.search.moela import MOELA

# Designs that MOELA makes at a time, so that each is made with all that is known when a worker is
# free.
BATCH_SIZE = 1


def prepare(algorithm: Algorithm) -> None:
    """Set an algorithm, which has not begun, to few designs at a time.

    MOELA makes one at a time unless its `batch_size` is given, and so does a genetic algorithm of
    pymoo, which makes it a steady-state algorithm.

    Raises
    ------
    ValueError
        The algorithm needs all answers to its questions, or has them in a fixed order.
    """
    if isinstance(algorithm, ArchiveAlgorithm):
        if isinstance(algorithm, MOELA) and algorithm.batch_size is None:
            algorithm.batch_size = BATCH_SIZE
            algorithm._fills = False  # workers do not wait for a batch
        return
    kind = type(algorithm)
    own = [getattr(kind, name, None) for name in ("_infill", "_advance", "_initialize_advance")]
    if own != [
        GeneticAlgorithm._infill,
        GeneticAlgorithm._advance,
        GeneticAlgorithm._initialize_advance,
    ]:
        raise ValueError(
            "The 'algorithm' parameter must take answers in any order with asynchronous=True: "
            "MOELA, another algorithm of moela, or one of pymoo's genetic algorithms such as "
            f"NSGA2, NSGA3 or GA. Got {kind.__name__} instead; leave out asynchronous=True or "
            "choose another algorithm."
        )
    algorithm.n_offsprings = 1


def run(algorithm: Algorithm, evaluator: ArrivalEvaluator, is_stopped: Callable[[], bool]) -> bool:
    """Run an algorithm until its termination, Ctrl-C, an error, or `is_stopped`.

    Return False, since nothing is left to do.

    Whenever a worker is free, the algorithm is asked for a design; each design that arrives is told
    by itself. Initial designs, also those of a restart, are told together once more designs are
    needed, and most of them have arrived.

    Parameters
    ----------
    algorithm : Algorithm
        It has been set up, and `prepare`d before.
    evaluator : ArrivalEvaluator
    is_stopped : callable
        Whether the caller wants the run to end with the designs in progress.
    """
    _Loop(algorithm, evaluator, is_stopped).run()
    return False


class _Loop:
    """The state of one run."""

    def __init__(
        self, algorithm: Algorithm, evaluator: ArrivalEvaluator, is_stopped: Callable[[], bool]
    ) -> None:
        self.algorithm, self.evaluator, self.is_stopped = algorithm, evaluator, is_stopped
        self.queue: deque[Individual] = deque()  # asked for, not yet handed over
        self.initial: list[Individual] = []  # initial designs that have arrived
        self.awaited: set[int] = set()  # ids of those that were handed over and have not arrived
        self.begins = True  # most initial designs must arrive before others are asked for

    def run(self) -> None:
        """Run until the end, and hand the last arrivals to the algorithm."""
        self.algorithm.has_next()  # starts the clock of a limit of time
        self.queue.extend(self._asked())
        self.evaluator.begin(self.algorithm.problem, self.algorithm)
        late: list[Individual] = []
        while True:
            going = not self._ends()
            if going:
                self._fill()
            else:
                self.evaluator.drop_postponed()
            if not self.evaluator.n_in_progress:
                break
            individual = self.evaluator.arrival(self.algorithm)
            if individual is None:
                continue
            if id(individual) in self.awaited:
                self.awaited.remove(id(individual))
                self.initial.append(individual)
            elif going:
                self._tell([individual])
            else:
                late.append(individual)
        self._tell_last(late)
        self.evaluator.end()

    def _ends(self) -> bool:
        ended = self.evaluator.stopped or self.is_stopped()
        return ended or (self.algorithm.is_initialized and not self.algorithm.has_next())

    def _fill(self) -> None:
        """Hand over designs while workers are free."""
        while self.evaluator.wants_design():
            if not self.queue:
                if self.begins and len(self.awaited) > len(self.initial):
                    return  # too few to begin with have arrived
                if self.initial:
                    self.begins = False  # slow initial designs hold nobody up from now on
                    group, self.initial = self.initial, []
                    self._tell(group)
                    if self._ends():
                        return
                self.queue.extend(self._asked())
                if not self.queue:
                    return  # until more is known
            individual = self.queue.popleft()
            if individual.evaluated.issuperset(self.evaluator.evaluate_values_of):
                self.initial.append(individual)  # given with its objectives
                continue
            if not self.algorithm.is_initialized or origin_of(individual).part == "initial":
                self.awaited.add(id(individual))
                self.begins = True
            self.evaluator.submit(individual)

    def _asked(self) -> list[Individual]:
        asked = self.algorithm.infill()
        return [] if asked is None else list(asked)

    def _tell(self, individuals: list[Individual]) -> None:
        self.algorithm.advance(infills=Population.create(*individuals))

    def _tell_last(self, late: list[Individual]) -> None:
        if self.initial:
            self._tell(self.initial)
        if late:
            # A terminated algorithm would be finalized a second time.
            self.algorithm._advance(infills=Population.create(*late))
            self.algorithm._set_optimum()
