"""Sliding window over the rows that a model learns from."""

from __future__ import annotations

from copy import copy, deepcopy
from dataclasses import dataclass

import numpy as np

from moela._arrays import Floats

_ROUNDING = 1e-12
# Sums of squares that have shrunk to this share of their largest value are mostly rounding soon.
_SHRUNK = 1e-8


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

    def add(self, inputs: Floats, targets: Floats) -> list[Floats]:
        """Add a batch, [b, d] and [b, M]; return the inputs of the batches that are dropped."""
        dropped = []
        self.inputs.append(inputs)
        self.targets.append(targets)
        self.n_rows += len(inputs)
        self._n_kept += len(inputs)
        while self._n_kept - len(self.inputs[0]) >= self.size:
            self._n_kept -= len(self.inputs[0])
            dropped.append(self.inputs[0])
            del self.inputs[0], self.targets[0]
        return dropped

    def arrays(self) -> tuple[Floats, Floats]:
        """Return all rows of the window, [n, d] and [n, M]."""
        return np.concatenate(self.inputs), np.concatenate(self.targets)


@dataclass(frozen=True)
class Moments:
    """Sums over rows [n, d]: their number, their values [d], and their products [d, d].

    `largest` [d] holds the largest sums of squares since the sums were made from rows alone.
    """

    n_rows: float
    sums: Floats
    products: Floats
    largest: Floats

    @staticmethod
    def of(rows: Floats) -> Moments:
        """Return the sums over these rows [n, d]."""
        products = rows.T @ rows
        return Moments(float(len(rows)), rows.sum(axis=0), products, np.diagonal(products))

    @property
    def exact(self) -> bool:
        """Whether rounding, left by rows that were dropped, is small in every sum of squares."""
        return bool((np.diagonal(self.products) >= _SHRUNK * self.largest).all())

    def changed(self, added: Floats, dropped: Floats) -> Moments:
        """Return the sums with some rows more, [b, d], and some less, [e, d]."""
        more, less = Moments.of(added), Moments.of(dropped)
        products = self.products + more.products - less.products
        return Moments(
            self.n_rows + more.n_rows - less.n_rows,
            self.sums + more.sums - less.sums,
            products,
            np.maximum(self.largest, np.diagonal(products)),
        )

    def spread(self) -> Floats:
        """Return the standard deviations [d]; 0 for a column that does not vary."""
        square, mean = np.diagonal(self.products) / self.n_rows, self.sums / self.n_rows
        variance = square - mean**2
        # What is left of equal values is rounding.
        return np.sqrt(np.where(variance > _ROUNDING * square, variance, 0.0))
