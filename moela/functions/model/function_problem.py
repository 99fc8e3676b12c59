"""A plain function as a pymoo problem: its designs, its evaluation and what it returns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

import numpy as np
from pymoo.core.crossover import Crossover
from pymoo.core.individual import Individual
from pymoo.core.mutation import Mutation
from pymoo.core.problem import Problem
from pymoo.core.repair import Repair
from pymoo.core.sampling import Sampling

from moela._arrays import Design, Designs, Floats, column
from moela._spelling import spelled
from moela._tracebacks import exception_of
from moela.functions.model.calls import misnamed, name_of
from moela.functions.model.given import encoded, has_codes, in_list, is_table, records
from moela.functions.model.kinds import Variable, only_if
from moela.functions.model.operators import (
    DesignCrossover,
    DesignMutation,
    DesignRepair,
    DesignSampling,
)
from moela.functions.model.outputs import WHERE, Outputs, own_message
from moela.functions.model.reading import described
from moela.functions.model.space import DesignSpace
from moela.quality.words import nearest, of_kind

_IF_NOT_MEASURED = "If the design could not be measured, leave it out of tell()."
# The function of one design, or of a batch of designs; users annotate theirs as they like.
PlainFunction: TypeAlias = "Callable[..., object]"


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

    @property
    def size(self) -> int | None:
        """Number of different designs; None if they are infinitely many, or cannot be counted."""
        return self._space.size()

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
        return f"({why(error, status)}) for the design {spelled(self.decode(x))}"

    def _evaluate(
        self, x: Designs, out: dict[str, object], *args: object, **kwargs: object
    ) -> None:
        if self.vectorized:
            self._evaluate_batch(x, out)
            return
        design = self.decode(x)
        try:
            returned = self.function(self._space.given(design))
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            hint = misnamed(self.function, self.variables, error) or self._absent(error)
            error.add_note(f"The function was called with {spelled(design)}.{hint}")
            raise
        answer = self.outputs.read(returned, design, self.name())
        out["F"], out["G"] = answer.F, answer.G
        out |= answer.extra

    def _absent(self, error: BaseException) -> str:
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


def fill_rows(rows: Sequence[Mapping[str, object]], out: dict[str, object]) -> None:
    """Write the outputs of several designs into `out`; those that a design lacks are NaN or ""."""
    names = dict.fromkeys(name for row in rows for name in row)
    for name in names:
        present = [row[name] for row in rows if name in row]
        blank: object = "" if isinstance(present[0], str) else float("nan")
        values = [row.get(name, blank) for row in rows]
        out[name] = np.array(values) if name in ("F", "G") else column(values)


def why(error: str, status: str) -> str:
    """Return why an evaluation failed, on one line and without the design."""
    lines = own_message(error).splitlines() or [exception_of(error) or status]
    return lines[0].partition(WHERE)[0].strip().rstrip(".")
