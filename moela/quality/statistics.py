"""Statistics over seeds and problems: rank tests, Holm's correction, effect sizes, mean ranks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import comb

import numpy as np
from numpy.typing import ArrayLike

from moela._arrays import Bools, Floats, unmasked
from moela._checks import require

# Values up to which p-values don't rest on a normal or chi-squared approximation, which are far off
# for a few runs: they can be below the smallest possible p-value.
_FEW = 60
# Pairs of values up to which scipy computes an exact p-value of two samples in a second. Of two
# samples of 1,000 values, it takes minutes, and its counts overflow.
_EXACT_PAIRS = 40_000
# Random arrangements of ranks for a p-value, which is within 0.002 of the exact one near 0.05.
_ARRANGEMENTS, _AT_ONCE = 2**16, 2**12


def quartiles(values: Floats) -> dict[str, float]:
    """Return the median and the quartiles as columns of a table; values may be infinite."""
    points = [0.25, 0.5, 0.75]
    if np.isfinite(values).all():
        q1, median, q3 = np.quantile(values, points)
    else:  # observed values, since interpolating between a number and infinity gives NaN
        q1, median, q3 = np.quantile(values, points, method="higher")
    return {"median": float(median), "q1": float(q1), "q3": float(q3)}


def compare_samples(a: ArrayLike, b: ArrayLike) -> float:
    """Return the two-sided p-value of Wilcoxon's rank sum test for two independent samples.

    Exact for up to 60 values, and for samples without ties whose sizes have a product of at most
    40,000; else by the normal approximation, corrected for ties (Mann and Whitney 1947, "On a test
    of whether one of two random variables is stochastically larger than the other"). An exact value
    is twice the smaller tail, at most 1. Infinities are compared like numbers.

    Raises
    ------
    ValueError
        A sample is empty or holds NaN.
    """
    from scipy.stats import mannwhitneyu, rankdata

    x, y = _sample("compare_samples", "a", a), _sample("compare_samples", "b", b)
    both = np.concatenate([x, y])
    if np.all(both == both[0]):
        return 1.0
    ties = len(np.unique(both)) < len(both)
    if ties and len(both) <= _FEW:
        return _exact_rank_sum(rankdata(both), len(x))
    many = len(both) > _FEW and len(x) * len(y) > _EXACT_PAIRS
    method = "asymptotic" if ties or many else "exact"
    return float(mannwhitneyu(x, y, alternative="two-sided", method=method).pvalue)


def _sample(owner: str, name: str, given: ArrayLike) -> Floats:
    """Return a parameter as a sample [n >= 1] without NaN."""
    values = np.asarray(unmasked(given), dtype=float)
    fits = values.ndim == 1 and len(values) > 0 and not np.isnan(values).any()
    require(owner, name, values.tolist(), bool(fits), "numbers, at least one and no NaN")
    return values


def _exact_rank_sum(ranks: Floats, n: int) -> float:
    """Return the two-sided p-value of the sum of the first n ranks among all choices of n ranks."""
    doubled = np.rint(2.0 * ranks).astype(int)  # mean ranks of ties are halves
    most = int(doubled.sum())
    ways = np.zeros((n + 1, most + 1))  # choices of so many ranks with such a sum
    ways[0, 0] = 1.0
    for rank in doubled:
        ways[1:, rank:] += ways[:-1, : most + 1 - rank]
    own = int(doubled[:n].sum())
    tail = min(ways[n, : own + 1].sum(), ways[n, own:].sum())
    return min(1.0, float(2.0 * tail / ways[n].sum()))


def compare_pairs(a: ArrayLike, b: ArrayLike) -> float:
    """Return the two-sided p-value of Wilcoxon's signed rank test for pairs, such as seeds.

    Pairs without a difference are left out; if none is left, the p-value is 1. It is exact for up
    to 60 other pairs, with equal differences, too. A ValueError says if the two are not of one
    length, are empty, or hold NaN.
    """
    from scipy.stats import rankdata, wilcoxon

    changes = _changes("compare_pairs", a, b)
    if len(changes) <= _FEW:
        return _exact_signed_rank(rankdata(np.abs(changes)), changes > 0)
    return float(wilcoxon(changes).pvalue)


def _exact_signed_rank(ranks: Floats, positive: Bools) -> float:
    """Return the two-sided p-value of the sum of the positive ranks among all choices of signs."""
    doubled = np.rint(2.0 * ranks).astype(int)  # mean ranks of ties are halves
    most = int(doubled.sum())
    ways = np.zeros(most + 1)  # choices of signs with such a sum
    ways[0] = 1.0
    for rank in doubled:
        ways[rank:] += ways[: most + 1 - rank].copy()
    own = int(doubled[positive].sum())
    tail = min(ways[: own + 1].sum(), ways[own:].sum())
    return min(1.0, float(2.0 * tail / ways.sum()))


def pair_balance(a: ArrayLike, b: ArrayLike) -> float:
    """Return the rank-biserial correlation of pairs: 1 if `a` is always above `b`, -1 if below.

    It is the balance of the ranks that Wilcoxon's signed rank test sums, so it gives the direction
    of that test (Kerby 2014, "The simple difference formula: an approach to teaching nonparametric
    correlation").
    """
    from scipy.stats import rankdata

    changes = _changes("pair_balance", a, b)
    ranks = rankdata(np.abs(changes))
    return float((np.sign(changes) * ranks).sum() / ranks.sum()) if len(ranks) else 0.0


def _changes(owner: str, a: ArrayLike, b: ArrayLike) -> Floats:
    """Return the differences of the pairs that differ."""
    x, y = _sample(owner, "a", a), _sample(owner, "b", b)
    require(owner, "b", len(y), len(y) == len(x), f"{len(x)} numbers, one for each of 'a'")
    differs = x != y  # before subtracting, since infinity minus infinity is NaN
    return np.asarray(x[differs] - y[differs])


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values adjusted for several tests by Holm's step-down procedure.

    Holm 1979, "A simple sequentially rejective multiple test procedure".
    """
    p = np.asarray(p_values, dtype=float)
    order = np.argsort(p, kind="stable")
    steps = (len(p) - np.arange(len(p))) * p[order]
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return list(map(float, adjusted))


def effect_size(a: ArrayLike, b: ArrayLike) -> float:
    """Return Vargha and Delaney's A12, the probability that a value of `a` is above one of `b`.

    Ties count half: 0.5 is no difference, 1 means that all of `a` is above all of `b`. Infinities
    are compared like numbers. Vargha and Delaney 2000, "A critique and improvement of the CL common
    language effect size statistics of McGraw and Wong".
    """
    x, y = _sample("effect_size", "a", a), _sample("effect_size", "b", b)
    above = (x[:, None] > y[None, :]).mean()
    return float(above + 0.5 * (x[:, None] == y[None, :]).mean())


def magnitude(a12: float) -> str:
    """Return Vargha and Delaney's word for an effect: negligible, small, medium or large."""
    distance = abs(a12 - 0.5)
    steps = ((0.21, "large"), (0.14, "medium"), (0.06, "small"))
    # A tolerance, since 0.71 - 0.5 is slightly less than 0.21.
    return next((name for step, name in steps if distance >= step - 1e-12), "negligible")


@dataclass(frozen=True)
class AverageRanks:
    """Mean ranks of algorithms over blocks, with Friedman's test of their differences.

    Attributes
    ----------
    ranks : float array, [k]
        Mean ranks; 1 is best.
    n_blocks : int
        Problems, or seeds.
    statistic, p_value : float
        Friedman's chi-squared, corrected for ties, and its p-value; see `rank_blocks`.
    critical_difference : float
        Nemenyi's critical difference; closer mean ranks aren't significantly different.
    alpha : float
    """

    ranks: Floats
    n_blocks: int
    statistic: float
    p_value: float
    critical_difference: float
    alpha: float

    def groups(self) -> list[tuple[int, ...]]:
        """Return the largest sets of algorithms without significant differences, best ranks first.

        An algorithm that differs significantly from all others belongs to no group.
        """
        order = np.argsort(self.ranks, kind="stable")
        ranks = self.ranks[order]
        groups: list[tuple[int, ...]] = []
        reached = 0
        for start in range(len(order)):
            end = int(np.searchsorted(ranks, ranks[start] + self.critical_difference, "right"))
            if end - start > 1 and end > reached:
                groups.append(tuple(int(i) for i in order[start:end]))
            reached = max(reached, end)
        return groups


def rank_blocks(scores: ArrayLike, alpha: float = 0.05) -> AverageRanks:
    """Rank algorithms within blocks and test whether their mean ranks differ.

    Scores [n, k] have a row per block (a problem or a seed) and a column per algorithm; larger is
    better. `alpha` is the significance level of the critical difference.

    The p-value of two algorithms is exact: that of the sign test. That of more algorithms comes
    from 65,536 random orders within the blocks, always the same ones, for up to 60 scores, else
    from the chi-squared distribution with k - 1 degrees of freedom.

    References
    ----------
    Friedman 1937, "The use of ranks to avoid the assumption of normality"; Demsar 2006,
    "Statistical comparisons of classifiers over multiple data sets", for the critical difference.
    """
    from scipy.stats import rankdata, studentized_range

    table = np.asarray(unmasked(scores), dtype=float)
    fits = table.ndim == 2 and table.shape[0] >= 1 and table.shape[1] >= 2
    require("rank_blocks", "scores", table.shape, fits, "of shape [n >= 1, k >= 2]")
    require("rank_blocks", "scores", "a NaN", not np.isnan(table).any(), "without NaN")
    require("rank_blocks", "alpha", alpha, 0 < alpha < 1, "between 0 and 1")
    n, k = table.shape
    ranks = rankdata(-table, axis=1)
    # Conover's form, which includes the correction for ties.
    spread = float((ranks**2).sum()) - n * k * (k + 1) ** 2 / 4
    between = float(((ranks.sum(axis=0) - n * (k + 1) / 2) ** 2).sum())
    statistic = (k - 1) * between / spread if spread > 0 else 0.0
    quantile = float(studentized_range.ppf(1 - alpha, k, np.inf)) / np.sqrt(2)
    return AverageRanks(
        ranks=np.asarray(ranks.mean(axis=0)),
        n_blocks=n,
        statistic=float(statistic),
        p_value=_friedman(ranks, statistic) if spread > 0 else 1.0,
        critical_difference=float(quantile * np.sqrt(k * (k + 1) / (6 * n))),
        alpha=alpha,
    )


def _friedman(ranks: Floats, statistic: float) -> float:
    """Return the p-value of Friedman's statistic for ranks [n, k] within blocks."""
    from scipy.stats import binomtest, chi2

    n, k = ranks.shape
    if k == 2:
        first, second = (int((ranks[:, j] == 1.0).sum()) for j in (0, 1))
        return float(binomtest(first, first + second).pvalue)
    if n * k > _FEW:
        return float(chi2.sf(statistic, k - 1))

    def spread(tables: Floats) -> Floats:
        return np.asarray((tables.sum(axis=1) ** 2).sum(axis=1))

    return _by_arrangement(np.rint(2.0 * ranks) - (k + 1), spread)


def compare_groups(groups: Sequence[ArrayLike]) -> float:
    """Return the p-value of the Kruskal-Wallis test for independent samples; 1 if all are equal.

    For two samples it is that of `compare_samples`. For more it comes from 65,536 random
    arrangements, always the same ones, for up to 60 values, else from the chi-squared distribution.
    Kruskal and Wallis 1952, "Use of ranks in one-criterion variance analysis". A ValueError says if
    there is no sample, or if one is empty or holds NaN.
    """
    from scipy.stats import kruskal, rankdata

    samples = [_sample("compare_groups", f"groups[{i}]", group) for i, group in enumerate(groups)]
    require("compare_groups", "groups", groups, len(samples) > 0, "at least one sample")
    if len(samples) == 2:
        return compare_samples(*samples)
    both = np.concatenate(samples)
    if np.all(both == both[0]):
        return 1.0
    if len(both) > _FEW:
        return float(kruskal(*samples).pvalue)
    samples.sort(key=len)  # as arrangements are drawn for samples of these sizes
    both = np.concatenate(samples)
    sizes = np.array([len(sample) for sample in samples])
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])

    def spread(rows: Floats) -> Floats:
        return np.asarray((np.add.reduceat(rows, starts, axis=1) ** 2 / sizes).sum(axis=1))

    return _by_arrangement(np.rint(2.0 * rankdata(both)) - (len(both) + 1), spread)


def _by_arrangement(ranks: Floats, spread: Callable[[Floats], Floats]) -> float:
    """Return the share of arrangements whose spread is at least that of these ranks.

    Ranks are rearranged along the last axis; `spread` takes arrays with an axis in front. The ranks
    themselves count as one arrangement, so that the share is a valid p-value (Phipson and Smyth
    2010, "Permutation p-values should never be zero").
    """
    rng = np.random.default_rng(0)
    least = float(spread(ranks[None])[0]) * (1.0 - 1e-12)
    # Arrangements begin at sorted ranks, so that the order of samples and blocks does not matter.
    first = np.sort(ranks, axis=-1)
    if first.ndim == 2:
        first = first[np.lexsort(first.T)]
    many = np.broadcast_to(first, (_AT_ONCE, *first.shape))
    blocks = range(0, _ARRANGEMENTS, _AT_ONCE)
    reached = sum(int((spread(rng.permuted(many, axis=-1)) >= least).sum()) for _ in blocks)
    return (1 + reached) / (1 + _ARRANGEMENTS)


def least_p_value(n: int, m: int, paired: bool) -> float:
    """Return the smallest p-value that n pairs, or n and m unpaired runs, can give."""
    return min(1.0, 2.0 / (2**n if paired else comb(n + m, n)))
