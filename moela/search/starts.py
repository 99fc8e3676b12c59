"""Choice of the archived designs that local searches and Pareto local search look around."""

from __future__ import annotations

import numpy as np

from moela._arrays import Floats, Ints, rows
from moela.core.archive import Archive
from moela.core.context import SearchContext
from moela.core.scaling import Normalization, Scalarization
from moela.learning.features import Encoder
from moela.learning.start_model import StartModel
from moela.search.local_search import is_exhausted, tries_of, tries_of_one

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

    Returns the places of the designs in the archive [n], and the gain that the model predicts for
    each search, NaN without a model [n]; both are [0] if every archived design is exhausted.
    """
    listed, values = shortlist(front, context.normalization, W, by, fresh=True)
    (n, k), rng = listed.shape, context.random_state
    if k == 0:
        return listed[0], np.empty(0)
    choice = np.zeros(n, dtype=np.int64)
    predicted = np.full((n, k), np.nan)
    if model is not None:
        if model.ready:
            members = listed.ravel()
            ends = model.predict(
                start_features(encoder, front, members),
                front.objectives(members),
                W.repeat(k, axis=0),
                context.normalization,
            ).reshape(n, k)
            start_F = context.normalization.learned(front.objectives(listed.ravel()))
            start_F = start_F.reshape(n, k, -1)
            predicted = context.normalization.scalarize(start_F, W[:, None], by) - ends
            choice = (values - model.calibration * predicted).argmin(axis=1)
        drawn = rng.random(n) < _PROB_RANDOM
        choice = np.where(drawn, rng.integers(0, k, n), choice)
    each = np.arange(n)
    return listed[each, choice], predicted[each, choice]


def shortlist(
    front: Archive,
    normalization: Normalization,
    W: Floats,
    by: Scalarization,
    *,
    fresh: bool = False,
) -> tuple[Ints, Floats]:
    """List the ten (or all) best archived designs for each row of weights W [n, M], best first.

    With `fresh`, exhausted designs are left out. Returns their places and their scalarized values,
    both [n, k].
    """
    leave_out = is_exhausted if fresh else None
    lists = []
    for w in W:

        def value(F: Floats, w: Floats = w) -> Floats:
            return normalization.scalarize(F, w, by)

        lists.append(front.lowest(value, _SHORTLIST, leave_out))
    places, values = zip(*lists, strict=True)
    return np.array(places), np.array(values)


def start_features(encoder: Encoder, front: Archive, members: Ints) -> Floats:
    """Return the start model's inputs: features, and log of neighbors evaluated, [b, d + 1].

    `members` are places in the archive, [b].
    """
    pop = front.individuals(members)
    return np.column_stack([encoder(rows([ind.X for ind in pop])), np.log1p(tries_of(pop))])


class Visits:
    """The designs of an archive, by the number of their neighbors that have been evaluated.

    A draw takes time in proportion to the designs drawn and those added since the last draw, not to
    the archive. Each design waits at a number of tries. When its turn comes, it is left out if it
    is not in the archive any more, and waits again if it has been tried more often in between.
    """

    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        self._n_known = 0  # designs added to the archive before the last draw
        self._waiting: dict[int, list[int]] = {}  # serial numbers by number of tries

    def least_tried(self, n: int, random_state: np.random.Generator) -> Ints:
        """Draw n designs (or all) of those tried least, in random order if tried equally often.

        Returns their places in the archive.
        """
        archive = self._archive
        new, self._n_known = archive.serials_from(self._n_known)
        for serial in new:
            self._wait(serial, self._tries(serial))
        drawn: list[int] = []
        n = min(n, len(archive))
        while len(drawn) < n:
            tries = min(self._waiting)
            serials = self._waiting[tries]
            i = int(random_state.integers(len(serials)))
            serials[i], serials[-1] = serials[-1], serials[i]
            serial = serials.pop()
            if not serials:
                del self._waiting[tries]
            if serial not in archive:
                continue
            if self._tries(serial) != tries:
                self._wait(serial, self._tries(serial))
            else:
                drawn.append(serial)
        for serial in drawn:
            self._wait(serial, self._tries(serial) + 1)
        return archive.places(drawn)

    def _tries(self, serial: int) -> int:
        return tries_of_one(self._archive.by_serial(serial))

    def _wait(self, serial: int, tries: int) -> None:
        self._waiting.setdefault(tries, []).append(serial)
