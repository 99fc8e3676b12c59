"""Checks of what the functions of `moela.plots` are given: fronts, names, and numbers."""

from __future__ import annotations

import numpy as np
import pytest

import moela
from moela import compare, plot_front, plots
from moela.quality.statistics import rank_blocks
from moela.quality.table import Table

TWO = [[0.0, 1.0], [1.0, 0.0]]


@pytest.mark.parametrize("kind", ["2d", "3d", "matrix", "parallel"])
def test_fronts_are_checked(kind):
    draw = getattr(plots, f"plot_{kind}")
    names = ["mass", "cost", "heat"][: 2 if kind == "2d" else 3]
    m = len(names)
    assert draw({"ours": np.eye(m).tolist(), "theirs": []}, names).axes
    for given in ({}, [np.eye(m)], None):
        with pytest.raises(ValueError, match=r"'fronts' parameter .* must be a dictionary"):
            draw(given, names)
    for odd in (np.eye(m + 1), np.full((2, m), np.nan), "text", [1.0, np.inf]):
        with pytest.raises(ValueError, match=rf"finite objectives, shape \[n, {m}\].* of 'ours'"):
            draw({"ours": odd}, names)
    for titles in ("mc", []):
        with pytest.raises(ValueError, match="'names' parameter"):
            draw({"ours": np.eye(2)}, titles)


def test_fronts_of_runs_are_checked():
    draw, names = plots.plot_attainment, ["mass", "cost"]
    assert draw({"ours": [TWO, []]}, names).axes
    for given in (
        {},
        [TWO],
        {"ours": []},
        {"ours": [[]]},
        {"ours": [[1.0, np.nan]]},
        {"ours": TWO},
    ):
        with pytest.raises(ValueError, match="'runs' parameter of plot_attainment"):
            draw(given, names)
    with pytest.raises(ValueError, match=r"'labels'.* names of two algorithms"):
        plots.plot_attainment_difference([TWO], [[[2.0, 2.0]]], names, labels=["ours"])
    with pytest.raises(ValueError, match=r"shape \[n, 2\].* of 'b'"):
        plots.plot_attainment_difference([TWO], [np.eye(3)], names, labels=["ours", "theirs"])


def test_numbers_of_algorithms_are_checked():
    assert plots.plot_values({"ours": [0.8, 0.9]}).axes
    assert plots.plot_profile({"ours": [1.0, np.inf]}).axes
    for draw, name in ((plots.plot_values, "values"), (plots.plot_profile, "ratios")):
        for given in ({}, [1.0], {"ours": []}, {"ours": ["a"]}, {"ours": [[1.0]]}):
            with pytest.raises(ValueError, match=rf"'{name}' parameter .* numbers for each"):
                draw(given)
    with pytest.raises(ValueError, match=r"'table' parameter .* at least one row"):
        plots.plot_convergence(Table([]))
    with pytest.raises(ValueError, match="3 names, one for each rank"):
        plots.plot_ranks(["ours"], rank_blocks([[0.9, 0.8, 0.5], [0.7, 0.6, 0.5]]))


def test_maximized_objectives_are_called_negated_in_pictures():
    result = moela.minimize(
        lambda d: {"cost": d["x"], "gain": d["x"] ** 2 + 1},
        variables={"x": (1.0, 2.0)}, objectives={"cost": "min", "gain": "max"}, n_eval=10,
        verbose=False, progress=False,
    )  # fmt: skip
    comparison = compare({"ours": result}, ref_point={"cost": 3, "gain": 1})
    assert "(cost, gain (max))\n  reference point (3, 1), as given" in str(comparison)
    assert comparison.plot_fronts().axes[0].get_ylabel() == "gain (negated)"
    assert repr(comparison) == "Comparison(1 run, 1 algorithm, 1 problem)"


def test_logarithmic_axes_need_positive_values():
    draws = [
        lambda F, log: plot_front(F, names=["mass", "cost"], log=log),
        lambda F, log: plots.plot_2d({"a": np.eye(2) + 1, "b": F}, ["mass", "cost"], log=log),
    ]
    for draw in draws:
        for least in (0.0, -2.5):
            F = [[1.0, 2.0], [2.0, least]]
            assert draw([[1.0, 2.0], [2.0, 1.0]], False).axes
            with pytest.raises(ValueError, match=rf"positive\. Got 'cost', .* {least:g}; leave"):
                draw(F, True)
        for wrong in ("weight", ["mass", "costs"]):
            with pytest.raises(ValueError, match=r"'log' parameter .* objectives: mass, cost"):
                draw(TWO, wrong)
    with pytest.raises(ValueError, match=r"'log' parameter of plot_front .* value -1"):
        plot_front([[1.0, 2.0]], ref_point=[-1.0, 2.0], log=True)
