"""Designs as columns: a number for each variable, and what a forest sees of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from types import MappingProxyType
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from moela._arrays import Bools, Floats, Ints
from moela._spelling import printed, spelled

Kind = Literal["number", "label", "order"]
# Variables with more different labels are not worth a column each.
_MOST_LABELS = 50
# Stands for the label of a feature that belongs to no label.
_NO_LABEL = -1
NO_OPTIONS: Mapping[str, Sequence[object]] = MappingProxyType({})


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
    titles : list of str
        The labels as tables show them, in the order of the options of the variable.
    rank : int array
        The position of each label in `titles`.
    log : bool
        Whether a number is shown on a logarithmic scale.
    """

    def __init__(
        self,
        name: str,
        designs: Sequence[Mapping[str, object]],
        log: bool,
        options: Sequence[object] = (),
    ) -> None:
        self.name, self.log = name, log
        exists = np.array([name in design for design in designs])
        own = [design[name] for design in designs if name in design]
        self.kind: Kind = _kind(own, options)
        self.labels: list[str] = []
        self.titles: list[str] = []
        self.rank: Ints = np.empty(0, dtype=np.int64)
        self.orders: Floats = np.empty((0, 0))
        self.values = np.full(len(designs), np.nan)
        if self.kind == "number":
            self.values[exists] = np.array(own, dtype=float)
        elif self.kind == "label":
            texts = [_text(value) for value in own]
            self.labels = sorted(set(texts))
            at = {text: i for i, text in enumerate(self.labels)}
            self.values[exists] = [at[text] for text in texts]
            # A forest sees sorted labels; the order of the options is for the reader.
            named = {_text(option): printed(option) for option in options} | {
                text: printed(value) for text, value in zip(texts, own, strict=True)
            }
            ordered = [text for text in named if text in at]
            if not options:
                ordered.sort()
            self.titles = [named[text] for text in ordered]
            self.rank = np.array([ordered.index(text) for text in self.labels], dtype=np.int64)
        else:
            places = _places(own)
            self.orders, index = np.unique(places, axis=0, return_inverse=True)
            self.values[exists] = index.reshape(-1)

    @property
    def exists(self) -> Bools:
        """In which designs the variable exists, [n]."""
        return ~np.isnan(self.values)

    def scaled(self) -> Floats:
        """Return numbers mapped to 0 to 1, in the logarithm if `log`; others as they are, [n].

        Trees compare single-precision numbers, and take differences below 1e-7 for none.
        """
        low, width = self._range
        if self.kind != "number":
            return self.values
        # Halves, since the difference of two large numbers may overflow.
        return np.asarray((self._measured(self.values) / 2 - low / 2) / width)

    def restored(self, scaled: Floats) -> Floats:
        """Return the values of a variable that `scaled` maps to these [k]."""
        if self.kind != "number":
            return scaled
        low, width = self._range
        found = 2 * (low / 2 + width * scaled)
        return np.asarray(np.exp(found) if self._by_log else found)

    @property
    def _by_log(self) -> bool:
        return self.log and bool((self.values[self.exists] > 0).all())

    def _measured(self, values: Floats) -> Floats:
        return np.log(values) if self._by_log else values

    @cached_property
    def _range(self) -> tuple[float, float]:
        """Least number and half of the range, of 1 if there is none."""
        known = self._measured(self.values[self.exists])
        if self.kind != "number" or not len(known):
            return 0.0, 1.0
        low, high = float(known.min()), float(known.max())
        return low, (high / 2 - low / 2) or 1.0

    @property
    def varies(self) -> bool:
        """Whether the variable has different values, or exists in some designs only."""
        known = self.values[self.exists]
        return len(np.unique(known)) > 1 or 0 < len(known) < len(self.values)


class Features:
    """Features of a random forest, from the columns of designs.

    A number is one feature, a label is one feature for each of its values, and an order is one
    feature for the place of each item. All labels are compared in one operation: importances make
    thousands of predictions.

    Parameters
    ----------
    columns : list of Column
    """

    def __init__(self, columns: Sequence[Column]) -> None:
        source, label, self._orders = list[int](), list[int](), list[tuple[int, int, Floats]]()
        for j, column in enumerate(columns):
            if column.kind == "order":
                self._orders.append((len(source), j, column.orders))
                found = [_NO_LABEL] * column.orders.shape[1]
            elif column.kind == "label" and len(column.labels) <= _MOST_LABELS:
                found = list(range(len(column.labels)))
            else:
                found = [_NO_LABEL]
            source += [j] * len(found)
            label += found
        self._source = np.array(source, dtype=np.intp)
        is_label = np.array(label) != _NO_LABEL
        self._label_at = np.flatnonzero(is_label)
        self._label_source = self._source[is_label]
        self._label = np.array(label, dtype=float)[is_label]

    def __call__(self, X: Floats) -> NDArray[np.float32]:
        """Return the features [n, d] of scaled columns X [n, n_var], NaN where there is none."""
        found = X.astype(np.float32)[:, self._source]
        found[:, self._label_at] = X[:, self._label_source] == self._label
        for start, j, orders in self._orders:
            exists = ~np.isnan(X[:, j])
            at = np.where(exists, X[:, j], 0).astype(np.intp)
            places = np.where(exists[:, None], orders[at], np.nan)
            found[:, start : start + orders.shape[1]] = places
        return found


def columns_of(
    designs: Sequence[Mapping[str, object]],
    log: Sequence[str] = (),
    options: Mapping[str, Sequence[object]] = NO_OPTIONS,
) -> list[Column]:
    """Return a column for each variable of designs, in the order in which they first appear."""
    names = dict.fromkeys(name for design in designs for name in design)
    return [Column(name, designs, name in log, options.get(name, ())) for name in names]


def _kind(values: Sequence[object], options: Sequence[object]) -> Kind:
    """Return the kind of a variable; lists are orders only if all of them hold the same items."""
    numbers = all(
        isinstance(value, int | float | np.number) and not isinstance(value, bool | np.bool_)
        for value in values
    )
    if numbers:
        return "number"
    lists = [value for value in values if isinstance(value, list) and len(value) > 1]
    if options or len(lists) < len(values):
        return "label"
    return "order" if len({tuple(sorted(map(_text, items))) for items in lists}) == 1 else "label"


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
    return value if isinstance(value, str) else " ".join(spelled(value).split())
