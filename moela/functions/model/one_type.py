"""Plain functions of booleans only, and of one permutation, with designs of pymoo's own types."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from pymoo.core.crossover import Crossover
from pymoo.core.mutation import Mutation
from pymoo.core.repair import Repair
from pymoo.core.sampling import Sampling
from pymoo.operators.crossover.ox import OrderCrossover
from pymoo.operators.crossover.ux import UX
from pymoo.operators.mutation.bitflip import BitflipMutation
from pymoo.operators.mutation.inversion import InversionMutation
from pymoo.operators.sampling.rnd import BinaryRandomSampling, PermutationRandomSampling

from moela._arrays import Design, Designs, Floats
from moela._codes import permutation_moves
from moela.functions.model.function_problem import FunctionProblem, PlainFunction

__all__ = ["BinaryFunctionProblem", "PermutationFunctionProblem"]


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
