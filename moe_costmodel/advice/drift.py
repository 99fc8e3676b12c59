"""Drift of expert loads: a Gamma factor for each expert, and its estimate from a short record.

The share of an expert in later traffic is its share now times a factor, which is drawn for each
expert from a Gamma distribution of mean 1. Counts given the factors are Poisson, so the factors
given the counts are Gamma again (the empirical Bayes estimate of rates; Robbins, 1956; Gelman et
al., Bayesian Data Analysis, section 2.6).
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import brentq
from scipy.special import gammaln

from moe_costmodel._arrays import Floats

__all__ = ["DriftedLoads", "variance_of"]

_GRID = np.geomspace(1e-3, 5.0, 40)


def variance_of(moved: float) -> float:
    """Return the variance of the factors at which a share `moved` of the load is on other experts.

    `moved` is the expected total variation distance, half the mean absolute deviation of the
    factors, between 0 and 0.9.
    """

    def distance(variance: float) -> float:
        shape = 1.0 / variance
        return float(np.exp((shape - 1.0) * np.log(shape) - shape - gammaln(shape)))

    if moved <= distance(1e-6):
        return 1e-6
    return float(brentq(lambda v: distance(v) - moved, 1e-6, 200.0))


class DriftedLoads:
    """Distribution of later loads, given loads of before and perhaps a short record of later ones.

    Parameters
    ----------
    shares : ndarray of shape (n_layers, n_experts)
        Share of each expert before; rows sum to 1.
    counts : ndarray of shape (n_layers, n_experts), optional
        Choices in the short record.
    most_moved : float
        Without a record: largest share of the load that is taken to move to other experts.
    """

    def __init__(self, shares: Floats, counts: Floats | None, most_moved: float) -> None:
        # An expert without load may get some: half a choice in a thousand of each expert.
        smooth = shares + 0.0005 / shares.shape[1]
        self.shares = smooth / smooth.sum(axis=1, keepdims=True)
        self.counts = counts
        self.most_moved = most_moved
        self.weights = np.zeros(0)
        if counts is not None:
            expected = counts.sum(axis=1, keepdims=True) * self.shares
            likelihood = np.array([_log_likelihood(counts, expected, v) for v in _GRID])
            weights = np.exp(likelihood - likelihood.max())
            self.weights = weights / weights.sum()

    def mean(self) -> Floats:
        """Return the expected shares, (n_layers, n_experts)."""
        if self.counts is None:
            return self.shares
        expected = self.counts.sum(axis=1, keepdims=True) * self.shares
        factor = sum(
            weight * (1.0 / v + self.counts) / (1.0 / v + expected)
            for weight, v in zip(self.weights, _GRID, strict=True)
            if weight > 1e-6
        )
        return _normalized(self.shares * factor)

    def draw(self, n: int, random_state: np.random.Generator) -> Floats:
        """Draw later shares, (n, n_layers, n_experts)."""
        out = np.empty((n, *self.shares.shape))
        for i in range(n):
            if self.counts is None:
                v = variance_of(self.most_moved * (i + 1) / n)
                factor = random_state.gamma(1.0 / v, v, self.shares.shape)
            else:
                v = random_state.choice(_GRID, p=self.weights)
                expected = self.counts.sum(axis=1, keepdims=True) * self.shares
                scale = 1.0 / (1.0 / v + expected)
                factor = random_state.gamma(1.0 / v + self.counts) * scale
            out[i] = _normalized(self.shares * factor)
        return out


def _normalized(loads: Floats) -> Floats:
    return loads / np.maximum(loads.sum(axis=1, keepdims=True), 1e-300)


def _log_likelihood(counts: Floats, expected: Floats, variance: float) -> float:
    """Return the log likelihood of negative binomial counts, up to a constant."""
    shape = 1.0 / variance
    terms = gammaln(counts + shape) - gammaln(shape) + shape * np.log(shape)
    terms += counts * np.log(expected) - (counts + shape) * np.log(shape + expected)
    return float(terms.sum())
