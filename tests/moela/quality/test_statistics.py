"""Statistics against worked examples in scipy's and R's documentation and in papers."""

from __future__ import annotations

import itertools
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.stats import mannwhitneyu, rankdata

from moela.quality import statistics

# Hollander and Wolfe 1973, p. 140: times to round first base, 22 players, three methods; the
# example of friedman.test in R.
ROUNDING = np.array(
    [
        [5.40, 5.50, 5.55], [5.85, 5.70, 5.75], [5.20, 5.60, 5.50], [5.55, 5.50, 5.40],
        [5.90, 5.85, 5.70], [5.45, 5.55, 5.60], [5.40, 5.40, 5.35], [5.45, 5.50, 5.35],
        [5.25, 5.15, 5.00], [5.85, 5.80, 5.70], [5.25, 5.20, 5.10], [5.65, 5.55, 5.45],
        [5.60, 5.35, 5.45], [5.05, 5.00, 4.95], [5.50, 5.50, 5.40], [5.45, 5.55, 5.50],
        [5.55, 5.55, 5.35], [5.45, 5.50, 5.55], [5.50, 5.45, 5.25], [5.65, 5.60, 5.40],
        [5.70, 5.65, 5.55], [6.30, 6.30, 6.25],
    ]
)  # fmt: skip


def test_rank_sum_of_r():
    # Hollander and Wolfe 1973, p. 69: permeability of a membrane; wilcox.test(x, y).
    x = [0.80, 0.83, 1.89, 1.04, 1.45, 1.38, 1.91, 1.64, 0.73, 1.46]
    y = [1.15, 0.88, 0.90, 0.74, 1.21]
    assert statistics.compare_samples(x, y) == pytest.approx(0.2544123, abs=5e-8)


def test_ties_between_a_few_runs_have_an_exact_p_value():
    # Three equal values against three others: one of 20 choices, on both sides.
    assert statistics.compare_samples([2.0] * 3, [1.0] * 3) == pytest.approx(0.1)
    x, y = [1, 2, 2, 3], [2, 3, 3, 4, 4, 9]
    ranks = rankdata(x + y)
    sums = np.array([sum(chosen) for chosen in itertools.combinations(ranks, 4)])
    tail = min((sums <= ranks[:4].sum()).mean(), (sums >= ranks[:4].sum()).mean())
    assert statistics.compare_samples(x, y) == pytest.approx(2 * tail)


def test_large_samples_have_a_p_value_in_no_time():
    # Two samples of 1,000 values took scipy's exact method two minutes, and gave NaN.
    x = np.arange(1000.0)
    p = statistics.compare_samples(x, x + 20.5)
    assert p == pytest.approx(mannwhitneyu(x, x + 20.5, method="asymptotic").pvalue)
    assert 0.05 < p < 0.2
    # The limit is where both methods agree.
    x = np.arange(200.0)
    assert statistics.compare_samples(x, x + 9.5) == mannwhitneyu(x, x + 9.5, method="exact").pvalue


@pytest.mark.parametrize(
    ("test", "a", "b", "expected"),
    [
        (statistics.compare_samples, [1.0, np.nan], [2.0, 3.0], "at least one and no NaN"),
        (statistics.compare_samples, [1.0], [], "at least one and no NaN"),
        (statistics.compare_pairs, [1.0, np.nan], [2.0, 3.0], "at least one and no NaN"),
        (statistics.compare_pairs, [1.0, 2.0], [2.0, 3.0, 4.0], "2 numbers, one for each of 'a'"),
        (statistics.pair_balance, [1.0], [2.0, 3.0, 4.0], "1 numbers, one for each of 'a'"),
        (lambda a, b: statistics.compare_groups([a, b, b]), [1.0], [], r"'groups\[1\]' parameter"),
    ],
)
def test_samples_that_mean_nothing_are_refused(test, a, b, expected):
    with pytest.raises(ValueError, match=expected):
        test(a, b)


def test_rank_sum_of_scipy():
    # The example of mannwhitneyu: ages at diagnosis of diabetes.
    assert statistics.compare_samples([19, 22, 16, 29, 24], [20, 11, 17, 12]) == pytest.approx(
        1 / 9
    )


def test_signed_rank_of_r():
    # Hollander and Wolfe 1973, p. 29: depression scales; wilcox.test(paired = TRUE).
    first = [1.83, 0.50, 1.62, 2.48, 1.68, 1.88, 1.55, 3.06, 1.30]
    second = [0.878, 0.647, 0.598, 2.05, 1.06, 1.29, 1.06, 3.14, 1.29]
    assert statistics.compare_pairs(first, second) == pytest.approx(0.0390625)


def test_signed_ranks_with_ties_have_the_p_value_of_all_signs():
    changes = np.array([1, 5, -1, 5, 4, 5, -2, 1, 2, -2, 2, 1, 4, -1])
    ranks = rankdata(np.abs(changes))
    signs = np.array(list(itertools.product([0.0, 1.0], repeat=len(ranks))))
    sums, own = signs @ ranks, ranks[changes > 0].sum()
    expected = 2 * min((sums <= own).mean(), (sums >= own).mean())
    assert expected == pytest.approx(0.05042, abs=5e-6)
    assert statistics.compare_pairs(changes, np.zeros(14)) == pytest.approx(expected, rel=1e-12)
    assert statistics.compare_pairs(np.ones(60), np.zeros(60)) == pytest.approx(2.0**-59)
    assert statistics.compare_pairs([1.0], [1.0]) == 1.0


def test_signed_rank_of_scipy():
    # The example of wilcoxon: heights of cross- and self-fertilized plants.
    d = np.array([6, 8, 14, 16, 23, 24, 28, 29, 41, -48, 49, 56, 60, -67, 75])
    assert statistics.compare_pairs(d, np.zeros(len(d))) == pytest.approx(0.041259765625)


def test_pairs_of_infinite_values():
    # Two runs without feasible designs are equal; one such run is worse than any other.
    a = [np.inf, np.inf, np.inf, np.inf, np.inf, np.inf, 1.0]
    b = [np.inf, 1.0, 2.0, 3.0, 4.0, 5.0, 0.5]
    assert statistics.compare_pairs(a, b) == pytest.approx(2 / 2**6)


def test_friedman_of_r():
    ranking = statistics.rank_blocks(-ROUNDING)
    # R prints this many digits.
    assert ranking.statistic == pytest.approx(11.1429, abs=5e-5)
    assert ranking.p_value == pytest.approx(0.003805, abs=5e-7)


def test_a_few_blocks_have_the_p_value_of_their_orders():
    # Two algorithms: the sign test. Three in full agreement: one order of six in both other blocks.
    assert statistics.rank_blocks([[1.0, 2.0]] * 4).p_value == pytest.approx(2 / 2**4)
    assert statistics.rank_blocks([[1.0, 2.0], [1.0, 1.0]]).p_value == 1.0
    assert statistics.rank_blocks([[1.0, 2.0, 3.0]] * 3).p_value == pytest.approx(1 / 36, abs=2e-3)
    # With two of three tied, the best one must be the same of three in all blocks.
    assert statistics.rank_blocks([[1.0, 1.0, 3.0]] * 3).p_value == pytest.approx(1 / 9, abs=5e-3)


def test_a_few_groups_have_the_p_value_of_their_arrangements():
    assert statistics.compare_groups([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]) == pytest.approx(0.1)
    groups = [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]  # 3! of 6! / 2^3 arrangements
    assert statistics.compare_groups(groups) == pytest.approx(6 / 90, abs=3e-3)


def test_the_order_of_samples_and_blocks_does_not_matter():
    scores = np.array([[5, 4, 3, 2, 1], [5, 3, 2, 4, 1], [5, 2, 3, 4, 1], [4, 2, 3, 5, 1.0]])
    shuffled = [scores[:, [0, 2, 1, 3, 4]], scores[::-1], scores[[1, 3, 0, 2]][:, ::-1]]
    assert {statistics.rank_blocks(table).p_value for table in [scores, *shuffled]} == {
        statistics.rank_blocks(scores).p_value
    }
    rng = np.random.default_rng(1)
    groups = [rng.random(n) + 0.3 * (n == 5) for n in (4, 5, 3, 4)]
    orders = [groups, groups[::-1], [groups[i][::-1] for i in (2, 0, 3, 1)]]
    assert len({statistics.compare_groups(order) for order in orders}) == 1


def test_friedman_of_scipy(monkeypatch):
    monkeypatch.setattr(statistics, "_FEW", 0)
    before = [72, 96, 88, 92, 74, 76, 82]
    at_once = [120, 120, 132, 120, 101, 96, 112]
    later = [76, 95, 104, 96, 84, 72, 76]
    ranking = statistics.rank_blocks(np.column_stack([before, at_once, later]))
    assert ranking.statistic == pytest.approx(10.57142857142857)
    assert ranking.p_value == pytest.approx(0.005063414171757498)
    assert ranking.ranks.argmin() == 1


def test_friedman_without_differences():
    ranking = statistics.rank_blocks(np.ones((4, 3)))
    assert ranking.statistic == 0.0
    assert ranking.p_value == 1.0
    assert ranking.ranks.tolist() == [2.0, 2.0, 2.0]


@pytest.mark.parametrize(
    ("k", "q"),
    # Demsar 2006, table 5(a), level 0.05.
    [(2, 1.960), (3, 2.343), (4, 2.569), (5, 2.728), (6, 2.850), (8, 3.031), (10, 3.164)],
)
def test_critical_difference_of_demsar(k, q):
    ranking = statistics.rank_blocks(np.random.default_rng(k).random((14, k)))
    # The table has three decimals, so q is within 0.0005, and its factor is at most 1.15.
    assert ranking.critical_difference == pytest.approx(q * (k * (k + 1) / 84) ** 0.5, abs=6e-4)


def test_example_of_demsar():
    # Demsar 2006, section 3.2.2: the statistic of untied ranks, four algorithms on 14 data sets.
    scores = np.random.default_rng(5).permuted(np.tile(np.arange(4.0), (14, 1)), axis=1)
    ranking = statistics.rank_blocks(scores)
    formula = 12 * 14 / 20 * ((ranking.ranks**2).sum() - 4 * 25 / 4)
    assert ranking.statistic == pytest.approx(formula)
    # The paper gives two decimals.
    assert ranking.critical_difference == pytest.approx(1.25, abs=5e-3)


def test_groups_are_the_largest_ones():
    ranking = statistics.rank_blocks(np.tile(np.arange(4.0), (30, 1)))
    assert ranking.groups() == []
    close = statistics.rank_blocks(np.tile(np.arange(4.0), (4, 1)))
    # Ranks 4, 3, 2, 1 and a difference of 2.35: the first three, and the last three.
    assert close.groups() == [(3, 2, 1), (2, 1, 0)]


def test_holm_of_r():
    # p.adjust(c(.01, .04, .03, .005, .5), "holm")
    assert statistics.holm([0.01, 0.04, 0.03, 0.005, 0.5]) == pytest.approx(
        [0.04, 0.09, 0.09, 0.025, 0.5]
    )


def test_kruskal_of_r(monkeypatch):
    monkeypatch.setattr(statistics, "_FEW", 0)
    # Hollander and Wolfe 1973, p. 116: mucociliary efficiency; kruskal.test.
    groups = [[2.9, 3.0, 2.5, 2.6, 3.2], [3.8, 2.7, 4.0, 2.4], [2.8, 3.4, 3.7, 2.2, 2.0]]
    assert statistics.compare_groups(groups) == pytest.approx(0.6799648, abs=5e-8)
    assert statistics.compare_groups([[1.0, 1.0], [1.0]]) == 1.0


def test_ties_as_in_r(monkeypatch):
    monkeypatch.setattr(statistics, "_FEW", 0)
    # friedman.test, kruskal.test and wilcox.test of R 4.5.0 on a table with many ties.
    table = np.array(
        [
            [1, 6, 1, 4],
            [4, 2, 4, 1],
            [1, 1, 3, 6],
            [2, 5, 6, 2],
            [5, 5, 2, 3],
            [3, 1, 2, 2],
            [6, 1, 6, 6],
            [2, 6, 4, 6],
            [3, 5, 4, 2],
            [3, 5, 4, 5],
            [1, 2, 2, 2],
            [5, 2, 4, 6],
            [5, 6, 1, 6],
            [2, 1, 6, 6],
            [6, 4, 1, 1],
        ]
    )
    ranking = statistics.rank_blocks(table)
    assert ranking.statistic == pytest.approx(0.9160305344)
    assert ranking.p_value == pytest.approx(0.8215576499)
    assert statistics.compare_groups(table.T[:3]) == pytest.approx(0.9713623037)
    assert statistics.compare_samples(table[:, 0], table[:, 1]) == pytest.approx(0.8656545343)


def test_balance_of_pairs():
    # Of the plants in scipy's example of wilcoxon, ranks of 96 are above and of 24 below.
    d = np.array([6, 8, 14, 16, 23, 24, 28, 29, 41, -48, 49, 56, 60, -67, 75])
    assert statistics.pair_balance(d, np.zeros(len(d))) == pytest.approx((96 - 24) / 120)
    assert statistics.pair_balance([1.0, 2.0], [1.0, 2.0]) == 0.0
    assert statistics.pair_balance([np.inf, 1.0], [np.inf, 0.0]) == 1.0


def test_verdict_follows_the_test_not_the_effect_of_unpaired_runs():
    from moela.comparison.significance import Sample, pairwise_tests

    # Above in eleven of twelve seeds, and once far below: A12, which knows no pairs, is below 0.5.
    seeds = tuple(range(12))
    rival = np.array([float(s) for s in seeds])
    values = rival + 0.1
    values[11] = -5.0
    samples = {"P": {"a": Sample(values, seeds), "b": Sample(rival, seeds)}}
    comparison = SimpleNamespace(
        samples=lambda name: samples, only_indicator=lambda name: "hypervolume",
        baseline=None, paired=None, alpha=0.05,
    )  # fmt: skip
    rows = pairwise_tests(comparison).rows
    assert rows[0]["a12"] < 0.5
    assert rows[0]["p_holm"] < 0.05
    assert rows[0]["verdict"] == "better"


def test_effect_size_by_hand():
    # Of 3 x 2 pairs, 3 are above and 1 is a tie.
    assert statistics.effect_size([1.0, 2.0, 4.0], [2.0, 1.5]) == pytest.approx((3 + 0.5) / 6)
    assert statistics.effect_size([2.0, 3.0], [0.0, 1.0]) == 1.0
    assert statistics.effect_size([np.inf], [np.inf]) == 0.5


@pytest.mark.parametrize(
    ("a12", "word"),
    [(0.5, "negligible"), (0.56, "small"), (0.64, "medium"), (0.71, "large"), (0.29, "large")],
)
def test_words_of_vargha_and_delaney(a12, word):
    assert statistics.magnitude(a12) == word


def test_least_p_values():
    assert statistics.least_p_value(5, 5, paired=False) == pytest.approx(
        statistics.compare_samples(range(5), range(5, 10))
    )
    assert statistics.least_p_value(6, 6, paired=True) == pytest.approx(
        statistics.compare_pairs(range(1, 7), [0] * 6)
    )


def test_what_cannot_be_ranked_is_named():
    with pytest.raises(ValueError, match="scores"):
        statistics.rank_blocks([[1.0], [2.0]])
    with pytest.raises(ValueError, match="NaN"):
        statistics.rank_blocks([[1.0, np.nan]])
    with pytest.raises(ValueError, match="effect_size"):
        statistics.effect_size([], [1.0])
