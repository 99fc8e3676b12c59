"""Drift of expert loads: what later loads may be, given those of before and a short record.

Two workloads of a model are taken to be exchangeable. Relative loads (share times the number of
experts) of a layer have variance s^2 over experts, and correlation r between the workloads. So
later loads regress to the mean: the expected relative load is 1 + r (x - 1), and around it lies a
Gamma factor for each expert. The correlation follows from the share of the load that moves to other
experts. Counts given the factors are Poisson, so factors given counts are Gamma again (the
empirical Bayes estimate of rates; Gelman et al., Bayesian Data Analysis, section 2.6).

The loads of before are counts, too. If they are counts of few choices, part of their variance is
chance. They are moved towards their mean by that part, and their own uncertainty widens the loads
that are drawn.
"""

from __future__ import annotations

import numpy as np
from scipy.special import gammaln

from moe_costmodel._arrays import Floats

__all__ = ["DriftedLoads"]

_GRID = np.geomspace(0.005, 0.6, 40)  # shares of the load that move
_LEAST = 1e-6


class DriftedLoads:
    """Distribution of later loads, given loads of before and perhaps a short record of later ones.

    Parameters
    ----------
    shares : ndarray of shape (n_layers, n_experts)
        Share of each expert before; rows sum to 1.
    counts : ndarray of shape (n_layers, n_experts), optional
        Choices in the short record.
    choices : ndarray of shape (n_layers,), optional
        Choices of each layer that the shares were counted from; by default so many that the shares
        are exact.
    """

    def __init__(
        self, shares: Floats, counts: Floats | None = None, choices: Floats | None = None
    ) -> None:
        self.relative = shares * shares.shape[1]
        self.spread = np.maximum(self.relative.var(axis=1, keepdims=True), _LEAST)
        self.unknown = np.zeros_like(self.spread)  # variance of relative loads by chance
        if choices is not None:
            chance = shares.shape[1] / np.maximum(choices, 1.0)[:, None]
            kept = np.maximum(0.0, 1.0 - chance / self.spread)
            self.relative = 1.0 + kept * (self.relative - 1.0)
            self.spread = np.maximum(self.spread - chance, _LEAST)
            self.unknown = kept * chance
        self.counts = counts
        self.weights = np.zeros(0)
        if counts is not None:
            likelihood = np.array([self._log_likelihood(counts, d) for d in _GRID.tolist()])
            weights = np.exp(likelihood - likelihood.max())
            self.weights = weights / weights.sum()

    def expected(self, moved: float) -> tuple[Floats, Floats]:
        """Return expected relative loads, and the variance of their factors [n_layers, 1].

        `moved` is the total variation distance between the workloads. Half the mean absolute
        difference of relative loads is about 0.4 standard deviations.
        """
        square = (2.0 * moved / 0.8) ** 2
        kept = np.maximum(0.0, 1.0 - square / (2.0 * self.spread))
        # An expert without load may get some.
        mean = np.maximum(1.0 + kept * (self.relative - 1.0), 1e-3)
        rest = square - (1.0 - kept) ** 2 * self.spread + kept**2 * self.unknown
        return mean, np.maximum(rest / (mean**2).mean(axis=1, keepdims=True), _LEAST)

    def mean(self) -> Floats:
        """Return the expected shares, (n_layers, n_experts)."""
        if self.counts is None:
            return _normalized(self.relative)
        total = np.zeros_like(self.relative)
        for weight, moved in zip(self.weights, _GRID.tolist(), strict=True):
            if weight > 1e-6:
                mean, v = self.expected(moved)
                factor = (1.0 / v + self.counts) / (1.0 / v + self._tokens() * mean)
                total += weight * mean * factor
        return _normalized(total)

    def draw(self, n: int, moved: float, random_state: np.random.Generator) -> Floats:
        """Draw later shares, (n, n_layers, n_experts).

        Parameters
        ----------
        n : int
        moved : float
            Without a record: largest share of the load that moves; from 0 to this in equal steps.
        random_state : Generator
        """
        out = np.empty((n, *self.relative.shape))
        for i in range(n):
            if self.counts is None:
                out[i] = self.moved_by(moved * (i + 1) / n, random_state)
            else:
                mean, v = self.expected(float(random_state.choice(_GRID, p=self.weights)))
                factor = random_state.gamma(1.0 / v + self.counts)
                out[i] = _normalized(mean * factor / (1.0 / v + self._tokens() * mean))
        return out

    def moved_by(self, moved: float, random_state: np.random.Generator) -> Floats:
        """Draw later shares if this share of the load moves, (n_layers, n_experts)."""
        mean, v = self.expected(moved)
        return _normalized(mean * random_state.gamma(np.broadcast_to(1.0 / v, mean.shape)) * v)

    def _tokens(self) -> Floats:
        """Return the choices of an expert of mean load, (n_layers, 1)."""
        assert self.counts is not None
        return self.counts.mean(axis=1, keepdims=True)

    def _log_likelihood(self, counts: Floats, moved: float) -> float:
        """Return the log likelihood of negative binomial counts, up to a constant."""
        mean, v = self.expected(moved)
        shape, rate = 1.0 / v, counts.mean(axis=1, keepdims=True) * mean
        terms = gammaln(counts + shape) - gammaln(shape) + shape * np.log(shape)
        terms += counts * np.log(rate) - (counts + shape) * np.log(shape + rate)
        return float(terms.sum())


def _normalized(loads: Floats) -> Floats:
    return loads / np.maximum(loads.sum(axis=1, keepdims=True), 1e-300)
