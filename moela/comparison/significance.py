"""Significance of differences between algorithms: tests, wins, mean ranks, and ratios."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from moela._arrays import Floats
from moela.comparison.scale import LARGER_IS_BETTER
from moela.quality.statistics import (
    AverageRanks,
    compare_groups,
    compare_pairs,
    compare_samples,
    effect_size,
    holm,
    least_p_value,
    magnitude,
    pair_balance,
    quartiles,
    rank_blocks,
)
from moela.quality.table import Row, Table

if TYPE_CHECKING:
    from moela.comparison.comparison import Comparison


@dataclass(frozen=True)
class Sample:
    """Values of an indicator over the runs of an algorithm on a problem, and their seeds, [n]."""

    values: Floats
    seeds: tuple[int | None, ...]

    @property
    def seeded(self) -> bool:
        """Whether each run has a seed of its own."""
        return None not in self.seeds and len(set(self.seeds)) == len(self.seeds)


# With five pairs the smallest p-value of the signed rank test is 0.0625: it could never reject.
LEAST_PAIRS = 6


def aligned(
    a: Sample, b: Sample, paired: bool | None, at_least: int = LEAST_PAIRS
) -> tuple[Floats, Floats, bool]:
    """Return two samples in the order of their seeds, and whether they are pairs.

    By default, samples of the same seeds, at least `at_least`, are pairs. If `paired` is True, runs
    are paired by common seeds, or by position without seeds.
    """
    if paired is False:
        return a.values, b.values, False
    if a.seeded and b.seeded:
        common = sorted(set(a.seeds) & set(b.seeds))  # type: ignore[type-var]
        same = len(common) == len(a.seeds) == len(b.seeds)
        if (paired and common) or (same and len(common) >= at_least):
            left = np.array([a.values[a.seeds.index(seed)] for seed in common])
            right = np.array([b.values[b.seeds.index(seed)] for seed in common])
            return left, right, True
    elif paired and len(a.values) == len(b.values):
        return a.values, b.values, True
    if paired:
        raise ValueError(
            "The 'paired' parameter of compare must be None or False for runs that have neither "
            f"seeds in common nor the same number. Got True instead, for seeds {a.seeds} and "
            f"{b.seeds}."
        )
    return a.values, b.values, False


def summary(c: Comparison, indicator: str | None = None) -> Table:
    """Return medians and quartiles over the runs of an algorithm on a problem.

    Columns: ``problem, algorithm, runs, median, q1, q3, best`` (whether no median is better).
    """
    rows: list[Row] = []
    for problem, group in c.samples(indicator).items():
        block: list[Row] = [
            {"problem": problem, "algorithm": a, "runs": len(s.values), **quartiles(s.values)}
            for a, s in group.items()
        ]
        medians = [row["median"] for row in block]
        best = max(medians) if _sign(c, indicator) > 0 else min(medians)
        rows += [row | {"best": row["median"] == best} for row in block]
    return Table(rows)


def _sign(c: Comparison, indicator: str | None) -> float:
    """Return 1 if larger values of an indicator are better, else -1."""
    return 1.0 if LARGER_IS_BETTER[c.only_indicator(indicator)] else -1.0


def pairwise_tests(c: Comparison, indicator: str | None = None) -> Table:
    """Return a table with one row for each pair of algorithms on each problem.

    Columns: ``problem, algorithm, rival, n, n_rival, median, rival_median, test, p_value``
    (two-sided), ``a12`` (the probability that a run of the algorithm is better than one of the
    rival), ``effect`` (in a word), ``least_p`` (the smallest p-value that this number of runs
    can give), ``p_holm`` and ``verdict``. The test is Wilcoxon's: signed rank if runs are
    paired by seed, rank sum otherwise. Holm's correction is over the pairs on a problem.
    """
    sign = _sign(c, indicator)
    rows: list[Row] = []
    for problem, group in c.samples(indicator).items():
        block: list[Row] = []
        ahead: list[float] = []  # positive if the test favors the algorithm
        for a, b in _pairs(list(group), c.baseline):
            x, y, are_pairs = aligned(group[a], group[b], c.paired)
            enough = len(x) >= 2 and len(y) >= 2
            x, y = sign * x, sign * y
            p = (compare_pairs if are_pairs else compare_samples)(x, y) if enough else np.nan
            a12 = effect_size(x, y)
            ahead.append(pair_balance(x, y) if are_pairs else a12 - 0.5)
            block.append(
                {
                    "problem": problem,
                    "algorithm": a,
                    "rival": b,
                    "n": len(x),
                    "n_rival": len(y),
                    "median": quartiles(group[a].values)["median"],
                    "rival_median": quartiles(group[b].values)["median"],
                    "test": "signed rank" if are_pairs else "rank sum",
                    "p_value": float(p),
                    "a12": a12,
                    "effect": magnitude(a12),
                    "least_p": least_p_value(len(x), len(y), are_pairs),
                }
            )
        tested = [row for row in block if not np.isnan(row["p_value"])]
        for row, p in zip(tested, holm([row["p_value"] for row in tested]), strict=True):
            row["p_holm"] = p
        for row, direction in zip(block, ahead, strict=True):
            row.setdefault("p_holm", float("nan"))
            row["verdict"] = _verdict(row["p_holm"], direction, c.alpha)
        rows += block
    return Table(rows)


def _pairs(names: list[str], baseline: str | None) -> list[tuple[str, str]]:
    if baseline is None:
        return list(itertools.combinations(names, 2))
    return [(baseline, name) for name in names if name != baseline] if baseline in names else []


def _verdict(p_value: float, direction: float, alpha: float) -> str:
    if np.isnan(p_value):
        return "not tested"
    if p_value >= alpha or direction == 0:
        return "not distinguished"
    return "better" if direction > 0 else "worse"


def wins(c: Comparison, indicator: str | None = None) -> Table:
    """Return the share of comparisons of runs that the algorithm of a row wins.

    Each rival has a column, NaN without a common problem; ``overall`` is the mean over rivals. Runs
    of equal seeds are compared if they are pairs, else every run with every run. Ties count half,
    and problems have equal weights.
    """
    sign, names, samples = _sign(c, indicator), c.algorithms, c.samples(indicator)
    shares = np.full((len(names), len(names)), np.nan)
    for (i, a), (j, b) in itertools.permutations(enumerate(names), 2):
        won = []
        for group in samples.values():
            if a in group and b in group:
                x, y, are_pairs = aligned(group[a], group[b], c.paired)
                x, y = sign * x, sign * y
                if are_pairs:
                    won.append(float(((x > y) + 0.5 * (x == y)).mean()))
                else:
                    won.append(effect_size(x, y))
        if won:
            shares[i, j] = float(np.mean(won))
    rows = []
    for name, row in zip(names, shares, strict=True):
        known = row[~np.isnan(row)]
        mean = float(known.mean()) if len(known) else float("nan")
        cells = dict(zip(names, row.tolist(), strict=True))
        rows.append({"algorithm": name, **cells, "overall": mean})
    return Table(rows)


@dataclass(frozen=True)
class Overall:
    """Mean ranks of algorithms, and the test whether any of them differ.

    Attributes
    ----------
    algorithms : tuple of str
        The algorithms that every block has.
    blocks : str
        Blocks to rank within: ``"problems"`` (by medians), ``"seeds"``, or ``""`` if there are
        none, with one problem and runs that can't be paired.
    ranking : AverageRanks or None
        Mean ranks and Friedman's test; None without blocks.
    p_value : float
        Of Friedman's test; without blocks of the Kruskal-Wallis test. NaN if neither is possible.
    """

    algorithms: tuple[str, ...]
    blocks: str
    ranking: AverageRanks | None
    p_value: float


def ranks(c: Comparison, indicator: str | None = None) -> Overall:
    """Return mean ranks and Friedman's test: over problems, or over seeds of one problem."""
    sign, groups = _sign(c, indicator), list(c.samples(indicator).values())
    names = [name for name in groups[0] if all(name in group for group in groups)]
    if len(names) < 2:
        return Overall(tuple(names), "", None, float("nan"))
    if len(groups) > 1:
        scores = [[sign * quartiles(group[n].values)["median"] for n in names] for group in groups]
        ranking = rank_blocks(scores, c.alpha)
        return Overall(tuple(names), "problems", ranking, ranking.p_value)
    group = groups[0]
    first = group[names[0]]
    columns = [aligned(first, group[name], c.paired, at_least=2) for name in names[1:]]
    same = {len(x) for x, _, _ in columns}
    if all(pairs for _, _, pairs in columns) and len(same) == 1:
        table = np.column_stack([columns[0][0], *(y for _, y, _ in columns)])
        ranking = rank_blocks(sign * table, c.alpha)
        return Overall(tuple(names), "seeds", ranking, ranking.p_value)
    several = all(len(group[name].values) > 1 for name in names)
    p = compare_groups([group[name].values for name in names]) if several else float("nan")
    return Overall(tuple(names), "", None, p)


def ratios(c: Comparison, indicator: str | None = None) -> dict[str, Floats]:
    """Return how many times worse than the best algorithm each one is, by instance.

    An instance is a problem and a run: the runs of equal seeds if all algorithms have the same
    seeds, else the first run of each algorithm, the second, and so on. Problems on which an
    algorithm has no run are left out.

    Returns
    -------
    dict of float array [n_instances] by algorithm
        At least 1; infinity if a run has no feasible point and another has.
    """
    names, larger = c.algorithms, _sign(c, indicator) > 0
    parts: dict[str, list[Floats]] = {name: [] for name in names}
    for group in c.samples(indicator).values():
        if len(group) < len(names):
            continue
        own = list(group.values())
        n = min(len(s.values) for s in own)
        by_seed = all(s.seeded for s in own) and len({frozenset(s.seeds) for s in own}) == 1
        orders = [np.array(s.seeds, float).argsort() if by_seed else slice(n) for s in own]
        table = np.array([s.values[k] for s, k in zip(own, orders, strict=True)])
        for name, ratio in zip(group, _ratios(table, larger), strict=True):
            parts[name].append(ratio)
    if not parts[names[0]]:
        raise ValueError(
            "There is no problem on which every algorithm has a run. Add the missing runs, or "
            "compare fewer algorithms."
        )
    return {name: np.concatenate(ratios) for name, ratios in parts.items()}


def _ratios(values: Floats, larger_is_better: bool) -> Floats:
    """Return values [k, n] relative to the best of their column, at least 1."""
    best = values.max(axis=0) if larger_is_better else values.min(axis=0)
    own, reference = (best, values) if larger_is_better else (values, best)
    own, reference = np.broadcast_arrays(own, reference)
    out = np.full(values.shape, np.inf)
    np.divide(own, reference, out=out, where=(reference > 0) & np.isfinite(reference))
    return np.where(values == best, 1.0, out)
