"""Operators for designs of plain functions, which never make an illegal design."""

from __future__ import annotations

import numpy as np
from pymoo.core.problem import Problem
from pymoo.core.repair import Repair
from pymoo.core.sampling import Sampling

from moela._arrays import Designs, Floats
from moela.functions.model.space import DesignSpace


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


def permutation_moves(x: Designs, k: int, random_state: np.random.Generator) -> Designs:
    """Return k neighbors of a permutation x [m]: an exchange, a move, or a reversed part."""
    m = len(x)
    out = np.tile(x, (k, 1))
    kinds = random_state.integers(0, 3, k)
    places = np.sort(
        np.array([random_state.choice(m, 2, replace=False) for _ in range(k)]).reshape(k, 2), axis=1
    )
    for row, kind, (i, j) in zip(out, kinds.tolist(), places.tolist(), strict=True):
        if kind == 0:
            row[[i, j]] = row[[j, i]]
        elif kind == 1:
            row[i : j + 1] = np.roll(row[i : j + 1], 1 if random_state.random() < 0.5 else -1)
        else:
            row[i : j + 1] = row[i : j + 1][::-1].copy()
    return out
