"""Small problems for the conformance checks, one for each type of variables."""

from __future__ import annotations

import numpy as np
from pymoo.core.problem import Problem
from pymoo.core.variable import Binary, Choice, Integer, Real
from pymoo.operators.crossover.ox import OrderCrossover
from pymoo.operators.mutation.inversion import InversionMutation
from pymoo.operators.sampling.rnd import PermutationRandomSampling

from moela._arrays import Designs, Floats

Out = dict[str, Floats]


class ToyReal(Problem):
    """Distances to two points in a box of real numbers (Schaffer's problem in 5 dimensions).

    Parameters
    ----------
    scale : float
        Factor on the second objective.

    Examples
    --------
    >>> import numpy as np
    >>> from moela.testing import ToyReal
    >>> ToyReal().evaluate(np.zeros((3, 5))).shape
    (3, 2)
    """

    def __init__(self, scale: float = 1.0) -> None:
        super().__init__(n_var=5, n_obj=2, xl=-1.0, xu=2.0, vtype=float)
        self.scale = scale

    def _evaluate(self, x: Designs, out: Out, *args: object, **kwargs: object) -> None:
        near = (x**2).sum(axis=1)
        far = ((x - 1.0) ** 2).sum(axis=1)
        out["F"] = np.column_stack([near, self.scale * far])


class ToyInteger(Problem):
    """The same with integers, and a third objective.

    Examples
    --------
    >>> from moela.testing import ToyInteger
    >>> problem = ToyInteger()
    >>> problem.vtype, problem.n_obj
    (<class 'int'>, 3)
    """

    def __init__(self) -> None:
        super().__init__(n_var=4, n_obj=3, xl=0, xu=20, vtype=int)

    def _evaluate(self, x: Designs, out: Out, *args: object, **kwargs: object) -> None:
        out["F"] = np.column_stack([((x - a) ** 2).sum(axis=1) for a in (3, 9, 17)]).astype(float)


class ToyBinary(Problem):
    """Leading ones against trailing zeros (LOTZ), 14 bits.

    Examples
    --------
    >>> from moela.testing import ToyBinary
    >>> problem = ToyBinary()
    >>> problem.n_var, problem.n_obj
    (14, 2)
    """

    def __init__(self) -> None:
        super().__init__(n_var=14, n_obj=2, xl=0, xu=1, vtype=bool)

    def _evaluate(self, x: Designs, out: Out, *args: object, **kwargs: object) -> None:
        bits = x.astype(bool)
        ones = np.cumprod(bits, axis=1).sum(axis=1)
        zeros = np.cumprod(~bits[:, ::-1], axis=1).sum(axis=1)
        out["F"] = -np.column_stack([ones, zeros]).astype(float)


class ToyPermutation(Problem):
    """A quadratic assignment problem of 8 facilities with two flow matrices.

    It defines its operators, which pymoo cannot derive from the type of the variables.

    Examples
    --------
    >>> from moela.testing import ToyPermutation
    >>> problem = ToyPermutation()
    >>> sorted(problem.operators())
    ['crossover', 'mutation', 'sampling']
    """

    def __init__(self) -> None:
        super().__init__(n_var=8, n_obj=2, xl=0, xu=7, vtype=int)
        rng = np.random.default_rng(8)
        self.distance = rng.integers(1, 20, (8, 8))
        self.flows = rng.integers(0, 20, (2, 8, 8))

    def _evaluate(self, x: Designs, out: Out, *args: object, **kwargs: object) -> None:
        apart = self.distance[x[:, :, None], x[:, None, :]]
        out["F"] = np.column_stack([(apart * flow).sum(axis=(1, 2)) for flow in self.flows]) * 1.0

    def operators(self) -> dict[str, object]:
        """Return operators that keep permutations."""
        return {
            "sampling": PermutationRandomSampling(),
            "crossover": OrderCrossover(),
            "mutation": InversionMutation(),
        }

    def check(self, X: Designs) -> None:
        """Raise a ValueError if a row is not a permutation."""
        bad = np.flatnonzero((np.sort(X, axis=1) != np.arange(8)).any(axis=1))
        if len(bad):
            raise ValueError(
                f"Row {bad[0]} must be a permutation of 0 .. 7. Got {X[bad[0]]} instead."
            )


class ToyConstrained(Problem):
    """Two distances in a box, about a sixth of which is feasible (after Binh and Korn).

    Examples
    --------
    >>> from moela.testing import ToyConstrained
    >>> ToyConstrained().n_ieq_constr
    2
    """

    def __init__(self) -> None:
        super().__init__(n_var=2, n_obj=2, n_ieq_constr=2, xl=0.0, xu=5.0, vtype=float)

    def _evaluate(self, x: Designs, out: Out, *args: object, **kwargs: object) -> None:
        out["F"] = np.column_stack([4.0 * (x**2).sum(axis=1), ((x - 5.0) ** 2).sum(axis=1)])
        inner = (x[:, 0] - 5.0) ** 2 + x[:, 1] ** 2 - 16.0
        outer = 8.0 - (x[:, 0] - 1.0) ** 2 - (x[:, 1] + 3.0) ** 2 + x[:, 1]
        out["G"] = np.column_stack([inner, outer])


class ToyInfeasible(Problem):
    """A problem without a feasible design, whose least violation is 0.1.

    Examples
    --------
    >>> from pymoo.optimize import minimize
    >>> from moela import MOELA
    >>> from moela.testing import ToyInfeasible
    >>> minimize(ToyInfeasible(), MOELA(), ("n_eval", 100), seed=1).F is None
    True
    """

    def __init__(self) -> None:
        super().__init__(n_var=3, n_obj=2, n_ieq_constr=1, xl=0.0, xu=1.0, vtype=float)

    def _evaluate(self, x: Designs, out: Out, *args: object, **kwargs: object) -> None:
        out["F"] = np.column_stack([x[:, 0], 1.0 - x[:, 0] + x[:, 1]])
        out["G"] = 0.1 + ((x - 0.3) ** 2).sum(axis=1, keepdims=True)


class ToyMixed(Problem):
    """A real, an integer, a binary and a choice variable.

    Examples
    --------
    >>> from moela.testing import ToyMixed
    >>> [type(variable).__name__ for variable in ToyMixed().vars.values()]
    ['Real', 'Integer', 'Binary', 'Choice']
    """

    def __init__(self) -> None:
        super().__init__(
            vars={
                "width": Real(bounds=(0.0, 4.0)),
                "layers": Integer(bounds=(1, 12)),
                "sealed": Binary(),
                "metal": Choice(options=["copper", "tin", "zinc"]),
            },
            n_obj=2,
        )

    def _evaluate(self, x: Designs, out: Out, *args: object, **kwargs: object) -> None:
        price = {"copper": 3.0, "tin": 2.0, "zinc": 1.0}
        loss = {"copper": 0.5, "tin": 1.5, "zinc": 2.0}
        rows = []
        for design in x:
            size = design["width"] * design["layers"] + (1.0 if design["sealed"] else 0.0)
            dissipated = loss[design["metal"]] * (2.0 - design["sealed"]) / (0.5 + size)
            rows.append([size * price[design["metal"]], dissipated])
        out["F"] = np.array(rows).reshape(len(rows), 2)


def toy_problems() -> list[Problem]:
    """Return a problem for each type of variables, and one with constraints.

    Returns
    -------
    list of Problem

    Examples
    --------
    >>> from moela.testing import toy_problems
    >>> [type(problem).__name__ for problem in toy_problems()]
    ['ToyReal', 'ToyInteger', 'ToyBinary', 'ToyPermutation', 'ToyConstrained', 'ToyMixed']
    """
    return [ToyReal(), ToyInteger(), ToyBinary(), ToyPermutation(), ToyConstrained(), ToyMixed()]
