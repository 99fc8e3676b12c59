"""Corrections of pymoo's algorithms: optima without failures, and selections that repeat."""

from __future__ import annotations

import copy
import logging
import weakref
from collections.abc import Callable
from functools import partial

import numpy as np
from pymoo.core.algorithm import Algorithm
from pymoo.core.population import Population
from pymoo.core.result import Result
from pymoo.operators.selection.tournament import TournamentSelection
from pymoo.util.optimum import filter_optimum

from moela._arrays import Ints
from moela.evaluation.marks import Marks
from moela.evaluation.runners.outcome import failed

logger = logging.getLogger("moela.evaluator")

# Modules of pymoo whose tournaments decide between equal violations by numbers without a seed.
_UNSEEDED = ("pymoo.algorithms.moo.nsga3", "pymoo.algorithms.moo.unsga3")


def repeat_selections(algorithm: Algorithm) -> None:
    """Let the same seed select the same parents in NSGA3 and UNSGA3, if there are constraints.

    Of two designs of equal violation, the one that was drawn first wins, which is random as well.
    """
    mating = getattr(algorithm, "mating", None)
    selection = getattr(mating, "selection", None)
    if mating is None or not isinstance(selection, TournamentSelection):
        return
    if "_do" in vars(selection):  # already
        return
    # pymoo wraps these functions without their names.
    cells = getattr(selection.func_comp, "__closure__", None) or ()
    modules = {getattr(cell.cell_contents, "__module__", None) for cell in cells}
    if modules.intersection(_UNSEEDED) and selection.pressure == 2:
        # All algorithms of a class have the same selection by default. Signatures of algorithms
        # leave out names that begin with an underscore, so stored runs stay the same.
        mating.selection = copy.copy(selection)
        mating.selection._do = _Tournaments(selection)


class _Tournaments:
    """`TournamentSelection._do`, without ties between infeasible designs."""

    def __init__(self, selection: TournamentSelection) -> None:
        self.selection = selection

    def __call__(self, *args: object, **kwargs: object) -> Ints:
        selection = copy.copy(self.selection)
        selection.func_comp = partial(_winners, selection.func_comp)
        return selection._do(*args, **kwargs)  # type: ignore[no-any-return]


def _winners(compare: Callable[..., Ints], pop: Population, pairs: Ints, **kwargs: object) -> Ints:
    """Return the winner of each pair [n, 2] as an array [n, 1]."""
    CV = pop.get("CV").reshape(len(pop), -1)[:, 0][pairs]
    tied = (CV[:, 0] == CV[:, 1]) & (CV[:, 0] > 0.0)
    winners = pairs[:, :1].copy()
    if not tied.all():
        winners[~tied] = compare(pop, pairs[~tied], **kwargs)
    return winners


def leave_out_failures(algorithm: Algorithm, marks: Marks) -> None:
    """Keep failed designs out of `opt` of an algorithm, and out of its result, from now on.

    An algorithm that takes failures out itself says so by its attribute `leaves_out_failures`.
    """
    done = getattr(vars(algorithm).get("result"), "marks", None) is marks
    if not done and not getattr(algorithm, "leaves_out_failures", False):
        # pymoo has no place to register these; on the object, they leave other algorithms alone.
        algorithm._set_optimum = _OptimumWithoutFailures(algorithm, marks)
        algorithm.result = _ResultWithoutFailures(algorithm, marks)


class _Method:
    """A method of one algorithm, which copies and pickles with the algorithm belong to the copy."""

    def __init__(self, algorithm: Algorithm, marks: Marks) -> None:
        # A strong reference would be a circle, which would keep workers alive.
        self._algorithm = weakref.ref(algorithm)
        self.marks = marks

    @property
    def algorithm(self) -> Algorithm:
        algorithm = self._algorithm()
        assert algorithm is not None
        return algorithm

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.algorithm, self.marks)

    def __deepcopy__(self, memo: dict[int, object]) -> _Method:
        return type(self)(copy.deepcopy(self.algorithm, memo), copy.deepcopy(self.marks, memo))


class _OptimumWithoutFailures(_Method):
    """`Algorithm._set_optimum`.

    Until the first success, `opt` holds a failure, since pymoo's displays and terminations need a
    design there. They see that it is infeasible.
    """

    def __call__(self, *args: object, **kwargs: object) -> None:
        algorithm = self.algorithm
        before = algorithm.opt
        type(algorithm)._set_optimum(algorithm, *args, **kwargs)
        opt = Population.empty() if algorithm.opt is None else algorithm.opt
        if len(opt) and not failed(opt).any():
            return
        real = opt[~failed(opt)]
        if len(real) == 0 and algorithm.pop is not None:
            pop = Population(list(algorithm.pop))
            real = filter_optimum(pop[~failed(pop)], least_infeasible=True)
        if real is None and before is not None:
            # The population has lost all that succeeded.
            real = before[~failed(before)]
        if real is not None and len(real):
            algorithm.opt = real


class _ResultWithoutFailures(_Method):
    """`Algorithm.result`."""

    def __call__(self) -> Result:
        algorithm = self.algorithm
        result = type(algorithm).result(algorithm)
        if self.marks.n_real == 0 and not self.marks.reported:
            self.marks.reported = True
            logger.warning(
                "%s found no design that did not fail. The get('status') and get('error') of its "
                "designs say why. The first failure:\n%s",
                type(algorithm).__name__,
                self.marks.first_error.rstrip(),
            )
        if result.opt is None or not failed(result.opt).any():
            return result
        opt = result.opt[~failed(result.opt)]
        result.opt, values = None, [None] * 5
        if len(opt):
            result.opt, values = opt, list(opt.get("X", "F", "CV", "G", "H"))
            if algorithm.problem.n_obj == 1 and len(opt) == 1:
                values = [np.asarray(value)[0] for value in values]
        result.X, result.F, result.CV, result.G, result.H = values
        return result
