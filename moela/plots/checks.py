"""Checks of what is drawn: fronts with the names of their objectives, and numbers by algorithm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike

from moela._arrays import Floats
from moela._checks import require


def fronts_of(
    owner: str, fronts: Mapping[str, ArrayLike], names: Sequence[str]
) -> dict[str, Floats]:
    """Return the fronts [n, M] of algorithms as arrays; n may be 0.

    Raises
    ------
    ValueError
        There is no front, or one is not an array of finite numbers [n, number of names].
    """
    m = _size(owner, names)
    some = isinstance(fronts, Mapping) and len(fronts) > 0
    form = f"a dictionary with a front, shape [n, {m}], for each algorithm: {{'ours': F}}"
    require(owner, "fronts", fronts, some, form)
    return {name: _front(owner, "fronts", name, F, m) for name, F in fronts.items()}


def runs_of(
    owner: str, runs: Mapping[str, Sequence[ArrayLike]], names: Sequence[str]
) -> dict[str, list[Floats]]:
    """Return the fronts [n, M] of the runs of algorithms as arrays, of which one has a point.

    Raises
    ------
    ValueError
        No front has a point, or one does not hold finite numbers, as many a point as there are
        names.
    """
    m = _size(owner, names)
    some = isinstance(runs, Mapping) and len(runs) > 0
    form = f"a dictionary with fronts [n, {m}] for each algorithm: {{'ours': [F1, F2]}}"
    require(owner, "runs", runs, some, form)
    out = {
        name: [_front(owner, "runs", name, F, m) for F in fronts] for name, fronts in runs.items()
    }
    full = any(len(F) for fronts in out.values() for F in fronts)
    require(owner, "runs", runs, full, "runs of which one has a point")
    return out


def samples_of(owner: str, name: str, given: Mapping[str, ArrayLike]) -> dict[str, Floats]:
    """Return numbers [n] of algorithms as arrays.

    Raises
    ------
    ValueError
        There are none, or they are no numbers.
    """
    some = isinstance(given, Mapping) and len(given) > 0
    form = "a dictionary with numbers for each algorithm: {'ours': [0.8, 0.9]}"
    require(owner, name, given, some, form)
    out = {}
    for algorithm, values in given.items():
        found = _numbers(values)
        holds = found is not None and found.ndim == 1 and len(found) > 0
        require(owner, name, {algorithm: values}, holds, form)
        assert found is not None
        out[algorithm] = found
    return out


def _size(owner: str, names: Sequence[str]) -> int:
    """Return the number of objectives, of which there are names."""
    holds = not isinstance(names, str) and len(names) > 0
    require(owner, "names", names, holds, "a list with a name for each objective")
    return len(names)


def _front(owner: str, parameter: str, name: str, F: ArrayLike, m: int) -> Floats:
    points = _numbers(F)
    if points is not None and points.size == 0:
        return np.empty((0, m))
    if points is None or points.shape != (len(points), m) or not np.isfinite(points).all():
        got = type(F).__name__
        if points is not None:
            rest = "" if np.isfinite(points).all() else " with values that are not finite"
            got = f"shape {points.shape}{rest}"
        raise ValueError(
            f"The '{parameter}' parameter of {owner} must hold finite objectives, shape [n, {m}], "
            f"as many as 'names'. Got {got} of {name!r} instead."
        )
    return points


def _numbers(given: ArrayLike) -> Floats | None:
    """Return numbers as an array of one or more dimensions, or None if they are none."""
    try:
        return np.atleast_1d(np.asarray(given, dtype=float))
    except (TypeError, ValueError):
        return None
