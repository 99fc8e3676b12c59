"""Which archived designs the next local searches start from."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from moela._arrays import Floats, rows
from moela.core.archive import Archive
from moela.core.scaling import Frame, Scalarization, scalarize
from moela.learning.features import Encoder
from moela.learning.start_model import StartModel
from moela.search.local_search import tries_of

_SHORTLIST = 10
_PROB_RANDOM = 0.1


def pick_starts(
    describe: Encoder,
    front: Archive,
    frame: Frame,
    W: Floats,
    by: Scalarization,
    model: StartModel | None,
    random_state: np.random.Generator,
) -> tuple[NDArray[np.int64], Floats]:
    """Pick an archived design for each row of weights W [n, M].

    The shortlist for some weights is the ten members that are best for them now. Of these the one
    is picked from which a search is expected to end lowest: its value now, less what the model
    promises that a search from there gains, as far as such promises have been kept. Where the model
    turns out to know nothing, that is the member that is best now. One start in ten is drawn from
    the shortlist, so that the model also sees what it would not pick. Designs with nothing new
    around them are left out.

    Returns
    -------
    chosen : int array, [n], or [0] where every archived design is exhausted
    promised : float array, [n] or [0]
        What the model promises that each search gains; NaN without a model.
    """
    fresh = np.flatnonzero([not ind.data.get("exhausted", False) for ind in front.pop])
    if len(fresh) == 0:
        return fresh, np.empty(0)
    n = len(W)
    order, now = shortlist(front.F[fresh], frame, W, by)
    listed, k = fresh[order], order.shape[1]
    choice = np.zeros(n, dtype=np.int64)
    promised = np.full((n, k), np.nan)
    if model is not None:
        if model.ready:
            members = listed.ravel()
            ends = model.predict(
                start_features(describe, front, members),
                front.F[members],
                W.repeat(k, axis=0),
                frame,
            ).reshape(n, k)
            promised = now - ends
            choice = (now - model.trust * promised).argmin(axis=1)
        drawn = random_state.random(n) < _PROB_RANDOM
        choice = np.where(drawn, random_state.integers(0, k, n), choice)
    at = np.arange(n)
    return listed[at, choice], promised[at, choice]


def shortlist(
    F: Floats, frame: Frame, W: Floats, by: Scalarization
) -> tuple[NDArray[np.int64], Floats]:
    """List the ten (or all) of F [m, M] that are best for each row of weights W [n, M], best first.

    Returns
    -------
    members : int array, [n, k]
    values : float array, [n, k]
        Their scalarized values.
    """
    value = scalarize(frame.scale(F)[None], W[:, None], by)
    order = value.argsort(axis=1, kind="stable")[:, :_SHORTLIST]
    return order, np.take_along_axis(value, order, axis=1)


def start_features(describe: Encoder, front: Archive, members: NDArray[np.int64]) -> Floats:
    """Describe archived designs to the start model: what they are, and how often they were tried.

    Returns
    -------
    float array, [b, d + 1]
    """
    pop = front.pop[members]
    tried = np.log1p(tries_of(pop))
    return np.column_stack([describe(rows([ind.X for ind in pop])), tried])
