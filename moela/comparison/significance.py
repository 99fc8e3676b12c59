"""Which differences between algorithms are more than chance: tests, wins and ranks."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

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


@dataclass(frozen=True)
class Sample:
    """One indicator of the runs of one algorithm on one problem.

    Attributes
    ----------
    values : float array, [n]
    seeds : tuple of int or None, [n]
    """

    values: Floats
    seeds: tuple[int | None, ...]

    @property
    def seeded(self) -> bool:
        """Whether each run has a seed of its own."""
        return None not in self.seeds and len(set(self.seeds)) == len(self.seeds)


Samples = Mapping[str, Mapping[str, Sample]]
"""By problem, then by algorithm."""


# With five pairs the least p-value of the signed rank test is 0.0625, and it could never reject.
LEAST_PAIRS = 6


def aligned(
    a: Sample, b: Sample, paired: bool | None, at_least: int = LEAST_PAIRS
) -> tuple[Floats, Floats, bool]:
    """Return two samples in the order of their seeds, and whether they are pairs.

    Parameters
    ----------
    a, b : Sample
    paired : bool or None
        None: where both have the same seeds, enough of them. True: by the seeds that both have,
        without seeds by position. False: never.
    at_least : int
        How many pairs are enough.

    Raises
    ------
    ValueError
        ``paired=True`` and there is nothing to pair by.
    """
    if paired is False:
        return a.values, b.values, False
    if a.seeded and b.seeded:
        common = sorted(set(a.seeds) & set(b.seeds))  # type: ignore[type-var]
        same = len(common) == len(a.seeds) == len(b.seeds)
        if (paired and common) or (same and len(common) >= at_least):
            left, right = (
                np.array([s.values[s.seeds.index(seed)] for seed in common]) for s in (a, b)
            )
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


def test_pairs(
    samples: Samples,
    indicator: str,
    *,
    baseline: str | None,
    paired: bool | None,
    alpha: float,
) -> list[dict[str, Any]]:
    """Return a row for each pair of algorithms on each problem; see `Comparison.tests`."""
    sign = 1.0 if LARGER_IS_BETTER[indicator] else -1.0
    rows: list[dict[str, Any]] = []
    for problem, group in samples.items():
        block: list[dict[str, Any]] = []
        ahead: list[float] = []  # above 0 where the test favors the algorithm
        for a, b in _pairs(list(group), baseline):
            x, y, are_pairs = aligned(group[a], group[b], paired)
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
            row["verdict"] = _verdict(row["p_holm"], direction, alpha)
        rows += block
    return rows


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


def win_shares(
    samples: Samples, indicator: str, names: Sequence[str], paired: bool | None
) -> Floats:
    """Return the share of comparisons of runs that each row's algorithm wins, [k, k].

    Runs of equal seeds are compared where they are pairs, else every run with every run; ties
    count half, and problems count the same. NaN where two algorithms share no problem.
    """
    sign = 1.0 if LARGER_IS_BETTER[indicator] else -1.0
    shares = np.full((len(names), len(names)), np.nan)
    for (i, a), (j, b) in itertools.permutations(enumerate(names), 2):
        won = []
        for group in samples.values():
            if a in group and b in group:
                x, y, are_pairs = aligned(group[a], group[b], paired)
                x, y = sign * x, sign * y
                if are_pairs:
                    won.append(float(((x > y) + 0.5 * (x == y)).mean()))
                else:
                    won.append(effect_size(x, y))
        if won:
            shares[i, j] = float(np.mean(won))
    return shares


@dataclass(frozen=True)
class Overall:
    """Whether algorithms differ at all, and their mean ranks.

    Attributes
    ----------
    algorithms : tuple of str
        Those that every block has.
    blocks : str
        What is ranked within: ``"problems"`` (by medians), ``"seeds"``, or ``""`` where neither
        serves: one problem, and runs that can't be paired.
    ranking : AverageRanks or None
        Mean ranks and Friedman's test; None without blocks.
    p_value : float
        Of Friedman's test; without blocks of the Kruskal-Wallis test. NaN where neither can be had.
    """

    algorithms: tuple[str, ...]
    blocks: str
    ranking: AverageRanks | None
    p_value: float


def rank_all(samples: Samples, indicator: str, paired: bool | None, alpha: float) -> Overall:
    """Return mean ranks over problems, over seeds where there is one problem; see `Overall`."""
    sign = 1.0 if LARGER_IS_BETTER[indicator] else -1.0
    groups = list(samples.values())
    names = [name for name in groups[0] if all(name in group for group in groups)]
    if len(names) < 2:
        return Overall(tuple(names), "", None, float("nan"))
    if len(groups) > 1:
        scores = [[sign * quartiles(group[n].values)["median"] for n in names] for group in groups]
        ranking = rank_blocks(scores, alpha)
        return Overall(tuple(names), "problems", ranking, ranking.p_value)
    group = groups[0]
    first = group[names[0]]
    columns = [aligned(first, group[name], paired, at_least=2) for name in names[1:]]
    same = {len(x) for x, _, _ in columns}
    if all(pairs for _, _, pairs in columns) and len(same) == 1:
        table = np.column_stack([columns[0][0], *(y for _, y, _ in columns)])
        ranking = rank_blocks(sign * table, alpha)
        return Overall(tuple(names), "seeds", ranking, ranking.p_value)
    several = all(len(group[name].values) > 1 for name in names)
    p = compare_groups([group[name].values for name in names]) if several else float("nan")
    return Overall(tuple(names), "", None, p)
