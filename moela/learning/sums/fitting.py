"""Fits of sums over pairs of items whose matrices are both unknown, by Levenberg and Marquardt."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from moela._arrays import Floats, Ints
from moela.core.kernels.pairs import Singles, columns, spread_out, summed_up
from moela.learning.sums.regression import ridge, scaled
from moela.learning.sums.terms import EXACT, Terms

# Steps of a fit from a random start at most; it ends after so many of them if they lower the
# residual variance by less than this share.
_N_STEPS, _N_BETWEEN, _LEAST_PROGRESS = 60, 5, 0.05
# After this many steps a fit has failed if it leaves more than this share of the variance, or, if
# all that costs of items at places explain has been taken away, of what is left then.
_N_TRIAL, _MOST_LEFT, _MOST_LEFT_OF_REST = 10, 0.1, 0.3
# Steps of a fit that starts from a matrix of another objective.
_N_SHARED = 6
# Damping of the first step relative to the mean of the diagonal, least damping, its factors after
# each try and after success, and failures in a row that end a fit.
_DAMPING, _LEAST_DAMPING, _UP, _DOWN, _MOST_UPS = 0.1, 1e-5, 4.0, 0.05, 6
# Added to the diagonal of the counts of items at places, relative to its mean. Without it they have
# no inverse: each item is at one place, and at each place is one item.
_TINY = 1e-6


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


def random_start(data: Data, j: int, rng: np.random.Generator) -> Terms | None:
    """Return objective j as a fit from a random start finds it, or None."""
    items = rng.standard_normal(data.n_pairs).astype(np.float32)
    start = _balanced(items, ridge(data.by_places(items), data.targets[:, j]))
    return _improved(data, j, *start, _N_STEPS)


def sharing(data: Data, j: int, known: Iterable[Terms | None]) -> Terms | None:
    """Return exact terms of objective j that share a matrix with known ones, if there are."""
    for terms in known:
        if terms is None or terms.factors is None or not terms.exact:
            continue
        y, (known_items, known_places) = data.targets[:, j], terms.factors
        items = ridge(data.by_items(known_places), y)
        places = ridge(data.by_places(known_items), y)
        for start in ((items, known_places), (known_items, places)):
            found = _improved(data, j, *_balanced(*start), _N_SHARED)
            if found is not None and found.exact:
                return found
    return None


def _balanced(items: Singles, places: Singles) -> tuple[Singles, Singles]:
    """Scale two factors so that both have the same size, and their product stays the same."""
    ratio = float(np.linalg.norm(places)) / max(float(np.linalg.norm(items)), 1e-30)
    scale = np.float32(np.sqrt(ratio)) if ratio > 0.0 else np.float32(1.0)
    return items * scale, places / scale


def _improved(data: Data, j: int, items: Singles, places: Singles, n_steps: int) -> Terms | None:
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
        if cost < 1e-3 * EXACT * total:
            break
        if step == _N_TRIAL and cost > data.most_left * total:
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
    if left >= data.most_left:
        return None
    return data.terms(j, x[:n_pairs], x[n_pairs:], left)


def _matrix(pairs: Singles, m: int) -> Floats:
    """Return a symmetric matrix [m, m] with these values of pairs, and zeros on its diagonal."""
    out = np.zeros((m, m))
    first, second = np.triu_indices(m, 1)
    out[first, second] = out[second, first] = pairs
    return out
