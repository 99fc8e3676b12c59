"""Gaussian process on one of several descriptions of designs: the one that explains most."""

from __future__ import annotations

import numpy as np

from moela._arrays import Floats, Ints
from moela.bayesian.gaussian_process import GaussianProcess

# All groups are compared at so many first fits, and at one in so many later ones.
_FIRST, _EACH = 3, 5


def columns_of(descriptions: Ints) -> list[Ints]:
    """Return the columns of each description, from the description that each belongs to, [d]."""
    return [np.flatnonzero(descriptions == number) for number in np.unique(descriptions)]


class AlternativeProcesses(GaussianProcess):
    """A Gaussian process that uses one of several groups of columns, the one that fits best.

    Each group has a process of its own, with a single length scale. The one of the largest
    likelihood times prior is used. All are compared at the first fits and at some later ones.

    Parameters
    ----------
    groups : list of index arrays
        The columns of each group.
    """

    def __init__(self, groups: list[Ints]) -> None:
        super().__init__(sum(len(columns) for columns in groups))
        self.groups = groups
        self._processes = [GaussianProcess(len(columns), n_scales=1) for columns in groups]
        self._n_fits = 0
        self.used = 0

    @property
    def scales(self) -> Floats:
        """The length scale [1] of the last fit."""
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
