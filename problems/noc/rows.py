"""Rows of X: their type and length, their rules, and the designs that they stand for."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from problems._arrays import Ints
from problems.noc.chip.platform import Platform
from problems.noc.design.design import Design
from problems.noc.design.rules import broken_row, whole_numbers

ADVICE = "An algorithm of pymoo needs the operators of the problem: NSGA2(**problem.operators())."


def rows_of(X: ArrayLike, platform: Platform) -> Ints:
    """Return X [n, n_var] or [n_var] as int64 rows [n, n_var]; ValueError if it has another form.

    X itself is returned if it is such an array.
    """
    # Compiled code takes one type of array; whole_numbers converts all others to it.
    plain = type(X) is np.ndarray and X.dtype == np.int64 and X.flags.carray
    try:
        rows: Ints = X if plain else whole_numbers(X, "X")  # type: ignore[assignment]
    except ValueError as error:
        raise ValueError(f"{error} {ADVICE}") from None
    rows = rows[None] if rows.ndim == 1 else rows
    n_var = platform.n_tiles + platform.n_chosen
    if rows.ndim != 2 or rows.shape[1] != n_var:
        raise ValueError(
            f"X must have {n_var} columns: {platform.n_tiles} PE ids, then "
            f"{platform.n_chosen} links. Got shape {np.shape(X)} instead."
        )
    return rows


def check_rows(rows: Ints, platform: Platform) -> None:
    """Raise a ValueError that names the first row that breaks a rule, the rule and the place."""
    for i, row in enumerate(rows):
        broken = broken_row(platform, row)
        if broken:
            raise ValueError(f"Row {i} of X breaks a rule: {broken} instead. {ADVICE}")


def canonical_rows(rows: Ints, platform: Platform) -> Ints:
    """Return a copy of rows with the links of each ascending: one row per design."""
    rows = rows.copy()
    # Vertical links have larger indices than planar ones, so both stay in their columns.
    rows[:, platform.n_tiles :].sort(axis=1)
    return rows


def design_of(row: Ints, platform: Platform) -> Design:
    """Return the design of a row that breaks no rule."""
    placement, links = np.split(row, [platform.n_tiles])
    return Design(placement, platform.candidates[links], platform)
