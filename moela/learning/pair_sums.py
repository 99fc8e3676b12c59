"""Quadratic assignment model: finds out that objectives of a permutation are sums over pairs."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from moela._arrays import Bools, Floats, Ints
from moela._threads import one_thread
from moela.core.kernels.pairs import Singles, changes, columns, descend, totals
from moela.core.kernels.scalar import NUMBERS
from moela.core.scaling import Normalization, Scalarization
from moela.learning.window import SharedFits, Window, spread_of

# Numbers of items that are learned. A step of a fit takes a time of order m^6.
_LEAST_ITEMS, _MOST_ITEMS = 5, 40
# Designs per unknown at the first fit, and those that are kept.
_FIRST, _KEPT = 2.2, 4.0
# Growth of the number of designs until the next fit, and once so many fits have not been enough.
_GROWTH, _GROWTH_LATE, _MANY = 1.15, 2.0, 4
# Random starts of a fit that leave a remainder, after which it waits for more designs: of the first
# fit, and of the others. A start finds an exact sum in about half of all cases.
_FIRST_STARTS, _MOST_STARTS = 1, 3
# Steps of a fit from a random start at most; it ends after so many of them if they lower the
# residual variance by less than this share.
_N_STEPS, _N_BETWEEN, _LEAST_PROGRESS = 60, 5, 0.05
# After this many steps a fit has failed if it leaves more than this share of the variance, and
# after so many failures an objective is given up.
_N_TRIAL, _MOST_LEFT, _MOST_FAILED = 10, 0.1, 4
# Designs per unknown if the matrix of places is known, and what is added to the diagonal then.
_STRUCTURED, _TINY = 1.3, 1e-10
# Steps of a fit that starts from a matrix of another objective.
_N_SHARED = 6
# A fit that leaves less than this share of the variance is exact but for rounding.
_EXACT = 1e-6
# Damping of the first step relative to the mean of the diagonal, least damping, its factors after
# each try and after success, and failures in a row that end a fit.
_DAMPING, _LEAST_DAMPING, _UP, _DOWN, _MOST_UPS = 0.1, 1e-5, 4.0, 0.05, 6
# Moves since a fit that show whether it predicts them, the share of their squared changes that it
# may leave, and the weight of a move in these sums relative to that of the next one.
_LEAST_CHECKS, _MOST_UNEXPLAINED, _FADE = 20, 0.01, 0.995


@dataclass(frozen=True)
class _PairSum:
    """Values of pairs of items, and of pairs of places, whose products make up an objective.

    Both are [pairs], for the pairs (0, 1), (0, 2) ... (m - 2, m - 1). Their sum, times `unit`, is
    the objective; `left` is the share of its variance that this leaves unexplained.
    """

    items: Singles
    places: Singles
    unit: float
    left: float

    directed = False

    @property
    def exact(self) -> bool:
        return self.left < _EXACT

    def matrices(self, m: int) -> tuple[Floats, Floats]:
        """Return the matrices [m, m] of items, and of places in units of the objective."""
        return _matrix(self.items, m), self.unit * _matrix(self.places, m)


@dataclass(frozen=True)
class _Structured:
    """Values A [m, m] of items for a matrix B [m, m] of places that was known beforehand."""

    A: Floats
    B: Floats
    directed: bool
    exact = True

    def matrices(self, m: int) -> tuple[Floats, Floats]:
        """Return both matrices."""
        return self.A, self.B


@dataclass(frozen=True)
class _Structure:
    """A matrix B [m, m] of places, and the pairs of items [2, c] whose values are to be found."""

    B: Floats
    pairs: Ints
    directed: bool

    @property
    def n_needed(self) -> float:
        """Number of designs from which on a fit that is exact is no coincidence."""
        return _STRUCTURED * self.pairs.shape[1]

    def fitted(self, places: Ints, F: Floats) -> list[_Structured | None]:
        """Return what fits each of the objectives F [n, M] exactly, or None."""
        first, second = self.pairs
        columns_ = self.B[places[:, first], places[:, second]]
        unit, targets = _scaled(F)
        found = _ridge(columns_, targets, _TINY)
        left = (targets - columns_ @ found).var(axis=0)
        out: list[_Structured | None] = []
        for values, scale, rest in zip(found.T, unit, left, strict=True):
            A = np.zeros_like(self.B)
            A[first, second] = scale * values
            if not self.directed:
                A += A.T
            out.append(_Structured(A, self.B, self.directed) if rest < _EXACT else None)
        return out


def _structures(m: int) -> list[_Structure]:
    """Return the matrices of places that are tried, those of the fewest unknowns first.

    They are those of tours and their parts, of arrangements in a row, of linear orderings, and of
    sequences with changeovers.
    """
    place = np.arange(m)
    ahead = place - place[:, None]
    next_, ring = ahead == 1, ahead == 1 - m
    pairs = np.array(np.triu_indices(m, 1))
    both = np.concatenate([pairs, pairs[::-1]], axis=1)
    either = next_ | next_.T
    return [
        _Structure((either | ring | ring.T).astype(float), pairs, False),
        _Structure(either.astype(float), pairs, False),
        _Structure(1.0 * np.abs(ahead), pairs, False),
        _Structure((ahead > 0).astype(float), pairs, True),
        _Structure(next_.astype(float), both, True),
        _Structure((next_ | ring).astype(float), both, True),
    ]


class PairSums(SharedFits):
    """Model of objectives that are sums over pairs of m items, f(p) = c + sum A[i, j] B[p_i, p_j].

    A says how much two items have to do with each other, B what this costs at two places: the flows
    and distances of the quadratic assignment problem (Koopmans and Beckmann 1957, "Assignment
    problems and the location of economic activities", Econometrica 25), which are not given here.
    Since f is linear in each of them, a Levenberg-Marquardt method finds both, from 2.2 m (m - 1)
    designs on. One of them must be symmetric; then both may be taken as symmetric.
    An objective may share a matrix with another one that is known.

    If B is one of a few that are tried, such as which places are side by side in a tour, 0.65 to
    1.3 m (m - 1) designs are enough, and A need not be symmetric.

    `used` [M] says for which objectives a fit has predicted the moves made after it. An objective
    that is no such sum is given up.

    A design is described by the place of each item.
    """

    _mutable = ("window", "_observed")

    def __init__(self, m: int, seed: int) -> None:
        self.m, self.seed, self.n_unknowns = m, seed, m * (m - 1)
        self.window = Window(round(_KEPT * self.n_unknowns))
        self.n_fits = 0
        self.n_updates = 0  # predictions change only with it
        self.used: Bools = np.zeros(0, dtype=bool)
        # [M, m, m] each, in units of the objectives, which are not symmetric [M], and c [M].
        self._matrices: tuple[Floats, Floats, Bools] | None = None
        self._offset: Floats = np.zeros(0)
        self._sums: list[_PairSum | _Structured | None] = []
        self._untried = _structures(m)
        self._observed: Bools = np.zeros((m, m), dtype=bool)  # which item has been where
        self._failed: Ints = np.zeros(0, dtype=np.int64)
        self._next_fit = _FIRST * self.n_unknowns
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
            self.used = np.zeros(n_obj, dtype=bool)
            self._residuals, self._squares, self._n_checks = np.zeros((3, n_obj))
        self._observed[np.arange(self.m), places.astype(np.int16)] = True
        self.window.add(places.astype(np.int16), F)
        while self._untried and self.window.n_rows >= self._untried[0].n_needed:
            structure, *self._untried = self._untried
            self._try(structure)
        if self.window.n_rows >= self._next_fit and self._wanted().any():
            self._fit()
            late = self.n_fits >= _MANY
            self._next_fit = self.window.n_rows * (_GROWTH_LATE if late else _GROWTH)

    def _wanted(self) -> Bools:
        """Mark the objectives that another fit may explain better, [M].

        There are none once one has been given up, since only all of them together are of use.
        """
        exact = np.array([known is not None and known.exact for known in self._sums])
        unproven = exact & (self._n_checks < _LEAST_CHECKS)
        given_up = ~self.used & ~unproven & (self._failed >= _MOST_FAILED)
        return ~self.used & ~unproven & ~given_up.any()

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

    def _try(self, structure: _Structure) -> None:
        """Fit the objectives that are not known yet with a matrix of places."""
        wanted = self._wanted()
        kept, F = self.window.arrays()
        if not wanted.any() or not np.isfinite(F).all():
            return
        places = kept.astype(np.int64)
        with one_thread():
            found = structure.fitted(places, F)
        new = wanted & np.array([sum_ is not None for sum_ in found])
        if new.any():
            self._sums = [f if n else s for f, n, s in zip(found, new, self._sums, strict=True)]
            self._use(places, F, new)

    def _use(self, places: Ints, F: Floats, new: Bools) -> None:
        """Predict by the sums from now on, of which those marked in [M] are new."""
        zeros = np.zeros((self.m, self.m))
        known = [(zeros, zeros) if s is None else s.matrices(self.m) for s in self._sums]
        A, B = (np.stack(matrices) for matrices in zip(*known, strict=True))
        directed = np.array([s is not None and s.directed for s in self._sums])
        self._matrices = A, B, directed
        self._offset = (F - totals(places, A, B, directed)).mean(axis=0)
        self.n_updates += 1
        self._forget_checks(new)

    def _fit(self) -> None:
        kept, F = self.window.arrays()
        if not np.isfinite(F).all():
            return
        places, wanted = kept.astype(np.int64), self._wanted()
        data = _Data(places, F)
        sums: list[_PairSum | _Structured | None] = [
            None if again else known for known, again in zip(self._sums, wanted, strict=True)
        ]
        failed = self._failed.copy()
        left: dict[int, float] = {}  # by objective, the least that a start has left
        # Each fit begins with another objective, and each start is followed by one of the next.
        queue = deque(np.roll(np.flatnonzero(wanted), -self.n_fits).tolist())
        starts = _FIRST_STARTS if self.n_fits == 0 else _MOST_STARTS
        with one_thread():
            while queue and starts > 0:
                j = queue.popleft()
                rng = np.random.default_rng([self.seed, self.n_fits, j, starts])
                found = _sharing(data, j, sums) or _improved(
                    data, j, *_start(data, j, rng), _N_STEPS
                )
                failed[j] += found is None
                if found is not None and found.left < left.get(j, np.inf):
                    sums[j], left[j] = found, found.left
                if found is None or not found.exact:
                    starts -= 1
                    queue.append(j)
        self._sums, self._failed = sums, failed
        self.n_fits += 1
        self._use(places, F, wanted)


class _Data:
    """Permutations, as places [n, m] of items and as items at places, and scaled targets [n, M]."""

    def __init__(self, places: Ints, F: Floats) -> None:
        self.unit, targets = _scaled(F)
        self.targets: Singles = targets.astype(np.float32)
        self.places = places
        self.items = np.ascontiguousarray(places.argsort(axis=1))
        self.n_pairs = places.shape[1] * (places.shape[1] - 1) // 2

    def by_places(self, items: Singles) -> Singles:
        """Return the columns [n, pairs] whose sum, weighted by values of places, is predicted."""
        return columns(self.items, items)

    def by_items(self, places: Singles) -> Singles:
        """Return the columns [n, pairs] whose sum, weighted by values of items, is predicted."""
        return columns(self.places, places)


def _start(data: _Data, j: int, rng: np.random.Generator) -> tuple[Singles, Singles]:
    """Return random values of pairs of items, and those of places that fit objective j to them."""
    items = rng.standard_normal(data.n_pairs).astype(np.float32)
    return _balanced(items, _ridge(data.by_places(items), data.targets[:, j]))


def _sharing(data: _Data, j: int, sums: list[_PairSum | _Structured | None]) -> _PairSum | None:
    """Return an exact sum for objective j that shares a matrix with a known one, if there is."""
    for known in sums:
        if not isinstance(known, _PairSum) or not known.exact:
            continue
        y = data.targets[:, j]
        items = _ridge(data.by_items(known.places), y)
        places = _ridge(data.by_places(known.items), y)
        for start in ((items, known.places), (known.items, places)):
            found = _improved(data, j, *_balanced(*start), _N_SHARED)
            if found is not None and found.exact:
                return found
    return None


def _balanced(items: Singles, places: Singles) -> tuple[Singles, Singles]:
    """Scale two factors so that both have the same size, and their product stays the same."""
    ratio = float(np.linalg.norm(places)) / max(float(np.linalg.norm(items)), 1e-30)
    scale = np.float32(np.sqrt(ratio)) if ratio > 0.0 else np.float32(1.0)
    return items * scale, places / scale


def _scaled(F: Floats) -> tuple[Floats, Floats]:
    """Return units [M] of objectives F [n, M], and F in these units with a mean of 0."""
    spread = spread_of(F)
    unit = np.where(spread > 0.0, spread, 1.0)
    return unit, np.where(spread > 0.0, F - F.mean(axis=0), 0.0) / unit


def _ridge(columns_: Any, y: Any, penalty: float = 1e-3) -> Any:
    """Return the coefficients that fit y, of mean 0, by columns [n, c], in their precision.

    The penalty is relative to the mean square of the columns.
    """
    centered = columns_ - columns_.mean(axis=0)
    K = centered.T @ centered
    K[np.diag_indices_from(K)] += max(penalty * float(np.trace(K)) / len(K), 1e-30)
    return cho_solve(cho_factor(K, overwrite_a=True), centered.T @ y)


def _improved(
    data: _Data, j: int, items: Singles, places: Singles, n_steps: int
) -> _PairSum | None:
    """Return the sum after some steps of a Levenberg-Marquardt method (Marquardt 1963).

    Returns None if little is explained.
    """
    y, damping = data.targets[:, j], _DAMPING
    x = np.concatenate([items, places])
    n_pairs, total = data.n_pairs, max(float(y @ y), 1e-30)

    def at(x: Singles) -> tuple[Singles, Singles, float]:
        by_items = data.by_items(x[n_pairs:])
        f = by_items @ x[:n_pairs]
        residuals = y - (f - f.mean())
        return by_items, residuals, float(residuals @ residuals)

    by_items, residuals, cost = at(x)
    before = np.inf
    for step in range(n_steps):
        if cost < 1e-3 * _EXACT * total:
            break
        if step == _N_TRIAL and cost > _MOST_LEFT * total:
            return None
        if step % _N_BETWEEN == 0:
            if step > _N_BETWEEN and cost > (1.0 - _LEAST_PROGRESS) * before:
                break
            before = cost
        J = np.concatenate([by_items, data.by_places(x[:n_pairs])], axis=1)
        J -= J.mean(axis=0)
        H, gradient = J.T @ J, J.T @ residuals
        scale = float(np.trace(H)) / len(H)
        for _ in range(_MOST_UPS):
            K = H.copy()
            K[np.diag_indices_from(K)] += damping * scale
            damping *= _UP  # for the next one
            try:
                factor = cho_factor(K, overwrite_a=True, check_finite=False)
            except np.linalg.LinAlgError:  # by rounding
                continue
            nearby = x + cho_solve(factor, gradient, check_finite=False)
            new = at(nearby)
            if new[2] < cost:
                break
        else:
            break
        x, (by_items, residuals, cost) = nearby, new
        damping = max(damping * _DOWN, _LEAST_DAMPING)
    left = cost / total
    if left >= _MOST_LEFT:
        return None
    return _PairSum(x[:n_pairs], x[n_pairs:], float(data.unit[j]), left)


def _matrix(pairs: Singles, m: int) -> Floats:
    """Return a symmetric matrix [m, m] with these values of pairs, and zeros on its diagonal."""
    out = np.zeros((m, m))
    first, second = np.triu_indices(m, 1)
    out[first, second] = out[second, first] = pairs
    return out
