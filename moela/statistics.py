"""Statistics over seeds: rank tests, Holm's correction, mean ranks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from moela.base import require

Floats = NDArray[np.float64]


def compare_samples(a: ArrayLike, b: ArrayLike, alternative: str = "two-sided") -> float:
    """Return the p-value of Wilcoxon's rank sum test for two independent samples.

    Exact where there are no ties, else by the normal approximation with its correction for ties.

    Parameters
    ----------
    a, b : float arrays, [n], [m]
    alternative : {"two-sided", "greater", "less"}
        "greater" is that `a` is.

    References
    ----------
    Mann and Whitney 1947, "On a test of whether one of two random variables is stochastically
    larger than the other".
    """
    from scipy.stats import mannwhitneyu

    allowed = ("two-sided", "greater", "less")
    expected = f"one of {', '.join(allowed)}"
    require("compare_samples", "alternative", alternative, alternative in allowed, expected)
    x, y = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    both = np.concatenate([x, y])
    if np.all(both == both[0]):
        return 1.0
    ties = len(np.unique(both)) < len(both)
    method = "asymptotic" if ties else "exact"
    return float(mannwhitneyu(x, y, alternative=alternative, method=method).pvalue)


def compare_pairs(a: ArrayLike, b: ArrayLike, alternative: str = "two-sided") -> float:
    """Return the p-value of Wilcoxon's signed rank test for pairs, such as medians by problem.

    Pairs without a difference are left out; without any left the p-value is 1.
    """
    from scipy.stats import wilcoxon

    difference = np.asarray(a, dtype=float) - np.asarray(b, dtype=float)
    difference = difference[difference != 0]
    if len(difference) == 0:
        return 1.0
    return float(wilcoxon(difference, alternative=alternative).pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values adjusted for several tests by Holm's step-down procedure.

    References
    ----------
    Holm 1979, "A simple sequentially rejective multiple test procedure".
    """
    p = np.asarray(p_values, dtype=float)
    order = np.argsort(p, kind="stable")
    steps = (len(p) - np.arange(len(p))) * p[order]
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return [float(v) for v in adjusted]


def mean_ranks(scores: ArrayLike) -> Floats:
    """Return the mean rank of each column over the rows; the largest of a row has rank 1.

    Parameters
    ----------
    scores : float array, [n, k]
        Larger is better. Equal ones share the mean of their ranks.

    Returns
    -------
    float array, [k]
    """
    from scipy.stats import rankdata

    return np.asarray(rankdata(-np.asarray(scores, dtype=float), axis=1).mean(axis=0))
