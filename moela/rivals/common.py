"""What the rivals share: fresh neighbors with an owner, and the reference of their hypervolume."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from pymoo.core.population import Population
from pymoo.core.problem import Problem

from moela._arrays import Floats, Ints, rows
from moela.core.algorithm import ArchiveAlgorithm
from moela.core.archive import Archive
from moela.core.scaling import Frame

# Real variables move by a thousandth to a third of their range: the published hypervolume-greedy
# searches are on discrete designs and have no step size to adapt.
_STEP_LOG10 = (-3.0, -0.5)
_MOVES = 8  # after which a walk over known designs is given up


def reference_of(problem: Problem) -> Floats | None:
    """Return the problem's own reference point [M], or None."""
    point = getattr(problem, "ref_point", None)
    return None if point is None else np.asarray(point, dtype=float)


def fresh_neighbors(
    algorithm: ArchiveAlgorithm,
    X: Sequence[Any],
    owners: Ints,
    k: int,
    part: str,
    step: Floats | None = None,
) -> Population:
    """Propose up to k neighbors of each design that nobody has asked for yet.

    A neighbor that is known already is moved on, until it is new or was moved too often. Without
    that, searches in small spaces would stand still on local optima whose neighbors are known.

    Parameters
    ----------
    X : sequence of designs, [s]
    owners : int array, [s]
        What the neighbors carry as ``owner``, so that their answers are recognized.
    part : str
        What they carry as ``part``: the role that asked for them.
    step : float array, [s], optional
        Step size of real variables. Default: drawn anew for each neighbor.

    Returns
    -------
    Population, [at most s * k]
        Grouped by owner. Fewer than s * k where all that was reached is known.
    """
    rng = algorithm.random_state
    source = np.repeat(np.arange(len(X)), k)
    moved = rows(list(X))[source]
    found: list[Any] = []
    owned: list[Ints] = []
    for _ in range(_MOVES):
        if step is None:
            steps = 10.0 ** rng.uniform(*_STEP_LOG10, len(source))
        else:
            steps = step[source]
        moved = algorithm.operators.neighbors(algorithm.problem, moved, 1, rng, steps)[:, 0]
        new = algorithm.seen.claim(moved)
        found.extend(moved[new])
        owned.append(source[new])
        source, moved = source[~new], moved[~new]
        if len(source) == 0:
            break
    index = np.concatenate(owned)
    if len(index) == 0:
        return Population.empty()
    order = np.argsort(index, kind="stable")
    pop = Population.new("X", rows(found)[order])
    pop.set("owner", owners[index[order]])
    pop.set("part", part)
    return pop


def restarts(algorithm: ArchiveAlgorithm, n: int) -> Population:
    """Children of random archive members: what is asked where every neighbor is known already.

    They are not filtered, so that an algorithm always has something to ask, even when it has seen
    the whole space.
    """
    rng = algorithm.random_state
    size = len(algorithm.front)
    parents = rng.integers(0, size, (n, max(algorithm.operators.n_parents, 2)))
    pop = algorithm.operators.children(algorithm.problem, algorithm.front.pop, parents, rng)
    pop.set("owner", -1)
    pop.set("part", "restart")
    return pop


def learn_scale(frame: Frame, archive: Archive, F: Floats, CV: Floats) -> None:
    """Move the frame by new designs; infeasible ones count only while nothing is feasible."""
    frame.update(F[CV <= 0.0] if archive.feasible else F, archive)


def owners_of(pop: Population) -> Ints:
    """Read which search each answered design belongs to, -1 where it belongs to none."""
    return np.array(
        [-1 if ind.get("owner") is None else ind.get("owner") for ind in pop], dtype=int
    )
