"""The state of a run that all parts of an algorithm share."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from pymoo.core.population import Population
from pymoo.core.problem import Problem
from pymoo.core.repair import NoRepair

from moela._arrays import Designs, Floats, Ints, rows
from moela.core.duplicates import Duplicates
from moela.core.individuals import unevaluated
from moela.core.operators import Operators, neighbors_of
from moela.core.scaling import Normalization
from moela.core.units import Units


@dataclass
class SearchContext:
    """The surroundings of a search: problem, operators, known designs, and random state."""

    problem: Problem
    operators: Operators
    duplicates: Duplicates
    # An algorithm that restarts puts another one here.
    normalization: Normalization
    # The algorithm's own, so that the order of draws is part of the result.
    random_state: np.random.Generator
    # Of all objectives and violations, except those on individuals and in archives.
    units: Units = field(default_factory=Units)
    # Whether moves of bits include exchanges if there are constraints; see `neighbors_of`. In runs
    # of few evaluations they do not: most designs still hold what they can do without.
    exchange: bool = False

    def children(self, pop: Population, parents: Ints) -> Population:
        """Make one child of each row of `parents`; see `Operators.children`."""
        return self.operators.children(self.problem, pop, parents, self.random_state)

    def neighbors(self, X: Designs, k: int, step: Floats | float = 0.1) -> Designs:
        """Propose k neighbors of each row of X; see `neighbors_of`."""
        return neighbors_of(
            self.problem, self.operators, X, k, self.random_state, step, exchange=self.exchange
        )

    def repaired_rows(self, X: Floats) -> Floats:
        """Return repaired designs [b, n_var], without individuals if nothing is to repair."""
        if isinstance(self.operators.repair, NoRepair):
            return X
        return rows([ind.X for ind in self.repaired(X)]).astype(float)

    def repaired(self, X: Designs) -> Population:
        """Turn designs into repaired individuals, not yet evaluated."""
        pop = unevaluated(X)
        return self.operators.repair(self.problem, pop, random_state=self.random_state)
