"""Slices: how an objective changes with one variable, by a forest on everything evaluated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.inspection import partial_dependence

from moela._arrays import Floats
from moela._threads import one_thread
from moela.explanation.columns import Column
from moela.explanation.forest import DesignForest, matrix

_N_POINTS = 25
# Share of the values at both ends that a slice of numbers leaves out: few designs are there.
_ENDS = 0.01
# Designs over which a slice is averaged, at most.
_MOST_DESIGNS = 500


@dataclass(frozen=True)
class Slice:
    """The mean of an objective over designs that differ in one variable only from those evaluated.

    Attributes
    ----------
    at : float array [k]
        Values of the variable, or positions of its labels.
    mean : float array [k]
        Prediction for each value, averaged over the other variables of the evaluated designs.
    """

    at: Floats
    mean: Floats


def slice_of(
    forest: DesignForest, columns: Sequence[Column], j: int, random_state: int
) -> Slice | None:
    """Return the partial dependence of a fitted forest on column j; None for an order.

    Only designs in which the variable exists are averaged over.

    References
    ----------
    Friedman 2001, "Greedy function approximation: a gradient boosting machine", Annals of
    Statistics 29(5).
    """
    column = columns[j]
    rows = np.flatnonzero(column.exists)
    if column.kind == "order" or len(np.unique(column.values[rows])) < 2:
        return None
    if len(rows) > _MOST_DESIGNS:
        rows = np.random.default_rng(random_state).choice(rows, _MOST_DESIGNS, replace=False)
    with one_thread():
        found = partial_dependence(
            forest, matrix(columns)[rows], [j], kind="average", method="brute",
            percentiles=(_ENDS, 1 - _ENDS), grid_resolution=_N_POINTS,
            categorical_features=[j] if column.kind == "label" else None,
        )  # fmt: skip
    at = column.restored(np.asarray(found["grid_values"][0], float))
    known = np.unique(column.values[rows])
    # Few values are their own grid; scaling them there and back would round them.
    return Slice(known if len(known) == len(at) else at, np.asarray(found["average"][0]))
