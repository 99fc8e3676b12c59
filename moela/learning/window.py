"""Sliding window over the rows that a model learns from."""

from __future__ import annotations

from copy import copy, deepcopy

import numpy as np

from moela._arrays import Floats


class SharedFits:
    """Base of models whose deep copies share what is only ever replaced: rows and fits.

    `_mutable` names the attributes that copies need for themselves.
    """

    _mutable: tuple[str, ...] = ()

    def __deepcopy__(self, memo: dict[int, object]) -> SharedFits:
        copied = copy(self)
        for name in self._mutable:
            value = getattr(self, name)
            own = list(value) if isinstance(value, list) else deepcopy(value, memo)
            setattr(copied, name, own)
        return copied


def spread_of(Y: Floats) -> Floats:
    """Return the standard deviations [M] of Y [n, M], even if squares over- or underflow."""
    largest = np.abs(Y).max(axis=0)
    exponents = np.frexp(largest)[1]
    return np.ldexp(np.ldexp(Y, -exponents).std(axis=0), exponents)


class Window(SharedFits):
    """A sliding window over (input, target) batches, [b, d] and [b, M].

    It keeps at least the newest `size` rows; whole batches are dropped. `n_rows` counts these, too.
    """

    _mutable = ("inputs", "targets")

    def __init__(self, size: int) -> None:
        self.size = size
        self.inputs: list[Floats] = []
        self.targets: list[Floats] = []
        self.n_rows = self._n_kept = 0

    def add(self, inputs: Floats, targets: Floats) -> None:
        """Add a batch, [b, d] and [b, M]."""
        self.inputs.append(inputs)
        self.targets.append(targets)
        self.n_rows += len(inputs)
        self._n_kept += len(inputs)
        while self._n_kept - len(self.inputs[0]) >= self.size:
            self._n_kept -= len(self.inputs[0])
            del self.inputs[0], self.targets[0]

    def arrays(self) -> tuple[Floats, Floats]:
        """Return all rows of the window, [n, d] and [n, M]."""
        return np.concatenate(self.inputs), np.concatenate(self.targets)
