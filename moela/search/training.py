"""Training of the models that rank moves, on evaluated designs."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from pymoo.core.population import Population

from moela._arrays import Floats, rows
from moela.core.origin import asked_by, origin_of, origins
from moela.core.scaling import Normalization
from moela.learning.features import Encoder
from moela.learning.move_ranking import MoveRanking
from moela.search.local_search import LocalSearches


def train_on_moves(
    move_ranking: MoveRanking,
    pop: Population,
    F: Floats,
    searches: LocalSearches,
    normalization: Normalization,
) -> None:
    """Update the move-ranking models with the observed effects of the evaluated moves [b].

    Moves are those of running searches, except perturbations, and those of Pareto local search.
    Call this before the searches advance.
    """
    has_move = np.array([origin_of(ind).move is not None for ind in pop])
    position = searches.positions(origins(pop, "search", np.int64))
    of_search = has_move & (position >= 0)
    is_move = of_search | (has_move & asked_by(pop, "pareto"))
    if not is_move.any():
        return
    pop, after, position = pop[is_move], F[is_move], position[is_move]
    own = of_search[is_move]
    before = np.array(
        [
            searches.F[at] if mine else origin_of(ind).base.F  # type: ignore[union-attr]
            for ind, at, mine in zip(pop, position, own, strict=True)
        ]
    )
    moves = origins(pop, "move")
    move_ranking.add_moves(moves, after - before)
    if own.any():
        W = searches.W[position[own]]

        def value(F: Floats) -> Floats:
            return normalization.scalarize(F, W, searches.by)

        _check(move_ranking, pop[own], moves[own], before[own], after[own], value)
    move_ranking.fit_if_due()


def _check(
    move_ranking: MoveRanking,
    pop: Population,
    moves: Floats,
    before: Floats,
    after: Floats,
    value: Callable[[Floats], Floats],
) -> None:
    """Compare the predicted effects of the moves [b, d] of searches with the observed ones."""
    incumbent = value(before)
    observed = value(after) - incumbent
    if not move_ranking.uses_hamming:
        at_random = origins(pop, "chosen_at_random", bool)
        predicted = origins(pop[at_random], "predicted_change")
        move_ranking.move_model.check(predicted, observed[at_random])
    if move_ranking.comparable:
        assert move_ranking.hamming_model is not None
        start = origins(pop, "features") - moves
        by_hamming = move_ranking.hamming_model.changes(start, moves[:, None])[:, 0]
        by_move_model = move_ranking.move_model.predict(moves)
        move_ranking.compare(
            value(before + by_move_model) - incumbent,
            value(before + by_hamming) - incumbent,
            observed,
        )


def train_on_designs(
    move_ranking: MoveRanking, encoder: Encoder, pop: Population, F: Floats
) -> None:
    """Update the Hamming-kernel model, if there is one, with evaluated designs [b]."""
    if move_ranking.hamming_model is None:
        return
    features = [origin_of(ind).features for ind in pop]
    missing = [i for i, row in enumerate(features) if row is None]
    if missing:
        computed = encoder(rows([pop[i].X for i in missing]))
        for i, row in zip(missing, computed, strict=True):
            features[i] = row
    move_ranking.add_designs(np.array(features), F)
