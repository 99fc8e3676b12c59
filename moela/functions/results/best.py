"""Which of the evaluated designs are the best ones: the front, or the least violations."""

from __future__ import annotations

import moocore
import numpy as np

from moela._arrays import Floats, Ints

# Designs that stand for a front while no design is feasible, at least, if there are so many.
FEWEST = 5


def best_rows(F: Floats, CV: Floats) -> Ints:
    """Return the rows of the best designs with objectives F [n, M] and violations CV [n].

    If some design is feasible, these are the non-dominated feasible ones, best first in the first
    objective. With one objective, it is the first of the best ones. Else they are those of
    `least_violating`.

    Examples
    --------
    >>> import numpy as np
    >>> from moela.functions.results.best import best_rows
    >>> best_rows(np.array([[1.0, 1.0], [0.0, 2.0], [2.0, 2.0]]), np.array([0.0, 0.0, 0.0]))
    array([1, 0])
    """
    rows = np.flatnonzero(CV <= 0)
    if len(rows) == 0:
        return least_violating(F, CV)
    if F.shape[1] == 1:
        return rows[[int(F[rows, 0].argmin())]]
    return rows[_front(F[rows])]


def least_violating(F: Floats, CV: Floats) -> Ints:
    """Return the rows of the designs of least violation CV [n], with objectives F [n, M].

    First come all that are non-dominated among those of the very least violation. If these are
    fewer than five, others follow: those of less violation first, and of equal violations those
    that fewer layers of designs dominate.
    """
    if len(F) == 0:
        return np.empty(0, dtype=np.int64)
    least = np.flatnonzero(CV == CV.min())
    rows = least[_front(F[least])].tolist()
    for violation in np.unique(CV).tolist():
        if len(rows) >= FEWEST:
            break
        equal = np.flatnonzero(violation == CV)
        layers = np.asarray(moocore.pareto_rank(F[equal]))
        ordered = equal[np.lexsort((F[equal, 0], layers))].tolist()
        known = set(rows)
        rows += [i for i in ordered if i not in known][: FEWEST - len(rows)]
    return np.array(rows, dtype=np.int64)


def _front(F: Floats) -> Ints:
    """Return the rows of the non-dominated points, best first in the first objective."""
    if F.shape[1] == 1:
        return np.array([int(F[:, 0].argmin())])
    keep = np.flatnonzero(moocore.is_nondominated(F))
    return keep[np.lexsort(F[keep].T[::-1])]
