"""MOELA with perfect predictions of moves, to show how much a better model of moves could gain."""

from __future__ import annotations

from types import MethodType
from typing import Any

import numpy as np

from moela import MOELA
from moela._arrays import Designs, Floats
from moela.learning.features import Encoder


class PerfectMoves(MOELA):
    """MOELA that knows objectives and constraints of all candidates; only chosen ones are counted.

    It begins to rank moves when MOELA's own model would. For problems without equality constraints.
    """

    def _begin(self) -> None:
        super()._begin()
        screening = self.guided.screening
        known = _KnowingEncoder(self.guided.encoder)
        self.guided.encoder = screening.encoder = known

        def changes(_: Any, features: Floats, near: Floats) -> tuple[Floats, Floats | None]:
            change = known.values(near) - known.values(features)[:, None]
            F, G = np.split(change, [self.problem.n_obj], axis=-1)
            return F, G if G.shape[-1] else None

        screening._changes = MethodType(changes, screening)  # type: ignore[method-assign]


class _KnowingEncoder(Encoder):
    """An encoder that evaluates each design it describes, and finds it by its features."""

    def __init__(self, encoder: Encoder) -> None:
        self.__dict__.update(encoder.__dict__)
        self._values: dict[bytes, Floats] = {}

    def __call__(self, X: Designs) -> Floats:
        """Return the features [n, d] of designs X [n, ...]."""
        features = super().__call__(X)
        self._learn(features, X)
        return features

    def near(self, X: Designs, near: Designs) -> Floats:
        """Return the features [n, k, d] of the neighbors near [n, k, ...] of designs X [n, ...]."""
        features = super().near(X, near)
        self._learn(features, near)
        return features

    def values(self, features: Floats) -> Floats:
        """Return objectives and constraints [..., M + c] of designs with features [..., d]."""
        flat = features.reshape(-1, features.shape[-1])
        values = np.array([self._values[row.tobytes()] for row in flat])
        return values.reshape(*features.shape[:-1], -1)

    def _learn(self, features: Floats, X: Designs) -> None:
        found = self.problem.evaluate(
            X.reshape(-1, self.problem.n_var), return_values_of=["F", "G"]
        )
        values = np.concatenate(found, axis=1)
        keys = (row.tobytes() for row in features.reshape(len(values), -1))
        self._values.update(zip(keys, values, strict=True))
