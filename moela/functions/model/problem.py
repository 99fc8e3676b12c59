"""Making the pymoo problem of a plain function: `moela.problem`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

import numpy as np

from moela._arrays import Floats
from moela.functions.model.calls import check_function, checked_call
from moela.functions.model.function_problem import FunctionProblem, PlainFunction
from moela.functions.model.goals import (
    ConstraintSpec,
    ObjectiveSpec,
    read_constraints,
    read_objectives,
)
from moela.functions.model.kinds import Permutation, is_number
from moela.functions.model.one_type import BinaryFunctionProblem, PermutationFunctionProblem
from moela.functions.model.outputs import Outputs, in_order, number_of_each
from moela.functions.model.reading import read_variables
from moela.functions.model.space import is_binary
from moela.quality.words import of_kind

# Pickles of earlier versions name this module for the three classes.
__all__ = [
    "BinaryFunctionProblem",
    "FunctionProblem",
    "PermutationFunctionProblem",
    "PlainFunction",
    "RefPoint",
    "problem",
]

RefPoint: TypeAlias = "Mapping[str, float] | Sequence[float]"


@checked_call
def problem(
    function: PlainFunction,
    *,
    variables: Mapping[str, object],
    objectives: ObjectiveSpec,
    constraints: ConstraintSpec | None = None,
    vectorized: bool = False,
    ref_point: RefPoint | None = None,
    version: str | float | None = None,
) -> FunctionProblem:
    """Return the pymoo problem of a plain function, for any algorithm of pymoo.

    Parameters
    ----------
    function : callable
        Takes a dictionary of the variables and returns a dictionary with a number for each
        objective and constraint, or these numbers in order. It may return more, which is kept.
    variables : dict by name
        ``(0.01, 0.06)`` is a real variable, ``(5, 25)`` an integer with both bounds included, a
        list a choice, `bool` a boolean. See also `moela.real`, `moela.integer`, `moela.choice`,
        `moela.boolean` and `moela.permutation`.
    objectives : list of str, str, or dict of "min" or "max" by name
        Outputs to minimize or maximize.
    constraints : dict of (low, high) by name, optional
        Bounds of outputs; None leaves a side open. ``(x, x)`` means equal to x within 0.01 % of x
        (within 0.0001 if x is 0).
    vectorized : bool
        Whether the function takes a dictionary of arrays [n] and returns a dictionary of arrays
        [n]. Values that do not exist are NaN or None.
    ref_point : dict by name or sequence, optional
        A value of each objective to beat, in the order of `objectives`.
    version : str or number, optional
        A text to change when the results of the function change for a reason that its code does not
        show, so that a store does not mix old results with new ones. 2 is the same as "2".

    Returns
    -------
    FunctionProblem
        A pymoo ``Problem`` with ``operators()``, ``decode(x)`` and ``encode(design)``.

    Raises
    ------
    TypeError, ValueError
        A parameter is not what it must be; the message says what was expected and what came.

    Examples
    --------
    >>> import moela
    >>> from pymoo.algorithms.moo.nsga2 import NSGA2
    >>> from pymoo.optimize import minimize
    >>> beam = moela.problem(
    ...     lambda d: {"mass": d["width"] * d["n"], "sag": 1 / d["width"] / d["n"] ** 2},
    ...     variables={"width": (0.1, 2.0), "n": (1, 9)},
    ...     objectives=["mass", "sag"],
    ... )
    >>> res = minimize(beam, NSGA2(20, **beam.operators()), ("n_eval", 200), seed=1)
    >>> sorted(beam.decode(res.X[0]))
    ['n', 'width']
    """
    check_function(function, vectorized)
    known = read_variables(variables)
    goals = read_objectives(objectives)
    outputs = Outputs(goals, read_constraints(constraints, goals))
    if not isinstance(vectorized, bool):
        raise TypeError(
            f"The 'vectorized' parameter must be True or False. Got {of_kind(vectorized)} instead."
        )
    if version is not None and not isinstance(version, str | int | float | np.number):
        raise TypeError(
            f"The 'version' parameter must be a text or a number. Got {of_kind(version)} instead."
        )
    if is_binary(known):
        kind: type[FunctionProblem] = BinaryFunctionProblem
    elif len(known) == 1 and all(isinstance(v, Permutation) for v in known.values()):
        kind = PermutationFunctionProblem
    else:
        kind = FunctionProblem
    return kind(
        function,
        variables=known,
        outputs=outputs,
        vectorized=vectorized,
        ref_point=_ref_point(ref_point, outputs),
        version=None if version is None else str(version),
    )


def _ref_point(given: object, outputs: Outputs) -> Floats | None:
    """Return a reference point in the user's signs as minimized numbers [n_obj]."""
    if given is None:
        return None
    goals = outputs.objectives
    names = [goal.name for goal in goals]
    form = number_of_each(names)
    if isinstance(given, Mapping):
        values = in_order("ref_point", given, names)
    elif isinstance(given, Iterable) and not isinstance(given, str | set | frozenset):
        values = list(given)
    else:
        raise TypeError(f"The 'ref_point' parameter must be {form}. Got {of_kind(given)} instead.")
    if len(values) != len(names) or not all(map(is_number, values)):
        raise ValueError(f"The 'ref_point' parameter must be {form}. Got {of_kind(given)} instead.")
    signs = np.array([goal.sign for goal in goals])
    return np.asarray(signs * np.array(values, dtype=float))
