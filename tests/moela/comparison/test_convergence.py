"""Convergence and speed-ups: against brute force, exact and along directions, and cut runs."""

from __future__ import annotations

import comparison_cases as cases
import numpy as np
import pytest

from moela import compare
from moela.comparison.convergence import ConvergenceCurve
from moela.quality.indicators import hypervolume

A = [[0.0, 4.0], [2.0, 2.0], [4.0, 0.0]]


def row(table, **values):
    (found,) = table.where(**values).rows
    return found


def brute_first(run, target, scale):

    for n in range(1, len(run) + 1):
        if hypervolume(run[:n], scale.ref_point) / scale.box >= target * (1 - 1e-12):
            return float(n)
    return float("inf")


def test_speedup_against_brute_force():
    rng = np.random.default_rng(7)
    paths = {
        name: [rng.random((150, 3)) * level for _ in range(4)]
        for name, level in (("fast", 1.0), ("slow", 1.15))
    }
    runs = [
        cases.recorded(F, algorithm=name, seed=s, seconds=30.0)
        for name, fronts in paths.items()
        for s, F in enumerate(fronts, 1)
    ]
    comparison = compare(runs)
    scale = comparison.scales["P"]
    finals = np.sort(comparison.values("P", "slow"))
    target = finals[1]  # the lower median of four
    needed = [brute_first(F, target, scale) for F in paths["fast"]]
    own = [brute_first(F, target, scale) for F in paths["slow"]]
    found = row(comparison.speedup(), algorithm="fast", rival="slow")
    assert found["target"] == pytest.approx(target)
    assert found["reached"] == np.isfinite(needed).sum() == 4
    assert found["evaluations"] == np.median(needed)
    assert sum(np.isfinite(own)) == 3
    assert found["rival_evaluations"] == np.quantile(own, 0.5, method="higher")
    assert found["speedup"] == pytest.approx(found["rival_evaluations"] / np.median(needed))
    # 30 seconds evenly spread over 150 evaluations.
    assert found["seconds"] == pytest.approx(np.median(needed) * 0.2)


def test_target_that_is_never_reached():
    runs = [
        cases.recorded(np.array(A) + shift, algorithm=name, seed=s)
        for name, shift in (("good", 0.0), ("bad", 1.0))
        for s in (1, 2, 3)
    ]
    found = row(compare(runs).speedup(), algorithm="bad", rival="good")
    assert (found["reached"], found["n"]) == (0, 3)
    assert found["evaluations"] == np.inf
    assert np.isnan(found["speedup"])
    assert "bad" in str(compare(runs, baseline="bad"))


def test_infeasible_points_do_not_count():
    F = [[5.0, 5.0], [0.0, 0.0], [1.0, 3.0], [3.0, 1.0]]
    runs = [
        cases.recorded(F, G=[0, 1, 0, 0], algorithm="A"),
        cases.recorded(F[2:], algorithm="B"),
    ]
    comparison = compare(runs)
    assert row(comparison.speedup(), algorithm="A", rival="B")["evaluations"] == 4
    last = comparison.convergence().where(algorithm="A").rows[-1]
    assert last["evaluations"] == 4
    assert last["median"] == pytest.approx(comparison.values("P", "A")[0])


def test_convergence_against_indicators():

    rng = np.random.default_rng(8)
    fronts = [rng.random((300, 2)) for _ in range(3)]
    comparison = compare([cases.recorded(F, seed=s) for s, F in enumerate(fronts)])
    scale = comparison.scales["P"]
    for line in comparison.convergence():
        n = line["evaluations"]
        values = [hypervolume(F[:n], scale.ref_point) / scale.box for F in fronts]
        assert line["median"] == pytest.approx(np.median(values))
        assert line["q3"] == pytest.approx(np.quantile(values, 0.75))


@pytest.mark.parametrize("n_obj", [5])
def test_estimate_along_directions_is_near_the_exact_curve(n_obj):

    rng = np.random.default_rng(12)
    F = rng.random((400, n_obj)) * np.linspace(2.0, 1.0, 400)[:, None]
    F[::7] = np.nan
    comparison = compare({"A": cases.recorded(F, G=np.where(np.arange(400) % 7, 0, 1))})
    run, scale = comparison.runs[0], comparison.scales["P"]
    exact, along = (ConvergenceCurve(run, scale, exact=kind) for kind in (True, False))
    at = [1, 5, 50, 200, 399, 400]
    # The documented error is 0.003 of the volume. The largest error of these curves is 0.0041 at a
    # value of 0.67, for five objectives.
    np.testing.assert_allclose(along.shares(at), exact.shares(at), rtol=0.005, atol=3e-3)
    target = 0.8 * exact.shares([400])[0]
    # Measured: both curves reach the target in the same evaluation.
    assert along.evaluations_to(target) == pytest.approx(exact.evaluations_to(target), rel=0.05)
    assert along.evaluations_to(1.1) == exact.evaluations_to(1.1) == np.inf
    assert along.evaluations_to(0.0) == exact.evaluations_to(0.0) == 1.0


def test_long_runs_are_estimated_and_a_caveat_says_so():
    rng = np.random.default_rng(13)
    comparison = compare([cases.recorded(cases.sphere(600, 5, rng), seed=s) for s in (1, 2)])
    assert "estimated along 4,096 directions" in " ".join(comparison.caveats)
    last = comparison.convergence().rows[-1]
    # Measured: 0.0022.
    assert last["median"] == pytest.approx(np.median(comparison.values("P", "A")), rel=5e-3)


def test_compared_after_the_same_number_of_evaluations():
    rng = np.random.default_rng(9)
    long, brief = rng.random((120, 2)), rng.random((40, 2))
    runs = {"long": cases.recorded(long), "brief": cases.recorded(brief)}
    assert "different numbers of evaluations" in " ".join(compare(runs).caveats)
    common = compare(runs, at="common")
    assert [o.n_eval for o in common.runs] == [40, 40]
    direct = compare({"long": long[:40], "brief": brief})
    np.testing.assert_allclose(common.values("P", "long"), direct.values("problem", "long"))
    assert compare(runs, at=10).runs[1].n_eval == 10


def test_same_final_front_reached_in_another_order_is_reached():
    rng = np.random.default_rng(15)
    F = cases.sphere(900, 5, rng)
    runs = [
        cases.recorded(rng.permutation(F), algorithm=name, seed=s)
        for name in ("A", "B")
        for s in range(4)
    ]
    assert {line["reached"] for line in compare(runs).speedup()} == {4}


def test_unequal_runs_of_an_algorithm_are_named():
    rng = np.random.default_rng(9)
    runs = [
        cases.recorded(rng.random((n, 2)), algorithm=name, seed=seed)
        for name, numbers in (("long", (200, 200)), ("short", (20, 100)))
        for seed, n in enumerate(numbers)
    ]
    caveats = " ".join(compare(runs).caveats)
    assert "different numbers of evaluations: long 200 and short 20 to 100; at=" in caveats
    assert "the convergence curves of short end with the shortest run, after 20 eval" in caveats
    caveats = " ".join(compare([run for run in runs if run.algorithm == "short"]).caveats)
    assert "different numbers of evaluations: short 20 to 100" in caveats
    caveats = " ".join(compare([run for run in runs if run.algorithm == "long"]).caveats)
    assert "evaluations" not in caveats
