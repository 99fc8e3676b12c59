"""The features of the designs of one platform and traffic, by name."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from problems._arrays import Floats, Ints
from problems.noc.chip.platform import Platform
from problems.noc.features.kernel import near_features_batch
from problems.noc.features.plan import FeaturePlan

__all__ = ["Description", "check_near"]


def check_near(near: ArrayLike, rows: Ints) -> None:
    """Check that near is of shape [n, k, n_var], for n rows [n, n_var]; else raise a ValueError."""
    shape, (n, n_var) = np.shape(near), rows.shape
    if len(shape) != 3 or (shape[0], shape[2]) != (n, n_var):
        raise ValueError(
            f"near must have shape ({n}, k, {n_var}), k neighbors of each design. Got {shape} "
            "instead."
        )


class Description:
    """Describes designs by a few dozen numbers, for learned models.

    Parameters
    ----------
    platform : Platform
    traffic : float array [n_tiles, n_tiles]
        From PE i to PE j.

    Attributes
    ----------
    names : tuple of str
        The features.
    """

    def __init__(self, platform: Platform, traffic: Floats) -> None:
        self._tables = platform.tables
        self._plan, self.names = FeaturePlan.of(platform, traffic)

    def features(self, rows: Ints) -> Floats | None:
        """Return the features of rows, [n, n_features]; None if a row breaks a rule.

        It does not look at whether networks are connected. Only what differs from a design before
        is counted again, so neighbors of one design in a row take little time.
        """
        if len(rows) == 0:
            return np.empty((0, len(self.names)))
        # As neighbors of the first one, so that one function less is compiled.
        features = self.neighbor_features(rows[:1], rows[None])
        return None if features is None else features[0]

    def neighbor_features(self, rows: Ints, near: Ints) -> Floats | None:
        """Return the features of neighbors [n, k, n_var] of rows, [n, k, n_features].

        They are those of `features`, in less time; None if a row or a neighbor breaks a rule.
        """
        out = np.empty((*near.shape[:2], len(self.names)))
        return out if near_features_batch(rows, near, self._tables, self._plan, out) else None
