"""Building blocks of the rivals: new neighbors for searches, and restarts from the archive."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pymoo.core.population import Population

from moela._arrays import Design, Floats, Ints, rows
from moela.core.algorithm import ArchiveAlgorithm
from moela.core.origin import Part, set_origin

# Logarithm of the step of real variables, a thousandth to a third of their range: the published
# hypervolume-greedy searches are on discrete designs and have no step size to adapt.
STEP_LOG10 = (-3.0, -0.5)
# Number of moves after which a walk over duplicates is given up.
_MOVES = 8


def new_neighbors(
    algorithm: ArchiveAlgorithm,
    X: Sequence[Design],
    searches: Ints,
    k: int,
    part: Part,
    step: Floats | None = None,
) -> Population:
    """Propose up to k neighbors, not asked for before, of the design X of each search, [s].

    A duplicate is moved on, until it is new or was moved too often. Without that, searches in small
    spaces would stand still on local optima whose neighbors are known. The step size of real
    variables, [s], is drawn for each neighbor by default. Neighbors are grouped by search.
    """
    rng, context = algorithm.random_state, algorithm.context
    source = np.repeat(np.arange(len(X)), k)
    moved = rows(list(X))[source]
    new_X: list[Design] = []
    sources: list[Ints] = []
    for _ in range(_MOVES):
        steps = 10.0 ** rng.uniform(*STEP_LOG10, len(source)) if step is None else step[source]
        moved = context.neighbors(moved, 1, steps)[:, 0]
        new = context.duplicates.claim(moved)
        new_X.extend(moved[new])
        sources.append(source[new])
        source, moved = source[~new], moved[~new]
        if len(source) == 0:
            break
    index = np.concatenate(sources)
    if len(index) == 0:
        return Population.empty()
    order = np.argsort(index, kind="stable")
    pop = Population.new("X", rows(new_X)[order])
    set_origin(pop, part=part, search=searches[index[order]])
    return pop


def restarts(algorithm: ArchiveAlgorithm, n: int) -> Population:
    """Return children of random archive members, for when every neighbor is a duplicate.

    They may be duplicates themselves, so that an algorithm always has something to ask, even when
    the whole space has been evaluated.
    """
    size = len(algorithm.front)
    n_parents = max(algorithm.operators.n_parents, 2)
    parents = algorithm.random_state.integers(0, size, (n, n_parents))
    pop = algorithm.context.children(algorithm.front.pop, parents)
    set_origin(pop, part="restart")
    return pop
