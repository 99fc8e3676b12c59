"""A pymoo problem made from a plain function."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeAlias

import numpy as np
from pymoo.core.crossover import Crossover
from pymoo.core.individual import Individual
from pymoo.core.mutation import Mutation
from pymoo.core.problem import Problem
from pymoo.core.repair import Repair
from pymoo.core.sampling import Sampling
from pymoo.operators.crossover.ox import OrderCrossover
from pymoo.operators.crossover.ux import UX
from pymoo.operators.mutation.bitflip import BitflipMutation
from pymoo.operators.mutation.inversion import InversionMutation
from pymoo.operators.sampling.rnd import BinaryRandomSampling, PermutationRandomSampling

from moela._arrays import Design, Designs, Floats
from moela._codes import permutation_moves
from moela._tracebacks import exception_of
from moela.functions.model.calls import check_function, checked_call, misnamed, name_of
from moela.functions.model.given import encoded, has_codes, in_list, is_table, records
from moela.functions.model.kinds import Permutation, Variable, is_number, only_if
from moela.functions.model.operators import (
    DesignCrossover,
    DesignMutation,
    DesignRepair,
    DesignSampling,
)
from moela.functions.model.outputs import (
    WHERE,
    ConstraintSpec,
    ObjectiveSpec,
    Outputs,
    in_order,
    number_of_each,
    own_message,
    read_constraints,
    read_objectives,
)
from moela.functions.model.reading import described, read_variables
from moela.functions.model.space import DesignSpace, is_binary
from moela.quality.words import nearest, of_kind

_IF_NOT_MEASURED = "If the design could not be measured, leave it out of tell()."
# The function of one design, or of a batch of designs; users annotate theirs as they like.
PlainFunction: TypeAlias = "Callable[..., object]"
RefPoint: TypeAlias = "Mapping[str, float] | Sequence[float]"


class FunctionProblem(Problem):
    """A plain function as a pymoo problem; `moela.problem` makes it.

    Designs are vectors of numbers: a real variable is its own code (with ``log``, its logarithm),
    an integer and the position of an option lie on whole numbers, False and True are 0 and 1, and
    a permutation has a key for each item. `decode` gives the dictionary that the function gets.

    Attributes
    ----------
    function : callable
    variables : dict of Variable by name
    variable_names : tuple of str
    outputs : Outputs
        Objectives and constraints.
    vectorized : bool
    version : str or None
    ref_point : float array [n_obj] or None
        As minimized: with the opposite sign for a maximized objective.
    objective_names : tuple of str
    """

    def __init__(
        self,
        function: PlainFunction,
        *,
        variables: Mapping[str, Variable],
        outputs: Outputs,
        vectorized: bool = False,
        ref_point: Floats | None = None,
        version: str | None = None,
    ) -> None:
        self._space = DesignSpace(variables)
        space = self._space
        super().__init__(
            n_var=space.n_var,
            n_obj=len(outputs.objectives),
            n_ieq_constr=len(outputs.constraints),
            xl=space.xl,
            xu=space.xu,
            vtype=float,
            elementwise=not vectorized,
        )
        self.function = function
        self.variables = dict(variables)
        self.variable_names = tuple(variables)  # in the order of the columns
        self.outputs = outputs
        self.vectorized = vectorized
        self.ref_point = ref_point
        self.version = version

    @property
    def objective_names(self) -> tuple[str, ...]:
        """Names of the objectives."""
        return tuple(objective.name for objective in self.outputs.objectives)

    @property
    def signs(self) -> Floats:
        """1 for each minimized objective and -1 for each maximized one, [n_obj]."""
        return np.array([objective.sign for objective in self.outputs.objectives])

    def name(self) -> str:
        """Return the name of the function."""
        return name_of(self.function)

    def __repr__(self) -> str:
        return self.describe()

    def __str__(self) -> str:
        return self.describe()

    def describe(self) -> str:
        """Return what variables, objectives and constraints mean, a line for each."""
        lines = [f"{self.name()}:", *described(self.variables)]
        for sense, verb in (("min", "minimize"), ("max", "maximize")):
            names = [goal.name for goal in self.outputs.objectives if goal.sense == sense]
            if names:
                lines.append(f"  {verb} {', '.join(names)}")
        if self.outputs.constraints:
            lines.append(f"  with {'; '.join(c.describe() for c in self.outputs.constraints)}")
        return "\n".join(lines)

    def operators(self) -> dict[str, Sampling | Crossover | Mutation | Repair]:
        """Return operators that make legal designs only, for genetic algorithms of pymoo.

        Differential evolution and particle swarms make their children themselves; give them
        `sampling` and `repair` only.
        """
        return {
            "sampling": DesignSampling(self._space),
            "crossover": DesignCrossover(self._space),
            "mutation": DesignMutation(self._space),
            "repair": DesignRepair(self._space),
        }

    def canonical(self, X: Designs) -> Designs:
        """Return designs [n, n_var] in the one form that equal designs share."""
        return self._space.settle(X)

    def features(self, X: Designs) -> Floats:
        """Return designs [n, n_var] as features in [0, 1] for learned models, [n, d]."""
        return self._space.features(X)

    def decode(self, x: Design) -> dict[str, object]:
        """Return a design [n_var] as the dictionary that the function gets."""
        x = np.asarray(x)
        if x.shape != (self.n_var,):
            raise ValueError(
                f"The 'x' parameter of decode must be one design, {self.n_var} numbers. Got shape "
                f"{x.shape} instead; pass a row, such as res.X[0]."
            )
        return self._space.decode(x[None])[0]

    def encode(self, design: Mapping[str, object]) -> Designs:
        """Return the vector [n_var] of a dictionary of variables, after checking it."""
        return self._space.encode(design)

    def read_designs(self, given: object, parameter: str) -> object:
        """Return dictionaries, fronts and tables of the variables as vectors; others as they are.

        A table of x0, x1, ..., or without names of columns, holds vectors.
        """
        if is_table(given) and not has_codes(self, given):
            given = records(self, given, parameter)
        elif not is_table(given):
            given = in_list(given)
        if not isinstance(given, list):
            return given
        return [
            encoded(self, design, i, parameter) if isinstance(design, Mapping) else design
            for i, design in enumerate(given)
        ]

    def record(self, individual: Individual, returned: object) -> None:
        """Write what the function returned for a design into its individual, for ask and tell.

        Parameters
        ----------
        individual : Individual
            Asked from an algorithm of pymoo or moela.
        returned : dict or sequence
            Objectives and constraints in your own units and signs, as the function returns them.

        Raises
        ------
        OutputError
            A ValueError: something is missing or is no number; the message names the design.
        TypeError
            `individual` is none, but a batch or a design.
        """
        if not isinstance(individual, Individual):
            raise TypeError(
                "The 'individual' parameter of record must be an individual of the batch from "
                f"ask(). Got {of_kind(individual)} instead; call record once for each: for "
                "individual in batch: ..."
            )
        answer = self.outputs.read(
            returned, self.decode(individual.X), self.name(), _IF_NOT_MEASURED
        )
        for key, value in {"F": answer.F, "G": answer.G, **answer.extra}.items():
            individual.set(key, value)
        individual.evaluated.update(("F", "G"))

    def failure_text(self, x: Design, error: str, status: str) -> str:
        """Return reason and design of a failed evaluation, for a message."""
        return f"({why(error, status)}) for the design {self.decode(x)!r}"

    def _evaluate(
        self, x: Designs, out: dict[str, object], *args: object, **kwargs: object
    ) -> None:
        if self.vectorized:
            self._evaluate_batch(x, out)
            return
        design = self.decode(x)
        try:
            returned = self.function(dict(design))
        except Exception as error:
            hint = misnamed(self.function, self.variables, error) or self._absent(error)
            error.add_note(f"The function was called with {design!r}.{hint}")
            raise
        answer = self.outputs.read(returned, design, self.name())
        out["F"], out["G"] = answer.F, answer.G
        out |= answer.extra

    def _absent(self, error: Exception) -> str:
        """Return a sentence about the variable that a KeyError misses, or an empty text."""
        name = error.args[0] if isinstance(error, KeyError) and error.args else None
        if not isinstance(name, str):
            return ""
        if name in self.variables:
            return f" The variable {name!r} exists{only_if(self.variables[name].when).lstrip(',')}."
        return nearest(name, self.variables)

    def _evaluate_elementwise(
        self, X: Designs, out: dict[str, object], *args: object, **kwargs: object
    ) -> None:
        call = self.elementwise_func(self, args, kwargs)
        fill_rows(list(self.elementwise_runner(call, X)), out)

    def _evaluate_batch(self, X: Designs, out: dict[str, object]) -> None:
        designs = self._space.decode(X)
        returned = self.function(self._space.batch(X))
        rows = []
        for i, part in enumerate(self.outputs.split(returned, len(X), self.name())):
            answer = self.outputs.read(part, designs[i], self.name())
            rows.append({"F": answer.F, "G": answer.G} | answer.extra)
        fill_rows(rows, out)


class BinaryFunctionProblem(FunctionProblem):
    """A function of booleans only; designs are arrays of booleans."""

    def __init__(self, function: PlainFunction, **settings: object) -> None:
        super().__init__(function, **settings)  # type: ignore[arg-type]
        self.vtype = bool

    def operators(self) -> dict[str, Sampling | Crossover | Mutation | Repair]:
        """Return operators for booleans."""
        return {
            "sampling": BinaryRandomSampling(),
            "crossover": UX(),
            "mutation": BitflipMutation(),
        }

    def canonical(self, X: Designs) -> Designs:
        """Return designs [n, n_var] as booleans."""
        return self._space.settle(X) > 0.5

    def encode(self, design: Mapping[str, object]) -> Designs:
        """Return the vector [n_var] of a dictionary of variables, after checking it."""
        return super().encode(design) > 0.5


class PermutationFunctionProblem(FunctionProblem):
    """A function of one permutation; designs are the numbers 0 to n_var - 1 in some order."""

    # Learned models have features of their own for permutations, see `moela.learning.permutations`.
    features = None  # type: ignore[assignment]

    def __init__(self, function: PlainFunction, **settings: object) -> None:
        super().__init__(function, **settings)  # type: ignore[arg-type]
        self.vtype = int
        self.xl, self.xu = np.zeros(self.n_var), np.full(self.n_var, self.n_var - 1.0)

    def operators(self) -> dict[str, Sampling | Crossover | Mutation | Repair]:
        """Return operators for permutations."""
        return {
            "sampling": PermutationRandomSampling(),
            "crossover": OrderCrossover(),
            "mutation": InversionMutation(),
        }

    def canonical(self, X: Designs) -> Designs:
        """Return designs [n, n_var] as permutations, rows of other numbers by their ranks."""
        X = np.array(X, ndmin=2)
        return X.argsort(axis=1, kind="stable").argsort(axis=1, kind="stable")

    def neighbors(self, x: Design, k: int, random_state: np.random.Generator) -> Designs:
        """Return k random neighbors of a design [n_var]."""
        return permutation_moves(np.asarray(x)[None], k, random_state)[0]

    def decode(self, x: Design) -> dict[str, object]:
        """Return a design [n_var] as the dictionary that the function gets."""
        return super().decode(self._keys(np.asarray(x)[None])[0])

    def encode(self, design: Mapping[str, object]) -> Designs:
        """Return the vector [n_var] of a dictionary of variables, after checking it."""
        return super().encode(design).argsort()

    def _keys(self, X: Designs) -> Floats:
        """Return the keys [n, n_var] by which items are in the order of X [n, n_var]."""
        return self.canonical(X).argsort(axis=1) / (self.n_var - 1.0)

    def _evaluate_batch(self, X: Designs, out: dict[str, object]) -> None:
        super()._evaluate_batch(self._keys(X), out)


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


def fill_rows(rows: Sequence[Mapping[str, object]], out: dict[str, object]) -> None:
    """Write the outputs of several designs into `out`; those that a design lacks are NaN or ""."""
    names = dict.fromkeys(name for row in rows for name in row)
    for name in names:
        present = [row[name] for row in rows if name in row]
        blank: object = "" if isinstance(present[0], str) else float("nan")
        values = [row.get(name, blank) for row in rows]
        try:
            out[name] = np.array(values)
        except ValueError:  # arrays of different lengths
            column = np.empty(len(values), dtype=object)
            column[:] = values
            out[name] = column


def why(error: str, status: str) -> str:
    """Return why an evaluation failed, on one line and without the design."""
    lines = own_message(error).splitlines() or [exception_of(error) or status]
    return lines[0].partition(WHERE)[0].strip().rstrip(".")
