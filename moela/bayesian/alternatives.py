"""Gaussian process on one of several descriptions of designs: the one that explains most."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from moela._arrays import Bools, Floats, Ints
from moela.bayesian.gaussian_process import GaussianProcess

# All groups are compared at so many first fits, and at one in so many later ones.
_FIRST, _EACH = 3, 5


@dataclass(frozen=True)
class Descriptions:
    """Several descriptions of a design, side by side in its features.

    Attributes
    ----------
    number : int array [d]
        The description that each column belongs to, -1 if it belongs to all.
    scale : int array [d]
        Columns of a description that have the same number here share a length scale.
    """

    number: Ints
    scale: Ints

    def groups(self, used: Bools) -> list[tuple[Ints, Ints]]:
        """Return the columns of each description among those `used` [d], and their scales."""
        number, scale = self.number[used], self.scale[used]
        groups = []
        for each in np.unique(number[number >= 0]):
            columns = np.flatnonzero((number == each) | (number < 0))
            groups.append((columns, np.unique(scale[columns], return_inverse=True)[1]))
        return groups


class AlternativeProcesses(GaussianProcess):
    """A Gaussian process that uses one of several groups of columns, the one that fits best.

    Each group has a process of its own. The one of the largest likelihood times prior is used. All
    are compared at the first fits and at some later ones.

    Parameters
    ----------
    groups : list of pairs of int arrays
        The columns of each group, and the number of the length scale of each; see `Descriptions`.
    n_inputs : int
        Number of all columns.
    """

    def __init__(self, groups: list[tuple[Ints, Ints]], n_inputs: int) -> None:
        super().__init__(n_inputs)
        self.groups = [columns for columns, _ in groups]
        self._processes = [GaussianProcess(len(columns), scales) for columns, scales in groups]
        self._n_fits = 0
        self.used = 0

    @property
    def scales(self) -> Floats:
        """Length scales of the last fit."""
        return self._processes[self.used].scales

    @property
    def noise(self) -> float:
        """Variance of the noise of the last fit, relative to that of the process."""
        return self._processes[self.used].noise

    def fit(self, X: Floats, y: Floats) -> None:
        """Choose group, length scale and noise for rows X [n, d] with outputs y [n]."""
        everything = self._n_fits < _FIRST or self._n_fits % _EACH == 0
        self._n_fits += 1
        for i, process in enumerate(self._processes):
            if everything or i == self.used:
                process.fit(X[:, self.groups[i]], y)
        if everything:
            losses = [process.loss for process in self._processes]
            self.used = losses.index(min(losses))
        self.correlation = self._processes[self.used].correlation

    def learn(self, X: Floats, y: Floats) -> None:
        """Condition on rows X [n, d] with outputs y [n], as the last fit has chosen."""
        process = self._processes[self.used]
        process.learn(X[:, self.groups[self.used]], y)
        self.correlation = process.correlation

    def predict(self, X: Floats) -> tuple[Floats, Floats]:
        """Return mean and standard deviation, both [b], of the outputs of rows X [b, d]."""
        return self._processes[self.used].predict(X[:, self.groups[self.used]])
