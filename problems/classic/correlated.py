"""Correlated uniform variates, from which the random instances are made."""

from __future__ import annotations

import math

import numpy as np
from scipy.special import ndtr, ndtri

from problems._arrays import Floats
from problems._checks import check_real, setting_error

__all__ = ["check_correlation", "correlated_uniforms", "lowest_correlation", "pulled_uniforms"]


def lowest_correlation(n_obj: int) -> float:
    """Return the lowest common correlation of `n_obj` uniform variates of `correlated_uniforms`.

    Normal variates with the common correlation r exist for r >= -1/(m-1), and the uniform variates
    made from them have the correlation 6/pi * asin(r/2).
    """
    if n_obj < 2:
        return -1.0
    return 6.0 / math.pi * math.asin(-0.5 / (n_obj - 1))


def check_correlation(owner: str, name: str, value: float, n_obj: int) -> float:
    """Return `value`, or raise if `n_obj` uniform variates cannot have that correlation."""
    correlation = check_real(owner, name, value, -1.0, 1.0)
    lowest = lowest_correlation(n_obj)
    if correlation < lowest:
        raise setting_error(owner, name, f"at least {lowest:.4f} for {n_obj} objectives", value)
    return correlation


def correlated_uniforms(
    size: int, n_obj: int, correlation: float, rng: np.random.Generator
) -> Floats:
    """Return [size, n_obj] uniform variates, each pair of columns with the correlation.

    The multivariate uniform law of the rho-MNK-landscapes: normal variates with the correlation
    2 sin(pi/6 * correlation), sent through the normal distribution function.
    """
    r = min(1.0, 2.0 * math.sin(math.pi / 6.0 * correlation))
    # The symmetric square root of the covariance in closed form, own * I + shared * ones. Unlike a
    # factorization, it is the same on every machine, and it exists if the matrix is singular.
    own = math.sqrt(1.0 - r)
    shared = (math.sqrt(max(0.0, 1.0 + (n_obj - 1) * r)) - own) / n_obj
    normal = rng.standard_normal((size, n_obj))
    return np.asarray(ndtr(own * normal + shared * normal.sum(axis=1, keepdims=True)))


def pulled_uniforms(values: Floats, correlation: float, rng: np.random.Generator) -> Floats:
    """Return variates in [0, 1] drawn around `values`, as in the mQAP generators.

    Each is normal with mean v (1 - v if `correlation` is negative) and standard deviation
    1 - sqrt(abs(correlation)), truncated to [0, 1]. The correlation 0 gives uniform variates that
    do not depend on `values`; 1 and -1 give v and 1 - v. The Pearson correlation of the result is
    different (0.92 for 0.8).
    """
    u = np.asarray(rng.random(values.shape))
    mean = values if correlation >= 0 else 1.0 - values
    spread = 1.0 - math.sqrt(abs(correlation))
    if correlation == 0:
        return u
    if spread == 0:
        return np.asarray(mean)
    low, high = ndtr((0.0 - mean) / spread), ndtr((1.0 - mean) / spread)
    return np.asarray(np.clip(mean + spread * ndtri(low + u * (high - low)), 0.0, 1.0))
