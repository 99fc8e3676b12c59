"""What evaluated designs teach the models that rank moves."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from pymoo.core.population import Population

from moela._arrays import Floats, rows
from moela.core.scaling import Frame, scalarize
from moela.learning.features import Encoder
from moela.learning.move_ranking import Ranking
from moela.search.local_search import LocalSearches


def teach_moves(
    ranking: Ranking, pop: Population, F: Floats, searches: LocalSearches, frame: Frame
) -> None:
    """Tell what came of the moves among evaluated designs [b], before the searches move on.

    Moves are those of running searches, kicks left out, and those of Pareto search.
    """
    standing = dict(zip(searches.ids.tolist(), range(len(searches)), strict=True))
    made: list[int] = []
    stood: list[int] = []
    old: list[Floats] = []
    for i, ind in enumerate(pop):
        part = ind.data.get("part")
        at = standing.get(ind.data.get("search")) if part == "search" else None
        if at is not None and not searches.pending[at]:
            made.append(i)
            stood.append(at)
            old.append(searches.F[at])
        elif part == "pareto":
            made.append(i)
            stood.append(-1)
            old.append(ind.data["base"].F)
    if not made:
        return
    before, after = np.array(old), F[made]
    moves = np.array([ind.data["move"] for ind in pop[made]])
    ranking.learn_moves(moves, after - before)
    own = np.array(stood) >= 0
    if own.any():
        W = searches.W[np.array(stood)[own]]

        def value(F: Floats) -> Floats:
            return scalarize(frame.scale(F), W, searches.by)

        _check(ranking, pop[made][own], moves[own], before[own], after[own], value)
    ranking.fit_if_due()


def _check(
    ranking: Ranking,
    pop: Population,
    moves: Floats,
    before: Floats,
    after: Floats,
    value: Callable[[Floats], Floats],
) -> None:
    """Compare what was expected of moves [b, d] of searches with what came of them."""
    now = value(before)
    measured = value(after) - now
    if not ranking.by_landscape:
        blind = np.array([bool(ind.data.get("blind")) for ind in pop])
        predicted = np.array([ind.data["predicted"] for ind in pop[blind]])
        ranking.moves.check(predicted, measured[blind])
    if ranking.both:
        assert ranking.landscape is not None
        features = np.array([ind.data["features"] for ind in pop])
        by_landscape = ranking.landscape.changes(features - moves, moves[:, None])[:, 0]
        by_moves = ranking.moves.predict(moves)
        ranking.compare(
            value(before + by_moves) - now, value(before + by_landscape) - now, measured
        )


def teach_designs(ranking: Ranking, describe: Encoder, pop: Population, F: Floats) -> None:
    """Tell what evaluated designs [b] are worth, if there is a model that wants to know."""
    if ranking.landscape is None:
        return
    features = [ind.data.get("features") for ind in pop]
    bare = [i for i, row in enumerate(features) if row is None]
    if bare:
        described = describe(rows([pop[i].X for i in bare]))
        for i, row in zip(bare, described, strict=True):
            features[i] = row
    ranking.learn_designs(np.array(features), F)
