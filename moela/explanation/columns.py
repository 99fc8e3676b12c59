"""Designs as columns: a number for each variable, and what a forest sees of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np

from moela._arrays import Bools, Floats
from moela.quality.words import shown

Kind = Literal["number", "label", "order"]
# Variables with more different labels are not worth a column each.
_MOST_LABELS = 50


class Column:
    """A variable of n designs.

    Attributes
    ----------
    name : str
    kind : {"number", "label", "order"}
    values : float array [n]
        A number, the position of a label in `labels`, or the position of an order in `orders`; NaN
        in designs in which the variable does not exist.
    labels : list of str
        Of labels, sorted.
    log : bool
        Whether a number is shown on a logarithmic scale.
    """

    def __init__(self, name: str, designs: Sequence[Mapping[str, object]], log: bool) -> None:
        self.name, self.log = name, log
        exists = np.array([name in design for design in designs])
        own = [design[name] for design in designs if name in design]
        self.kind: Kind = _kind(own)
        self.labels: list[str] = []
        self.orders: Floats = np.empty((0, 0))
        self.values = np.full(len(designs), np.nan)
        if self.kind == "number":
            self.values[exists] = np.array(own, dtype=float)
        elif self.kind == "label":
            texts = [_text(value) for value in own]
            self.labels = sorted(set(texts))
            at = {text: i for i, text in enumerate(self.labels)}
            self.values[exists] = [at[text] for text in texts]
        else:
            places = _places(own)
            self.orders, index = np.unique(places, axis=0, return_inverse=True)
            self.values[exists] = index.reshape(-1)

    @property
    def exists(self) -> Bools:
        """In which designs the variable exists, [n]."""
        return ~np.isnan(self.values)

    @property
    def varies(self) -> bool:
        """Whether the variable has different values, or exists in some designs only."""
        known = self.values[self.exists]
        return len(np.unique(known)) > 1 or 0 < len(known) < len(self.values)

    def features(self, values: Floats) -> Floats:
        """Return what a forest sees of values [n]: [n, d]."""
        if self.kind == "number":
            return values[:, None]
        exists = ~np.isnan(values)
        at = np.where(exists, values, 0).astype(np.intp)
        if self.kind == "order":
            return np.where(exists[:, None], self.orders[at], np.nan)
        if len(self.labels) > _MOST_LABELS:
            return values[:, None]
        return np.asarray((at[:, None] == np.arange(len(self.labels))) & exists[:, None], float)


def columns_of(designs: Sequence[Mapping[str, object]], log: Sequence[str] = ()) -> list[Column]:
    """Return a column for each variable of designs, in the order in which they first appear."""
    names = dict.fromkeys(name for design in designs for name in design)
    return [Column(name, designs, name in log) for name in names]


def _kind(values: Sequence[object]) -> Kind:
    numbers = all(
        isinstance(value, int | float | np.number) and not isinstance(value, bool | np.bool_)
        for value in values
    )
    if numbers:
        return "number"
    sizes = {len(value) if isinstance(value, list) else 0 for value in values}
    return "order" if len(sizes) == 1 and min(sizes) > 1 else "label"


def _places(orders: Sequence[object]) -> Floats:
    """Return the place of each item in orders [n] of the same items, [n, m]."""
    texts = [[_text(item) for item in order] for order in orders]  # type: ignore[attr-defined]
    at = {text: j for j, text in enumerate(sorted(set(texts[0])))}
    places = np.zeros((len(texts), len(texts[0])))
    for i, row in enumerate(texts):
        for place, text in enumerate(row):
            places[i, at.get(text, place)] = place
    return places


def _text(value: object) -> str:
    return value if isinstance(value, str) else shown(value)
