"""Operators for designs of plain functions, which never make an illegal design."""

from __future__ import annotations

import numpy as np
from pymoo.core.crossover import Crossover
from pymoo.core.mutation import Mutation
from pymoo.core.problem import Problem
from pymoo.core.repair import Repair
from pymoo.core.sampling import Sampling
from pymoo.operators.crossover.ox import OrderCrossover
from pymoo.operators.crossover.sbx import SBX
from pymoo.operators.crossover.ux import UX
from pymoo.operators.mutation.inversion import InversionMutation
from pymoo.operators.mutation.pm import PM

from moela._arrays import Designs, Floats, Ints
from moela._codes import Codes
from moela.functions.model.kinds import Boolean, Choice, Permutation, Real
from moela.functions.model.space import DesignSpace

# Distribution indices of pymoo's guides for real numbers, and for integers, whose steps must not be
# lost in rounding: of crossover and mutation.
_ETA_REAL, _ETA_STEPS = (15.0, 20.0), (3.0, 3.0)
# An order holds more than one number does, so it is changed at least this often.
_LEAST_PROB_ORDER = 0.3


class DesignSampling(Sampling):
    """Random designs of a space, every value of a variable equally likely."""

    def __init__(self, space: DesignSpace) -> None:
        super().__init__()
        self._space = space

    def _do(
        self,
        problem: Problem,
        n_samples: int,
        *,
        random_state: np.random.Generator,
        **kwargs: object,
    ) -> Floats:
        return self._space.sample(n_samples, random_state)


class DesignRepair(Repair):
    """Replaces each design by the closest one that exists."""

    def __init__(self, space: DesignSpace) -> None:
        super().__init__()
        self._space = space

    def _do(self, problem: Problem, X: Designs, **kwargs: object) -> Floats:
        return self._space.settle(X)


class _ByType:
    """The columns of a space by the type of its variables: numbers, labels, and orders."""

    def __init__(self, space: DesignSpace) -> None:
        self.space = space
        reals, steps, labels, whole = list[int](), list[int](), list[int](), list[int]()
        self.orders: list[slice] = []
        for name, variable in space.variables.items():
            at = space.slices[name]
            if isinstance(variable, Permutation):
                self.orders.append(at)
            elif isinstance(variable, Boolean) or (
                isinstance(variable, Choice) and not variable.ordered
            ):
                labels.append(at.start)
            else:
                (reals if isinstance(variable, Real) else steps).append(at.start)
                if not (isinstance(variable, Real) or getattr(variable, "log", False)):
                    whole.append(at.start)
        self.labels = np.array(labels, dtype=np.intp)
        keys = tuple(np.arange(at.start, at.stop) for at in self.orders)
        self.codes = Codes(self.labels, np.array(whole, dtype=np.intp), keys)
        # Columns, a problem with their bounds, and distribution indices.
        self.numbers = [
            (np.array(columns), _bounds(space, columns), etas)
            for columns, etas in ((reals, _ETA_REAL), (steps, _ETA_STEPS))
            if columns
        ]

    def filled(self, X: Designs, random_state: np.random.Generator, others: Designs) -> Floats:
        """Return settled designs [n, n_var]; variables that are absent have those of `others`.

        A variable that is absent in both has a random value: it may exist in a child.
        """
        X = self.space.settle(X)
        if not self.space.conditional:
            return X
        others = self.space.settle(others)
        drawn = self.space.sample(len(X), random_state)
        theirs = self.space.exists(others)
        for name, exists in self.space.exists(X).items():
            at = self.space.slices[name]
            there = np.where(theirs[name][:, None], others[:, at], drawn[:, at])
            X[:, at] = np.where(exists[:, None], X[:, at], there)
        return X


class DesignCrossover(Crossover):
    """Crosses each type of variable by pymoo's operator for it.

    Numbers are crossed by simulated binary crossover, options and booleans by uniform crossover,
    and orders by order crossover.
    """

    yields_to_real_mating = True  # see `moela.core.operators.resolve`

    def __init__(self, space: DesignSpace) -> None:
        super().__init__(2, 2, prob=0.9)
        self._types = _ByType(space)

    @property
    def codes(self) -> Codes:
        """Which columns hold labels, whole numbers, and keys of an order."""
        return self._types.codes

    def _do(
        self,
        problem: Problem,
        X: Designs,
        *args: object,
        random_state: np.random.Generator,
        **kwargs: object,
    ) -> Floats:
        types, draws = self._types, {"random_state": random_state}
        a, b = types.space.settle(X[0]), types.space.settle(X[1])
        X = np.stack([types.filled(a, random_state, b), types.filled(b, random_state, a)])
        out = X.copy()
        for columns, bounds, (eta, _) in types.numbers:
            out[:, :, columns] = SBX(eta=eta)._do(bounds, X[:, :, columns], **draws)
        if len(types.labels):
            out[:, :, types.labels] = UX()._do(problem, X[:, :, types.labels], **draws)
        for at in types.orders:
            children = OrderCrossover()._do(problem, _orders(X[:, :, at]), **draws)
            swapped = random_state.random(X.shape[1]) < 0.5  # orders and numbers are independent
            children[:, swapped] = children[::-1, swapped]
            out[:, :, at] = _keys(children)
        return np.asarray(out)


class DesignMutation(Mutation):
    """Changes each type of variable by pymoo's operator for it.

    Numbers change by polynomial mutation, options and booleans to another value, and in orders a
    part is reversed. A variable changes with probability 1 / (number of variables).
    """

    yields_to_real_mating = True  # see `moela.core.operators.resolve`

    def __init__(self, space: DesignSpace) -> None:
        super().__init__(prob=0.9)
        self._types = _ByType(space)

    def _do(
        self,
        problem: Problem,
        X: Designs,
        *args: object,
        random_state: np.random.Generator,
        **kwargs: object,
    ) -> Floats:
        types = self._types
        X = types.filled(X, random_state, X)
        prob = min(0.5, 1.0 / len(types.space.variables))
        for columns, bounds, (_, eta) in types.numbers:
            change = PM(eta=eta, prob_var=prob)
            X[:, columns] = change._do(bounds, X[:, columns], random_state=random_state)
        changed = np.zeros(X.shape, dtype=bool)
        changed[:, types.labels] = random_state.random((len(X), len(types.labels))) < prob
        types.codes.relabel(X, X, changed, problem.xl, problem.xu, random_state)
        for at in types.orders:
            change = InversionMutation(prob=max(prob, _LEAST_PROB_ORDER))
            orders = change._do(problem, _orders(X[:, at]), random_state=random_state)
            X[:, at] = _keys(orders)
        return np.asarray(X)


def _bounds(space: DesignSpace, columns: list[int]) -> Problem:
    return Problem(n_var=len(columns), n_obj=1, xl=space.xl[columns], xu=space.xu[columns])


def _orders(keys: Floats) -> Ints:
    """Return the orders [..., m] of items with these keys."""
    return keys.argsort(axis=-1, kind="stable")


def _keys(orders: Ints) -> Floats:
    """Return the keys [..., m] of the items in orders."""
    return np.asarray(orders.argsort(axis=-1) / (orders.shape[-1] - 1.0))
