"""The compiled check of the rules of a design, except that it is connected."""

from __future__ import annotations

import numpy as np

from problems._arrays import Ints
from problems.noc.chip.jit import compiled, lean
from problems.noc.chip.tables import Tables

__all__ = ["first_illegal"]


@lean
def find_illegal(X: Ints, tables: Tables, degree: Ints, pe_used: Ints, link_used: Ints) -> int:
    """Return the first row that breaks a rule other than connectedness, or -1.

    ``degree`` [n_tiles] is scratch; ``pe_used`` [n_tiles] and ``link_used`` [n_candidates] hold the
    row in which each PE and each link was last used, -1 at first.
    """
    n = degree.size
    for i in range(X.shape[0]):
        row = X[i]
        for t in range(n):
            p = row[t]
            if p < 0 or p >= n or pe_used[p] == i or not tables.allowed[tables.pe_type[p], t]:
                return i
            pe_used[p] = i
            degree[t] = tables.vertical_degree[t]
        for k in range(tables.n_chosen):
            c = row[n + k]
            if c < 0 or c >= tables.n_candidates or link_used[c] == i:
                return i
            if (c < tables.n_planar_candidates) != (k < tables.n_planar):
                return i
            link_used[c] = i
            a, b = tables.link_a[c], tables.link_b[c]
            degree[a] += 1
            degree[b] += 1
            if degree[a] > tables.max_degree or degree[b] > tables.max_degree:
                return i
    return -1


@compiled
def first_illegal(X: Ints, tables: Tables) -> int:
    """Return the first row that breaks a rule other than connectedness, or -1."""
    degree = np.empty(tables.pe_type.size, np.int64)
    pe_used, link_used = np.full(degree.size, -1), np.full(tables.n_candidates, -1)
    return find_illegal(X, tables, degree, pe_used, link_used)
