"""Fits of sums over pairs of items whose matrices are both unknown, by Levenberg and Marquardt."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
from scipy.linalg import cho_factor, cho_solve, cholesky, solve_triangular

from moela._arrays import Floats, Ints
from moela.core.kernels.pairs import Singles, columns, spread_out, summed_up
from moela.learning.sums.regression import ridge, scaled
from moela.learning.sums.terms import EXACT, Terms

# Steps of a fit from a random start at most; it ends after so many of them if they lower the
# residual variance by less than this share.
_N_STEPS, _N_BETWEEN, _LEAST_PROGRESS = 60, 5, 0.06
# A fit that leaves this share of what an exact one may leave is not improved: in single precision,
# its steps get tiny.
_ENOUGH = 0.02
# A fit has failed if it leaves more than this share of the variance, or, if all that costs of items
# at places explain has been taken away, of what is left then.
_MOST_LEFT, _MOST_LEFT_OF_REST = 0.06, 0.3
# Steps of a fit that starts from a matrix of another objective.
_N_SHARED = 6
# Damping of the first step relative to the mean of the diagonal, least damping, its factors after
# each try and after success, and failures in a row that end a fit.
_DAMPING, _LEAST_DAMPING, _UP, _DOWN, _MOST_UPS = 0.1, 1e-5, 4.0, 0.05, 6
# Added to the diagonal of the counts of items at places, relative to its mean. Without it they have
# no inverse: each item is at one place, and at each place is one item.
_TINY = 1e-6

_Columns = Callable[[Singles], Singles]


class Data:
    """Permutations, as places [n, m] of items and as items at places, and scaled targets [n, M].

    With `costs`, all that costs of items at places explain is taken away from targets and columns,
    so that a fit of the rest is not disturbed by them.
    """

    def __init__(self, places: Ints, F: Floats, *, costs: bool = False) -> None:
        self.places = places
        self.items = np.ascontiguousarray(places.argsort(axis=1))
        self.n_pairs = places.shape[1] * (places.shape[1] - 1) // 2
        self.unit, targets = scaled(F)
        self._scaled: Singles = targets.astype(np.float32)
        self._inverse = _inverse(places) if costs else None
        self.targets = self._rest(self._scaled)
        self.most_left = _MOST_LEFT_OF_REST if costs else _MOST_LEFT

    def _costs(self, V: Singles) -> Singles:
        """Return the costs [m m, c] of items at places that fit V [n, c] best."""
        assert self._inverse is not None
        costs = self._inverse @ summed_up(self.places, np.ascontiguousarray(V))
        return costs.astype(np.float32)

    def _rest(self, V: Singles) -> Singles:
        """Return V [n, c] without what costs of items at places explain, if these are fitted."""
        if self._inverse is None:
            return V
        return V - spread_out(self.places, self._costs(V))

    def by_places(self, items: Singles) -> Singles:
        """Return the columns [n, pairs] whose sum, weighted by values of places, is predicted."""
        return self._rest(columns(self.items, items))

    def by_items(self, places: Singles) -> Singles:
        """Return the columns [n, pairs] whose sum, weighted by values of items, is predicted."""
        return self._rest(columns(self.places, places))

    def terms(self, j: int, items: Singles, places: Singles, left: float) -> Terms:
        """Return objective j as a sum of these values of pairs of items and of places."""
        m, unit = self.places.shape[1], float(self.unit[j])
        costs = np.zeros((m, m))
        if self._inverse is not None:
            rest = self._scaled[:, j] - columns(self.places, places) @ items
            costs = unit * self._costs(rest[:, None]).reshape(m, m).astype(float)
        A, B = _matrix(items, m), unit * _matrix(places, m)
        return Terms(A, B, costs, False, left * self._share(j), (items, places))

    def _share(self, j: int) -> float:
        """Return the variance of what is fitted of objective j, relative to that of all of it."""
        return float(self.targets[:, j].var()) / max(float(self._scaled[:, j].var()), 1e-30)


def _inverse(places: Ints) -> Floats:
    """Return the inverse [m m, m m] of how often two items are at two places at a time."""
    n, m = places.shape
    ones = np.zeros((n, m * m), dtype=np.float32)
    ones[np.arange(n)[:, None], m * np.arange(m) + places] = 1.0
    counts = (ones.T @ ones).astype(float)
    counts[np.diag_indices_from(counts)] += _TINY * n / m
    return np.asarray(np.linalg.inv(counts))


def random_start(
    data: Data, of: Sequence[int], rng: np.random.Generator, *, common_items: bool
) -> list[Terms] | None:
    """Return the objectives with these indices as a fit from a random start finds them, or None.

    They have the values of pairs of items in common, or those of places.
    """
    fit = _Fit(data, of, common_items)
    common = rng.standard_normal(data.n_pairs).astype(np.float32)
    return fit.improved(ridge(fit.by_own(common), fit.targets).T, common, _N_STEPS)


def sharing(data: Data, j: int, known: Iterable[Terms | None]) -> list[Terms] | None:
    """Return exact terms of objective j that share a matrix with known ones, if there are."""
    for terms in known:
        if terms is None or terms.factors is None or not terms.exact:
            continue
        for common_items, common in zip((True, False), terms.factors, strict=True):
            fit = _Fit(data, [j], common_items)
            own = ridge(fit.by_own(common), fit.targets).T
            found = fit.improved(own, common, _N_SHARED)
            if found is not None and found[0].exact:
                return found
    return None


class _Fit:
    """A Levenberg-Marquardt method (Marquardt 1963) for some objectives with a matrix in common.

    Each objective also has a matrix of its own. With `common_items`, the common one is that of
    items. More objectives make a fit from a random start succeed more often: they say more of the
    common matrix.
    """

    def __init__(self, data: Data, of: Sequence[int], common_items: bool) -> None:
        self.data, self.of, self.common_items = data, of, common_items
        self.targets = np.ascontiguousarray(data.targets[:, list(of)])
        self.by_own: _Columns = data.by_places if common_items else data.by_items
        self._by_common: _Columns = data.by_items if common_items else data.by_places

    def improved(self, own: Singles, common: Singles, n_steps: int) -> list[Terms] | None:
        """Return the sums after some steps from values own [k, pairs] and common [pairs].

        Returns None if little is explained.
        """
        own, common = _balanced(own, common)
        total, most_left = max(float((self.targets**2).sum()), 1e-30), self.data.most_left
        damping, before = _DAMPING, np.inf
        by_own, residuals = self._at(own, common)
        cost = float((residuals**2).sum())
        for step in range(n_steps):
            if cost < _ENOUGH * EXACT * total:
                break
            if step % _N_BETWEEN == 0:
                if step > _N_BETWEEN and cost > (1.0 - _LEAST_PROGRESS) * before:
                    break
                before = cost
            equations = _Equations(by_own, map(self._centered, own), residuals)
            for _ in range(_MOST_UPS):
                found = equations.step(damping)
                damping *= _UP  # for the next one
                if found is None:  # by rounding
                    continue
                nearby = own + found[0], common + found[1]
                by_own, new = self._at(*nearby)
                if (new_cost := float((new**2).sum())) < cost:
                    break
            else:
                break
            (own, common), residuals, cost = nearby, new, new_cost
            damping = max(damping * _DOWN, _LEAST_DAMPING)
        if cost >= most_left * total:
            return None
        left = (residuals**2).sum(axis=0) / np.maximum((self.targets**2).sum(axis=0), 1e-30)
        return [
            self.data.terms(j, *self._by_kind(values, common), float(share))
            for j, values, share in zip(self.of, own, left, strict=True)
        ]

    def _by_kind(self, own: Singles, common: Singles) -> tuple[Singles, Singles]:
        """Return the values of pairs of items and those of places."""
        return (common, own) if self.common_items else (own, common)

    def _at(self, own: Singles, common: Singles) -> tuple[Singles, Singles]:
        """Return the centered columns of the own matrices, and what these leave, [n, k]."""
        by_own = self.by_own(common)
        by_own -= by_own.mean(axis=0)
        return by_own, self.targets - by_own @ own.T

    def _centered(self, own: Singles) -> Singles:
        """Return the centered columns [n, pairs] of the common matrix for one objective."""
        by_common = self._by_common(np.ascontiguousarray(own))
        by_common -= by_common.mean(axis=0)
        return by_common


class _Equations:
    """Normal equations of a step. Objectives meet only in the common matrix, so it is found first.

    The columns [n, pairs] of the own matrices, `by_own`, are the same for all objectives, those of
    the common one, `by_common`, are not; `residuals` are [n, k].
    """

    def __init__(self, by_own: Singles, by_common: Iterable[Singles], residuals: Singles) -> None:
        self._own = by_own.T @ by_own
        self._gradients = by_own.T @ residuals  # [pairs, k]
        self._common, self._gradient = np.zeros_like(self._own), np.zeros_like(by_own[0])
        self._mixed: list[Singles] = []
        for c, rest in zip(by_common, residuals.T, strict=True):
            self._common += c.T @ c
            self._gradient += c.T @ rest
            self._mixed.append(by_own.T @ c)
        k = len(self._mixed)
        self._scale = float(k * np.trace(self._own) + np.trace(self._common))
        self._scale /= (k + 1) * len(by_own[0])

    def step(self, damping: float) -> tuple[Singles, Singles] | None:
        """Return changes [k, pairs] and [pairs], or None if rounding prevents it."""
        added = np.float32(damping * self._scale)
        own, rest = self._own.copy(), self._common.copy()
        own[np.diag_indices_from(own)] += added
        rest[np.diag_indices_from(rest)] += added
        gradient = self._gradient.copy()
        try:
            lower = cholesky(own, lower=True, overwrite_a=True, check_finite=False)
            half = [
                (_solved(lower, mixed), _solved(lower, g))
                for mixed, g in zip(self._mixed, self._gradients.T, strict=True)
            ]
            for mixed, g in half:
                rest -= mixed.T @ mixed
                gradient -= mixed.T @ g
            factor = cho_factor(rest, overwrite_a=True, check_finite=False)
        except np.linalg.LinAlgError:
            return None
        common = cho_solve(factor, gradient, check_finite=False)
        return np.stack([_solved(lower, g - m @ common, "T") for m, g in half]), common


def _solved(lower: Singles, y: Singles, trans: str = "N") -> Singles:
    """Return the solution x of L x = y, or of its transpose with `trans="T"`."""
    x: Singles = solve_triangular(lower, y, lower=True, trans=trans, check_finite=False)
    return x


def _balanced(own: Singles, common: Singles) -> tuple[Singles, Singles]:
    """Scale two factors so that both have the same size, and their product stays the same."""
    ratio = float(np.linalg.norm(common)) / max(float(np.linalg.norm(own)), 1e-30)
    scale = np.float32(np.sqrt(ratio)) if ratio > 0.0 else np.float32(1.0)
    return own * scale, common / scale


def _matrix(pairs: Singles, m: int) -> Floats:
    """Return a symmetric matrix [m, m] with these values of pairs, and zeros on its diagonal."""
    out = np.zeros((m, m))
    first, second = np.triu_indices(m, 1)
    out[first, second] = out[second, first] = pairs
    return out
