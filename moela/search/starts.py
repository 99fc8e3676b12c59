"""Choice of the archived designs that local searches start from."""

from __future__ import annotations

import numpy as np

from moela._arrays import Floats, Ints, rows
from moela.core.archive import Archive
from moela.core.context import SearchContext
from moela.core.scaling import Normalization, Scalarization
from moela.learning.features import Encoder
from moela.learning.start_model import StartModel
from moela.search.local_search import is_exhausted, tries_of

_SHORTLIST = 10
_PROB_RANDOM = 0.1


def pick_starts(
    context: SearchContext,
    encoder: Encoder,
    front: Archive,
    W: Floats,
    by: Scalarization,
    model: StartModel | None,
) -> tuple[Ints, Floats]:
    """Pick an archived design for each row of weights W [n, M].

    The shortlist for some weights is the ten members with the best values. From it, the member is
    picked whose search is expected to end lowest: its value, less the gain that the model predicts
    times the calibration of such predictions. With a calibration of 0 that is the best member. One
    start in ten is drawn from the shortlist at random, so that the model also learns about starts
    that it would not pick. Exhausted designs, without new neighbors, are left out.

    Returns the designs [n], and the gain that the model predicts for each search, NaN without a
    model [n]; both are [0] if every archived design is exhausted.
    """
    fresh = np.flatnonzero([not is_exhausted(ind) for ind in front.pop])
    if len(fresh) == 0:
        return fresh, np.empty(0)
    n, rng = len(W), context.random_state
    F = front.working_F
    order, values = shortlist(F[fresh], context.normalization, W, by)
    listed, k = fresh[order], order.shape[1]
    choice = np.zeros(n, dtype=np.int64)
    predicted = np.full((n, k), np.nan)
    if model is not None:
        if model.ready:
            members = listed.ravel()
            ends = model.predict(
                start_features(encoder, front, members),
                F[members],
                W.repeat(k, axis=0),
                context.normalization,
            ).reshape(n, k)
            start_F = context.normalization.learned(F[listed])
            predicted = context.normalization.scalarize(start_F, W[:, None], by) - ends
            choice = (values - model.calibration * predicted).argmin(axis=1)
        drawn = rng.random(n) < _PROB_RANDOM
        choice = np.where(drawn, rng.integers(0, k, n), choice)
    each = np.arange(n)
    return listed[each, choice], predicted[each, choice]


def shortlist(
    F: Floats, normalization: Normalization, W: Floats, by: Scalarization
) -> tuple[Ints, Floats]:
    """List the ten (or all) best of F [m, M] for each row of weights W [n, M], best first.

    Returns their indices and their scalarized values, both [n, k].
    """
    value = normalization.scalarize(F[None], W[:, None], by)
    order = value.argsort(axis=1, kind="stable")[:, :_SHORTLIST]
    return order, np.take_along_axis(value, order, axis=1)


def start_features(encoder: Encoder, front: Archive, members: Ints) -> Floats:
    """Return the start model's inputs: features, and log of neighbors evaluated, [b, d + 1]."""
    pop = front.pop[members]
    return np.column_stack([encoder(rows([ind.X for ind in pop])), np.log1p(tries_of(pop))])
