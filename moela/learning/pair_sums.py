"""Quadratic assignment model: finds out that objectives of a permutation are sums over pairs."""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterator, Sequence
from operator import itemgetter

import numpy as np

from moela._arrays import Bools, Floats, Ints
from moela._threads import one_thread
from moela.core.kernels.pairs import changes, descend, totals
from moela.core.kernels.scalar import NUMBERS
from moela.core.scaling import Normalization, Scalarization
from moela.learning.sums.differences import SumTest
from moela.learning.sums.fitting import Data
from moela.learning.sums.search import SumSearch
from moela.learning.sums.terms import Structure, Terms, structures
from moela.learning.window import SharedFits, Window

# Numbers of items that are learned. A step of a fit takes a time of order m^6.
_LEAST_ITEMS, _MOST_ITEMS = 5, 40
# Designs per unknown: at the first fit, from which on costs of items at places are fitted, too, and
# those that are kept.
_FIRST, _WITH_COSTS, _KEPT = 2.2, 3.0, 4.0
# Growth of the number of designs until the next fit, and once so many fits have not been enough.
_GROWTH, _GROWTH_LATE, _MANY = 1.18, 2.0, 3
# Once a test has shown that objectives are sums, random starts that fail cost time only. So fits
# begin with fewer designs per unknown, a number that rises with that of items, and follow each
# other sooner. The fewer items, the less time a start takes, and the
# more there are in a fit. The test costs 16 evaluations, so it comes after 150 at the earliest.
_EARLY_BASE, _EARLY_PER_ITEM, _EARLY_LEAST, _EARLY_GROWTH = 0.7, 0.05, 1.3, 1.06
_LEAST_TESTED = 150
_ITEMS_OF_ONE, _MOST_EARLY = 20, 8
# Designs per unknown from which on early fits take each objective by itself, too.
_ALONE_EARLY = 1.8
# With more items, a start takes so long that the first fits have no more of them than without a
# test, and costs of items at places are not fitted earlier.
_MOST_QUICK = 25
# Starts with each matrix in common after the first fit, and starts of an objective by itself if it
# is the only one left. Whether a start is exact depends on its random values.
_TOGETHER, _ALONE = 2, 3
# Failures after which an objective is given up, and if another one is a sum.
_MOST_FAILED, _MOST_FAILED_BESIDE = 4, 6
# Moves since a fit that show whether it predicts them, the share of their squared changes that it
# may leave, and the weight of a move in these sums relative to that of the next one.
_LEAST_CHECKS, _MOST_UNEXPLAINED, _FADE = 20, 0.01, 0.995


class PairSums(SharedFits):
    """Model of objectives that are sums over pairs of m items, f(p) = c + sum A[i, j] B[p_i, p_j].

    A says how much two items have to do with each other, B what this costs at two places: the flows
    and distances of the quadratic assignment problem (Koopmans and Beckmann 1957, "Assignment
    problems and the location of economic activities", Econometrica 25), which are not given here.
    Since f is linear in each of them, a Levenberg-Marquardt method finds both, from 2.2 m (m - 1)
    designs on. One of them must be symmetric; then both may be taken as symmetric.
    Objectives may have one of the matrices in common. Costs of items at places, sum C[i, p_i], may
    come on top, as they do in that paper; then it takes 3 m (m - 1) designs.

    If B is one of a few that are tried, such as which places are side by side in a tour, or if
    there are only costs of items at places, 0.65 to 1.3 m (m - 1) designs are enough, and A need
    not be symmetric.

    `used` [M] says for which objectives a fit has predicted the moves made after it. An objective
    that is no such sum is given up. If the search evaluates the designs of `test_designs`, that
    takes no fit from a random start, which would take seconds with 30 items. If these designs show
    that all objectives are sums, fits begin earlier, from 1.3 m (m - 1) designs on with 12 items
    and 1.7 m (m - 1) with 20; costs of at most 25 items at places are fitted from 2.2 m (m - 1)
    designs on; and what is exact is used at once.

    A design is described by the place of each item.
    """

    _mutable = ("window", "_observed", "_to_try", "_test")

    def __init__(self, m: int, seed: int, *, testable: bool = False) -> None:
        self.m, self.seed, self.n_unknowns = m, seed, m * (m - 1)
        self.window = Window(round(_KEPT * self.n_unknowns))
        self.n_fits = 0
        self.n_updates = 0  # predictions change only with it
        self.used: Bools = np.zeros(0, dtype=bool)
        # A, B and C, [M, m, m] each, which A and B are not symmetric [M], and c [M].
        self._matrices: tuple[Floats, Floats, Floats, Bools] | None = None
        self._offset: Floats = np.zeros(0)
        self._sums: list[Terms | None] = []
        # Structures: from how many designs on to try each, and whether to try it again in any case.
        self._to_try = [(structure.n_needed, structure, False) for structure in structures(m)]
        self._observed: Bools = np.zeros((m, m), dtype=bool)  # which item has been where
        self._failed: Ints = np.zeros(0, dtype=np.int64)
        self._nearly: Bools = np.zeros(0, dtype=bool)
        self._apart = False  # whether the objectives have no matrix in common
        self._next_fit = _FIRST * self.n_unknowns
        self._n_early = 0  # fits with fewer designs than that
        self._test = SumTest(m, seed, wanted=testable)
        if self._test.pending:
            per_unknown = max(_EARLY_LEAST, _EARLY_BASE + _EARLY_PER_ITEM * m)
            early = max(per_unknown * self.n_unknowns, _LEAST_TESTED)
            self._next_fit = min(_FIRST * self.n_unknowns, early)
        # Of the moves since a fit, [M].
        self._residuals = self._squares = self._n_checks = np.zeros(0)

    @staticmethod
    def suits(m: int) -> bool:
        """Return whether m items are few enough to be learned."""
        return _LEAST_ITEMS <= m <= _MOST_ITEMS

    @property
    def complete(self) -> bool:
        """Whether all objectives are predicted."""
        return len(self.used) > 0 and bool(self.used.all())

    @property
    def _quick(self) -> bool:
        """Whether many starts are worth their time: a test has shown sums of few items."""
        return self._test.passed and self.m <= _MOST_QUICK

    def _forget_checks(self, of: Bools) -> None:
        """Begin to check predictions anew for objectives marked in [M]."""
        self.used = self.used & ~of
        self._residuals, self._squares, self._n_checks = (
            np.where(of, 0.0, kept) for kept in (self._residuals, self._squares, self._n_checks)
        )

    def add(self, places: Floats, F: Floats) -> None:
        """Add designs with places [b, m] and objectives F [b, M]; refit if it is time."""
        if not self._sums:
            n_obj = F.shape[1]
            self._sums = [None] * n_obj
            self._failed = np.zeros(n_obj, dtype=np.int64)
            self._nearly = np.zeros(n_obj, dtype=bool)
            self.used = np.zeros(n_obj, dtype=bool)
            self._residuals, self._squares, self._n_checks = np.zeros((3, n_obj))
        self._observed[np.arange(self.m), places.astype(np.int16)] = True
        self.window.add(places.astype(np.int16), F)
        while self._to_try and self.window.n_rows >= self._to_try[0][0]:
            _, structure, always = self._to_try.pop(0)
            if self._try(structure) or always:
                # Items may not have been everywhere yet, or what is known now may prove wrong.
                again = self.window.n_rows * _GROWTH, structure, True
                insort(self._to_try, again, key=itemgetter(0))
        self._give_up_refuted()
        if self._due() and not self._test.pending:
            self._fit_as_due()

    def _due(self) -> bool:
        return self.window.n_rows >= self._next_fit and bool(self._wanted().any())

    def _fit_as_due(self) -> None:
        """Fit by as much as is known, and set when the next fit is due."""
        n, first = self.window.n_rows, _FIRST * self.n_unknowns
        if n >= first:
            self._fit()
            self._next_fit = n * (_GROWTH_LATE if self.n_fits >= _MANY else _GROWTH)
        elif self._test.passed:
            self._fit_early()
            self._next_fit = min(first, n * _EARLY_GROWTH)
        else:
            self._next_fit = first

    def test_designs(self) -> Ints | None:
        """Return places [16, m] to evaluate before the first fit, or None if none are needed."""
        if not (self._test.ready and self._due()):
            return None
        kept, _ = self.window.arrays()
        return self._test.designs(kept.astype(np.int64), self.window.n_rows)

    def _give_up_refuted(self) -> None:
        """Give up the objectives that the designs of `test_designs` show to be no sums."""
        if not self._test.awaits:
            return
        kept, F = self.window.arrays()
        refuted = self._test.refuted(kept.astype(np.int64), F, self.window.n_rows)
        if refuted is not None:
            self._failed = np.where(refuted, _MOST_FAILED_BESIDE, self._failed)
            self._to_try = [] if refuted.any() else self._to_try

    def _unknown(self) -> Bools:
        """Mark the objectives for which there is no exact sum that may still prove right, [M]."""
        exact = np.array([known is not None and known.exact for known in self._sums])
        unproven = exact & (self._n_checks < _LEAST_CHECKS)
        return ~self.used & ~unproven

    def _wanted(self) -> Bools:
        """Mark the objectives that another fit may explain better, [M].

        There are none once one has been given up, since only all of them together are of use.
        """
        unknown = self._unknown()
        # Where one objective is such a sum, others are likely to be, too.
        most_failed = _MOST_FAILED if unknown.all() else _MOST_FAILED_BESIDE
        given_up = unknown & (self._failed >= most_failed)
        return unknown & ~given_up.any()

    def check(self, before: Floats, after: Floats, observed: Floats) -> None:
        """Compare predictions with the changes of F [b, M] from places [b, m] to others."""
        if self._matrices is None:
            return
        predicted = self.changes_to(before, after[:, None])[:, 0]
        keep = _FADE ** len(observed)
        self._residuals = keep * self._residuals + ((predicted - observed) ** 2).sum(axis=0)
        self._squares = keep * self._squares + (observed**2).sum(axis=0)
        self._n_checks = self._n_checks + len(observed)
        good = self._residuals <= _MOST_UNEXPLAINED * self._squares
        self.used = good & (self._n_checks >= _LEAST_CHECKS)

    def changes_to(self, features: Floats, near: Floats) -> Floats:
        """Predict the change of F [n, k, M] from places [n, m] to neighbors [n, k, m]."""
        assert self._matrices is not None
        return changes(features, near, *self._matrices)

    def descended(
        self,
        places: Ints,
        W: Floats,
        normalization: Normalization,
        by: Scalarization,
        random_state: np.random.Generator,
    ) -> Ints:
        """Return the local optima [b, m] that exchanges of two items reach from places [b, m].

        A scalarization with weights W [b, M] of the predicted objectives is minimized. Items only
        go where they have been in some evaluated design, since others may be against a rule.
        """
        assert self._matrices is not None
        pairs = np.stack(np.triu_indices(self.m, 1), axis=1)
        found, n = np.array(places, dtype=np.int64), normalization
        descend(
            found,
            *self._matrices,
            self._offset,
            NUMBERS[by],
            np.ascontiguousarray(W),
            n.ideal,
            n.nadir - n.ideal,
            float(n.farthest),
            random_state.permutation(pairs),
            self._observed,
        )
        return found

    def _try(self, structure: Structure) -> bool:
        """Fit a structure to the objectives not known yet; return whether to do so again later."""
        wanted = self._unknown()
        kept, F = self.window.arrays()
        if not wanted.any() or not np.isfinite(F).all():
            return True
        places = kept.astype(np.int64)
        with one_thread():
            found = structure.fitted(places, F)
        new = wanted & np.array([sum_ is not None for sum_ in found])
        self._take(found, new, places, F)
        return bool(new.any())

    def _take(self, found: Sequence[Terms | None], new: Bools, places: Ints, F: Floats) -> None:
        """Use those of the sums found, [M], that are marked in [M], besides what is known."""
        if new.any():
            self._sums = [f if n else s for f, n, s in zip(found, new, self._sums, strict=True)]
            self._use(places, F, new)

    def _use(self, places: Ints, F: Floats, new: Bools) -> None:
        """Predict by the sums from now on, of which those marked in [M] are new."""
        known = [sum_ or Terms.none(self.m) for sum_ in self._sums]
        A, B, C = (np.stack([getattr(sum_, name) for sum_ in known]) for name in "ABC")
        self._matrices = A, B, C, np.array([sum_.directed for sum_ in known])
        self._offset = (F - totals(places, *self._matrices)).mean(axis=0)
        self.n_updates += 1
        self._forget_checks(new)
        if self._test.passed:  # no move needs to confirm what is exact
            exact = new & np.array([sum_.exact for sum_ in known])
            self._n_checks = np.where(exact, _LEAST_CHECKS, self._n_checks)
            self.used = self.used | exact

    def _fit_early(self) -> None:
        """Look for exact sums with few designs, of which most random starts find none.

        A failure says nothing, so it does not count.
        """
        kept, F = self.window.arrays()
        if not np.isfinite(F).all():
            return
        places, wanted = kept.astype(np.int64), self._wanted()
        n_starts = min(_MOST_EARLY, max(1, round((_ITEMS_OF_ONE / self.m) ** 3)))
        with one_thread():
            search = SumSearch(Data(places, F), self._sums, wanted)
            for number in range(2 * n_starts):
                if search.left:
                    rng = np.random.default_rng([self.seed, self._n_early, 2, number])
                    search.start(search.left, rng, common_items=number % 2 == 0)
            if len(places) >= _ALONE_EARLY * self.n_unknowns:
                for j in search.left:
                    if j in search.left:  # not found with another one in the meantime
                        rng = np.random.default_rng([self.seed, self._n_early, 3, j])
                        search.start([j], rng, common_items=True)
        self._n_early += 1
        new = wanted & np.array([sum_ is not None and sum_.exact for sum_ in search.sums])
        self._take(search.sums, new, places, F)

    def _fit(self) -> None:
        kept, F = self.window.arrays()
        if not np.isfinite(F).all():
            return
        places, again = kept.astype(np.int64), self._wanted()
        sums = [None if a else old for a, old in zip(again, self._sums, strict=True)]
        with one_thread():
            for costs in self._stages(len(places)):
                wanted = again if costs else again & ~self._nearly
                search = SumSearch(Data(places, F, costs=costs), sums, wanted)
                for number, (of, common_items) in enumerate(self._starts(search, costs)):
                    rng = np.random.default_rng([self.seed, self.n_fits, costs, number])
                    search.start(of, rng, common_items=common_items)
                sums = search.sums
                self._failed = self._failed + search.failures
                self._nearly = self._nearly | search.nearly
                self._apart = self._apart or search.apart
        self._sums = sums
        self.n_fits += 1
        self._use(places, F, again)

    def _stages(self, n: int) -> list[bool]:
        """Return whether to fit costs of items at places, too, one after another."""
        if n < (_FIRST if self._quick else _WITH_COSTS) * self.n_unknowns:
            return [False]
        # Where little was explained without costs, another fit without them promises little, too.
        return [True] if self._apart else [False, True]

    def _starts(self, search: SumSearch, costs: bool) -> Iterator[tuple[list[int], bool]]:
        """Yield the objectives of each start of a fit, and whether they share items' values.

        Objectives with a matrix in common are found sooner together. If they seem to have none,
        every other fit tries each by itself.
        """
        if len(search.left) > 1 and not (self._apart and self.n_fits % 2):
            several = not (costs or self._apart) and (self._quick or self.n_fits > 0)
            for common_items in (True, False) * (_TOGETHER if several else 1):
                if search.left:
                    yield search.left, common_items
            if self.n_fits == 0 or self._apart:
                return
        # Each fit begins with another objective. Those left are tried again once one is found, or
        # if there is only one.
        n_left = len(search.left)
        for _ in range(_ALONE):
            for j in np.roll(search.left, -self.n_fits)[: None if self._apart else 1].tolist():
                if j in search.left:
                    yield [j], True
            again = len(search.left) < n_left or (n_left == 1 and self.n_fits > 0)
            if not (search.left and again):
                return
