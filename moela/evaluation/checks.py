"""Checks of problems and terminations, and an evaluator of pymoo's kind that checks outputs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext

import numpy as np
from numpy.typing import NDArray
from pymoo.core.algorithm import Algorithm
from pymoo.core.evaluator import Evaluator as PymooEvaluator
from pymoo.core.individual import Individual
from pymoo.core.population import Population
from pymoo.core.problem import Problem
from pymoo.core.termination import Termination
from pymoo.core.variable import Choice

from moela._arrays import Designs, Floats
from moela._checks import instance
from moela.evaluation.batch import unevaluated
from moela.evaluation.optimum import repeat_selections
from moela.evaluation.runners.call import NoAnswerError, complex_error, outputs, worker_name
from moela.evaluation.runners.outcome import INVALID, Outcome, Values, failure
from moela.evaluation.termination import LEAST_BUDGET, evaluation_budget

# Where pymoo has its algorithms for one objective.
_SINGLE = "pymoo.algorithms.soo"


def check_problem(owner: str, problem: Problem) -> None:
    """Raise if a problem is a class or no problem, or if its bounds cannot be met.

    Bounds may be missing or infinite, since some operators need none.
    """
    instance(owner, "problem", problem)
    if not hasattr(problem, "n_var"):
        raise TypeError(
            f"The 'problem' parameter of {owner} must be a pymoo Problem. Got {problem!r} "
            f"({type(problem).__name__}) instead; pass get_problem('zdt1') for a problem of pymoo, "
            "and moela.problem(...) for a plain function."
        )
    title = type(problem).__name__
    variables = getattr(problem, "vars", None)
    if variables:
        for name, variable in variables.items():
            if isinstance(variable, Choice):
                if len(variable.options) == 0:
                    raise ValueError(
                        f"The variable {name!r} of {title} must have an option. Got none; write "
                        "Choice(options=[...])."
                    )
                continue
            limits = getattr(variable, "bounds", None)
            if limits is not None and None not in limits:
                low, high = (np.array([limit], dtype=float) for limit in limits)
                _check_order(title, low, high, [f"the lower bound of {name!r}"],
                             [f"the upper bound of {name!r}"])  # fmt: skip
        return
    bounds = {}
    for name, limit in (("xl", problem.xl), ("xu", problem.xu)):
        if limit is None:
            continue
        bounds[name] = np.asarray(limit, dtype=float)
        if problem.n_var > 0 and bounds[name].shape != (problem.n_var,):
            raise ValueError(
                f"{title} must have a bound {name} for each of its {problem.n_var} variables, "
                f"shape ({problem.n_var},). Got shape {bounds[name].shape} instead."
            )
    n = max(problem.n_var, 0)
    missing = np.full(n, np.inf)
    low, high = bounds.get("xl", -missing), bounds.get("xu", missing)
    if low.shape == high.shape:
        _check_order(title, low, high, [f"xl[{i}]" for i in range(n)],
                     [f"xu[{i}]" for i in range(n)])  # fmt: skip


def _check_order(
    title: str, low: Floats, high: Floats, lows: Sequence[str], highs: Sequence[str]
) -> None:
    """Check that no bound is NaN, and that none is below the other; the texts name the bounds."""
    for names, values in ((lows, low), (highs, high)):
        for i in np.flatnonzero(np.isnan(values))[:1].tolist():
            raise ValueError(f"The bounds of {title} must be numbers. Got {names[i]} = nan.")
    for i in np.flatnonzero(low > high)[:1].tolist():
        raise ValueError(
            f"Lower bounds of {title} must not be above the upper ones. Got {lows[i]} = {low[i]} "
            f"and {highs[i]} = {high[i]}; swap them."
        )


def check_budget(termination: Termination | None) -> None:
    """Raise a ValueError if a termination allows no evaluation."""
    n_gen = getattr(termination, "n_max_gen", None)
    for name, budget in (("n_eval", evaluation_budget(termination)), ("n_gen", n_gen)):
        if budget is not None and budget < 1:
            raise ValueError(f"{LEAST_BUDGET} Got {name} = {budget} instead.")


def takes_one_objective(algorithm: Algorithm) -> bool:
    """Return whether an algorithm is one of pymoo's for a single objective, or derived from it.

    A genetic algorithm with another survival than that of the fittest may take several.
    """
    survival = getattr(algorithm, "survival", None)
    single = any(kind.__module__.startswith(_SINGLE) for kind in type(algorithm).__mro__)
    return single and (survival is None or type(survival).__module__.startswith(_SINGLE))


class CheckedEvaluator(PymooEvaluator):
    """pymoo's Evaluator, with the checks and messages that :class:`moela.Evaluator` has.

    pymoo reshapes any output with the right number of elements and fills outputs that were never
    set with infinity. Here both raise an :class:`EvaluationError`. `timer` returns the context in
    which the problem is called.
    """

    def __init__(self, timer: Callable[[], AbstractContextManager[None]] = nullcontext) -> None:
        super().__init__()
        self.timer = timer

    def eval(
        self,
        problem: Problem,
        pop: Population | Individual,
        skip_already_evaluated: bool | None = None,
        evaluate_values_of: Sequence[str] | None = None,
        count_evals: bool = True,
        **kwargs: object,
    ) -> Population | Individual:
        """Evaluate a population or an individual in place and return it, as pymoo does."""
        names = self.evaluate_values_of if evaluate_values_of is None else evaluate_values_of
        due = unevaluated(self, pop, skip_already_evaluated, names)
        if (algorithm := kwargs.get("algorithm")) is not None:
            repeat_selections(algorithm)
        if due:
            self._eval(problem, Population.create(*due), names, **kwargs)
        if count_evals:
            self.n_eval += len(due)
        if self.callback:
            self.callback(Population.create(pop) if isinstance(pop, Individual) else pop)
        return pop

    def _eval(
        self,
        problem: Problem,
        pop: Population,
        evaluate_values_of: Sequence[str],
        **kwargs: object,
    ) -> None:
        individuals = pop.tolist()
        X = np.array([individual.X for individual in individuals])
        try:
            with self.timer():
                out = outputs(problem, X, evaluate_values_of, kwargs)
        except NoAnswerError as error:
            outcome = Outcome(INVALID, error=str(error), worker=worker_name())
            raise failure(X[0], outcome) from None
        if any(np.iscomplexobj(values) for values in out.values()):
            self._check_real(problem, X, out)
        for name, values in out.items():
            if isinstance(values, np.ndarray) and len(values) == len(individuals):
                _set_rows(individuals, name, values)
            elif values is not None:
                pop.set(name, values)
        for individual in individuals:
            individual.evaluated.update(out)

    @staticmethod
    def _check_real(problem: Problem, X: Designs, out: Values) -> None:
        for i, x in enumerate(X):
            row = {name: values[i] for name, values in out.items() if values is not None}
            error = complex_error(problem, row)
            if error:
                outcome = Outcome(INVALID, error=error, worker=worker_name())
                raise failure(x, outcome)


def _set_rows(individuals: Sequence[Individual], name: str, values: NDArray[np.generic]) -> None:
    """Set an output [n, ...] on individuals [n] as ``Population.set`` does, which is slower."""
    # Rows of a larger array would keep all of it alive; empty ones may be the same.
    rows = [row.copy() for row in values] if values.ndim > 1 and values.size else values
    if values.ndim > 1 and values.size == 0:
        rows = [values[0].copy()] * len(values)
    own = hasattr(Individual, name)
    for individual, row in zip(individuals, rows, strict=True):
        if own:
            setattr(individual, name, row)
        else:
            individual.data[name] = row
