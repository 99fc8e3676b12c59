"""Comparison: the common scale, filters, edge cases, tests, ranks, speed-ups."""

from __future__ import annotations

import comparison_cases as cases
import numpy as np
import pytest

from moela import compare

A = [[0.0, 4.0], [2.0, 2.0], [4.0, 0.0]]
B = [[1.0, 4.0], [4.0, 1.0]]


def row(table, **values):
    (found,) = table.where(**values).rows
    return found


# --------------------------------------------------------------------------------- scale and filter


def test_values_by_hand():
    comparison = compare({"A": A, "B": B})
    scale = comparison.scales["problem"]
    assert scale.ideal.tolist() == [0.0, 0.0]
    assert scale.nadir.tolist() == [4.0, 4.0]
    np.testing.assert_allclose(scale.ref_point, [4.4, 4.4])
    a, b = comparison.table().rows
    # With the reference point (4.4, 4.4), A has 2 x 0.4 + 2 x 2.4 + 0.4 x 4.4, and B has
    # 3 x 0.4 + 0.4 x 3.4.
    assert a["volume"] == pytest.approx(7.36)
    assert b["volume"] == pytest.approx(2.56)
    assert a["hypervolume"] == pytest.approx(7.36 / 4.4**2)
    # A is the pooled front, so its distance to it is 0.
    assert (a["igd_plus"], a["epsilon"]) == (0.0, 0.0)
    # The scaled distances of B are 1/4 to (0, 1) and (1, 0), and 1/2 to (0.5, 0.5).
    assert b["epsilon"] == pytest.approx(0.5)
    assert b["igd_plus"] == pytest.approx((0.25 + np.hypot(0.5, 0) + 0.25) / 3)


def test_why_there_is_no_test():
    several = [np.array(B) + shift for shift in range(6)]
    assert "One run each allows no test" in str(compare({"a": [A], "b": [B]}))
    text = str(compare({"a": [A], "b": several}))
    assert "One run of a allows no test; make at least six of each, with different seeds." in text
    assert "One run each" not in text


def test_reference_point_rules():
    own = [cases.recorded(A, ref_point=[5.0, 6.0]), cases.recorded(B, seed=2, ref_point=[5.0, 6.0])]
    scale = compare(own).scales["P"]
    assert scale.ref_point.tolist() == [5.0, 6.0]
    assert "own" in scale.rule
    assert compare(own, "pooled").scales["P"].ref_point.tolist() == pytest.approx([4.4, 4.4])
    assert compare(own, [9, 9]).scales["P"].rule == "as given"
    assert compare(own, {"P": [9, 9]}).scales["P"].ref_point.tolist() == [9, 9]
    # No point is better than this reference point, so another one is used, with a caveat.
    useless = compare([cases.recorded(A, ref_point=[0.0, 0.0])])
    assert useless.scales["P"].ref_point.tolist() == pytest.approx([4.4, 4.4])
    assert "own reference point" in useless.caveats[0]
    different = compare(
        {"A": cases.recorded(A, ref_point=[5, 5]), "B": cases.recorded(B, ref_point=[6, 6])}
    )
    assert "different reference points" in " ".join(different.caveats)


def test_given_reference_point_that_nothing_reaches_gives_zeros():
    comparison = compare({"A": A}, [-1.0, -1.0])
    assert comparison.values("problem", "A").tolist() == [0.0]
    assert "all hypervolumes are 0" in " ".join(comparison.caveats)


def test_reference_front_is_pooled():
    comparison = compare({"A": A}, reference_front=[[-4.0, 4.0], [0.0, 0.0]])
    assert comparison.scales["problem"].ideal.tolist() == [-4.0, 0.0]
    assert comparison.table().rows[0]["epsilon"] > 0


def test_dominated_infeasible_repeated_and_failed_points_go_first():
    F = [[3.0, 3.0], *A, A[1], [-9.0, -9.0], [np.nan, 0.0], [np.inf, 1.0]]
    G = [0, 0, 0, 0, 0, 1.0, 0, 0]
    run = cases.recorded(F, G=G)
    clean, plain = compare(run), compare({"A": A})
    assert clean.runs[0].F.tolist() == A
    assert clean.table().rows[0]["hypervolume"] == plain.table().rows[0]["hypervolume"]
    points = compare({"A": [[3.0, 3.0], *A, A[1], [np.nan, 0.0]]})
    assert points.runs[0].left_out == {"not finite": 1, "dominated": 1, "repeated": 1}
    assert "1 point not finite was left out" in " ".join(points.caveats)


def test_same_archive_rule_or_a_caveat():
    from pymoo.algorithms.moo.nsga2 import NSGA2
    from pymoo.optimize import minimize
    from pymoo.problems import get_problem

    problem = get_problem("zdt1", n_var=4)
    kept = minimize(problem, NSGA2(10), ("n_eval", 200), seed=1, save_history=True)
    bare = minimize(problem, NSGA2(10), ("n_eval", 200), seed=1)
    comparison = compare({"kept": kept, "bare": bare})
    assert "of everything evaluated" in " ".join(comparison.caveats)
    everything = np.concatenate([step.off.get("F") for step in kept.history])
    assert comparison.runs[0].n_eval == len(everything) == 200
    direct = compare({"points": everything, "bare": bare})
    np.testing.assert_allclose(
        comparison.values("ZDT1", "kept"), direct.values("ZDT1", "points"), rtol=1e-12
    )
    assert comparison.runs[0].seed == 1
    thin = compare({"kept": kept, "bare": bare}, archive_size=5)
    assert max(len(o.F) for o in thin.runs) <= 5


# --------------------------------------------------------------------------------------- edge cases


def test_front_of_one_point():
    comparison = compare({"A": [[1.0, 2.0]]})
    assert comparison.values("problem", "A").tolist() == pytest.approx([1.0])
    assert comparison.table().rows[0]["igd_plus"] == 0.0
    assert str(comparison)


def test_empty_front_beside_a_full_one():
    comparison = compare({"A": [A, A], "none": [np.empty((0, 2)), np.empty((0, 2))]})
    assert comparison.values("problem", "none").tolist() == [0.0, 0.0]
    assert comparison.values("problem", "none", "igd_plus").tolist() == [np.inf, np.inf]
    assert comparison.summary("r2").where(algorithm="none").rows[0]["median"] == np.inf
    assert comparison.tests("epsilon").rows[0]["a12"] == 1.0
    assert "2 of 2 runs of none on problem found no feasible point" in " ".join(comparison.caveats)
    assert "none" in str(comparison)


def test_all_infeasible_is_an_error_that_says_so():
    with pytest.raises(ValueError, match="feasible"):
        compare([cases.recorded(A, G=[1, 1, 1])])
    with pytest.raises(ValueError, match="feasible"):
        compare({"A": [[np.nan, np.nan]]})
    # One problem of two: the other one is compared.
    two = compare([cases.recorded(A, G=[1, 1, 1]), cases.recorded(A, problem="Q")])
    assert two.problems == ["Q"]
    assert "No run on P has a feasible point" in " ".join(two.caveats)


def test_different_numbers_of_objectives():
    with pytest.raises(ValueError, match=r"same number of objectives.*has 2.*has 3"):
        compare({"A": A, "B": [[1.0, 2.0, 3.0]]})


def test_minus_infinity_is_refused():
    with pytest.raises(ValueError, match="row 1, column 0"):
        compare({"A": [[1.0, 2.0], [-np.inf, 3.0]]})


def test_different_numbers_of_seeds():
    rng = np.random.default_rng(1)
    runs = {
        "A": [cases.sphere(20, 3, rng) for _ in range(5)],
        "B": [cases.sphere(20, 3, rng, 1.2) for _ in range(8)],
    }
    comparison = compare(runs)
    (found,) = comparison.tests().rows
    assert (found["n"], found["n_rival"], found["test"]) == (5, 8, "rank sum")
    assert found["verdict"] == "better"
    assert found["a12"] == 1.0
    assert found["p_value"] == pytest.approx(2 / 1287)  # all 5 above all 8
    assert row(comparison.wins(), algorithm="A")["B"] == 1.0
    assert comparison.ranks().ranking is None
    assert len(comparison.ratios()["B"]) == 5
    assert str(comparison)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: compare({}), "at least one run"),
        (lambda: compare({"A": A}, [1, 2, 3]), "ref_point"),
        (lambda: compare({"A": A}, baseline="C"), "baseline"),
        (lambda: compare({"A": A}, at=10), "'at'"),
        (lambda: compare({"A": [A, A], "B": [A, A, A]}, paired=True).tests(), "paired"),
        (lambda: compare({"A": A}).values("problem", "C"), "No run of 'C'"),
        (lambda: compare({"p": {"A": A}, "q": {"B": B}}).ratios(), "Add the missing runs"),
        (lambda: compare({"A": {1: A, "x": B}}), "by seed"),
    ],
)
def test_what_is_wrong_is_said(call, words):
    with pytest.raises(ValueError, match=words):
        call()


# --------------------------------------------------------------------------------------- statistics


def noisy(n, shift, rng):
    """Return fronts whose hypervolume decreases with the shift."""
    return {seed: np.array(A) + shift + 0.05 * rng.random() for seed in range(1, n + 1)}


def test_pairs_by_seed_and_holm():
    rng = np.random.default_rng(2)
    runs = {"A": noisy(7, 0.0, rng), "B": noisy(7, 0.2, rng), "C": noisy(7, 0.4, rng)}
    comparison = compare(runs)
    for found in comparison.tests():
        assert found["test"] == "signed rank"
        assert found["p_value"] == pytest.approx(2 / 2**7)
        assert found["p_holm"] == pytest.approx(3 * 2 / 2**7)
        assert found["verdict"] == "better"
    against = compare(runs, baseline="B").tests()
    assert [(r["algorithm"], r["rival"]) for r in against] == [("B", "A"), ("B", "C")]
    assert [r["verdict"] for r in against] == ["worse", "better"]
    assert against.rows[0]["p_holm"] == pytest.approx(2 * 2 / 2**7)
    apart = compare(runs, paired=False).tests()
    assert {r["test"] for r in apart} == {"rank sum"}
    assert apart.rows[0]["p_value"] == pytest.approx(2 / 3432)


def test_few_runs_are_not_paired_unless_asked():
    rng = np.random.default_rng(2)
    runs = {"A": noisy(5, 0.0, rng), "B": noisy(5, 0.2, rng)}
    (found,) = compare(runs).tests().rows
    assert (found["test"], found["verdict"]) == ("rank sum", "better")
    (found,) = compare(runs, paired=True).tests().rows
    assert found["test"] == "signed rank"
    assert found["p_value"] == pytest.approx(2 / 2**5)
    assert compare(runs).ranks().blocks == "seeds"


def test_two_algorithms_on_one_problem_have_no_sentence_beyond_their_test():
    runs = {"A": [np.array(A)] * 3, "B": [np.array(A) + 0.1] * 3}
    comparison = compare(runs)
    (found,) = comparison.tests().rows
    assert found["p_value"] == pytest.approx(found["least_p"])
    assert found["verdict"] == "not distinguished"
    assert "All together" not in str(comparison)
    several = compare(dict.fromkeys(("P", "Q", "R"), runs))
    assert "the algorithms are not shown to differ (sign test, p = 0.25)" in str(several)


def test_pairs_follow_the_seeds_not_the_order():
    rng = np.random.default_rng(3)
    levels = {seed: 0.3 * seed for seed in range(1, 7)}
    runs = {
        "A": {s: np.array(A) + level for s, level in levels.items()},
        "B": {s: np.array(A) + levels[s] + 0.01 for s in rng.permutation(list(levels)).tolist()},
    }
    (found,) = compare(runs).tests().rows
    assert found["p_value"] == pytest.approx(2 / 2**6)


def test_wins_and_ranks():
    rng = np.random.default_rng(4)
    runs = {"A": noisy(6, 0.0, rng), "B": noisy(6, 0.2, rng), "C": noisy(6, 0.2, rng)}
    comparison = compare(runs)
    wins = comparison.wins()
    assert row(wins, algorithm="A")["B"] == 1.0
    assert row(wins, algorithm="B")["A"] == 0.0
    assert row(wins, algorithm="B")["C"] + row(wins, algorithm="C")["B"] == pytest.approx(1.0)
    overall = comparison.ranks()
    assert (overall.blocks, overall.ranking.n_blocks) == ("seeds", 6)
    assert overall.ranking.ranks[0] == 1.0
    assert overall.ranking.ranks.sum() == pytest.approx(6.0)
    smaller_is_better = comparison.ranks("igd_plus")
    assert smaller_is_better.ranking.ranks[0] == 1.0


def test_ranks_over_problems_and_without_blocks():
    rng = np.random.default_rng(5)
    problems = {
        p: {"A": noisy(3, 0.0, rng), "B": noisy(3, 0.3, rng), "C": noisy(3, 0.6, rng)}
        for p in ("P", "Q", "R", "S")
    }
    overall = compare(problems).ranks()
    assert overall.blocks == "problems"
    assert overall.ranking.ranks.tolist() == [1.0, 2.0, 3.0]
    # Four blocks in full agreement: n (k - 1) = 8.
    assert overall.ranking.statistic == pytest.approx(8.0)
    unpaired = compare({k: list(v.values()) for k, v in problems["P"].items()}).ranks()
    assert unpaired.ranking is None
    # Three runs of each of three algorithms in full agreement: 0.027, the smallest p possible.
    assert 0 < unpaired.p_value < 0.1


def test_sentences_say_what_the_numbers_say():
    rng = np.random.default_rng(6)
    text = str(compare({"A": noisy(8, 0.0, rng), "B": noisy(8, 0.3, rng)}))
    assert "A has the largest median hypervolume" in text
    assert "significantly better than B (p = 0.0078, A12 = 1.00)" in text
    many = str(compare({"A": noisy(30, 0.0, rng), "B": noisy(30, 0.3, rng)}))
    assert "better than B (p < 0.0001, A12 = 1.00)" in many
    few = str(compare({"A": noisy(3, 0.0, rng), "B": noisy(3, 0.3, rng)}))
    assert "not distinguished from B" in few
    # Three against three, as independent samples: 2 / 20.
    assert "p can't be below 0.1" in few
    single = str(compare({"A": A, "B": B}))
    assert "allows no test" in single


def test_more_than_two_thousand_points_are_thinned_and_said_so():
    rng = np.random.default_rng(10)
    comparison = compare({"A": cases.sphere(2_600, 3, rng)})
    scale = comparison.scales["problem"]
    assert len(scale.reference) == 2_000
    assert "2000 of the" in " ".join(comparison.caveats)
    assert comparison.table().rows[0]["igd_plus"] == 0.0


def test_large_fronts_of_many_objectives_are_approximate_and_said_so():
    rng = np.random.default_rng(11)
    F = cases.sphere(170, 7, rng)
    comparison = compare({"A": F, "small": F[:10]})
    assert not comparison.scales["problem"].exact
    assert "approximate" in " ".join(comparison.caveats)
    from moela.quality.indicators import hypervolume

    scale = comparison.scales["problem"]
    share = hypervolume(F, scale.ref_point, exact=True) / scale.box
    # The error on this front is 0.0001; the documented error is 0.003 in up to 12 objectives.
    assert comparison.values("problem", "A")[0] == pytest.approx(share, rel=2e-3)


def test_names_cannot_steer_a_terminal():
    text = str(compare({"A\x1b[31m": A, "B\r\x07": B}))
    assert not set("\x1b\r\x07") & set(text)
    assert "A\ufffd[31m" in text


@pytest.mark.parametrize("n_obj", [2, 5])
def test_same_front_in_another_order_is_a_tie(n_obj):
    rng = np.random.default_rng(14)
    F = cases.sphere(60, n_obj, rng)
    runs = {name: {s: rng.permutation(F) for s in range(7)} for name in ("A", "B")}
    comparison = compare(runs)
    for indicator in comparison.indicators:
        (found,) = comparison.tests(indicator).rows
        assert (found["p_value"], found["a12"]) == (1.0, 0.5)
    assert "both have the same median hypervolume" in str(comparison)


def test_ratios_of_profiles():
    runs = {"A": {1: [[0.0, 0.0]], 2: [[2.0, 2.0]]}, "B": {2: [[0.0, 0.0]], 1: [[2.0, 2.0]]}}
    ratios = compare(runs, [4.0, 4.0]).ratios()
    assert ratios["A"].tolist() == pytest.approx([1.0, 4.0])
    assert ratios["B"].tolist() == pytest.approx([4.0, 1.0])
