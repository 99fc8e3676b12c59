"""Checks of what the functions of `moela.plots` are given: fronts, names, and numbers."""

from __future__ import annotations

import numpy as np
import pytest

import moela
from moela import compare, plot_front, plots
from moela.comparison.summary import reference_text
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


def test_labels_fit_the_height_of_a_picture():
    long = "mean latency of a packet in cycles of the clock " * 3
    figure = plots.plot_2d({"ours": np.eye(2)}, [long, long])
    figure.canvas.draw()
    box = figure.axes[0].yaxis.label.get_window_extent()
    assert box.height < figure.bbox.height


def test_many_designs_are_drawn_as_some_lines():
    angles = np.linspace(0.0, np.pi / 2, 3_000)
    F = np.column_stack([np.cos(angles), np.sin(angles), angles])
    axes = plot_front(F).axes[1]
    assert axes.get_xlabel() == "300 of 3,000 designs"
    lines = axes.get_lines()
    assert len(lines) < 400
    least = np.array([line.get_ydata() for line in lines]).min(axis=0)
    assert least.tolist() == [0.0, 0.0, 0.0]


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


def test_a_reference_point_is_told_apart_from_the_worst():
    comparison = compare({"a": [[[-999999.0, 3.0], [-999998.0, 2.0]]]})
    text = reference_text(comparison, "problem")
    point, rest = text.removeprefix("reference point (").split(",", 1)
    assert -999998 < float(point) < -999997
    assert rest.startswith(" 3.1)")


def test_axes_may_be_logarithmic():
    F = np.array([[1e-3, 500.0, 3.0], [0.1, 20.0, 2.0], [5.0, 0.5, 2.5]])
    names = ["leakage", "delay", "area"]
    drawings = [
        (lambda log: plot_front(F, names=names, log=log), 2),
        (lambda log: plot_front(F[:, :2], names=names[:2], log=log), 2),
        (lambda log: plot_front(F, names=names, log=log, ref_point=[9.0, 900.0, 9.0]), 2),
        (lambda log: plots.plot_2d({"a": F[:, :2], "b": []}, names[:2], log=log), 2),
        (lambda log: result_of(F).plot(log=log), 2),
    ]
    for draw, _ in drawings:
        for log, scales in (
            (False, ("linear", "linear")),
            (True, ("log", "log")),
            ("leakage", ("log", "linear")),
            (["delay"], ("linear", "log")),
        ):
            axes = draw(log).axes[0]
            assert (axes.get_xscale(), axes.get_yscale()) == scales
            axes.figure.canvas.draw()
            for axis, scale in zip((axes.xaxis, axes.yaxis), scales, strict=True):
                texts = [label.get_text() for label in axis.get_ticklabels()]
                low, high = sorted(axis.get_view_interval())
                seen = [low <= place <= high for place in axis.get_ticklocs()]
                assert scale == "linear" or sum(seen) >= 3, texts


def result_of(F):
    """Return a result whose front is F, a row a design."""
    return moela.minimize(
        lambda d: tuple(F[d["row"]]), variables={"row": (0, len(F) - 1)},
        objectives=["leakage", "delay", "area"], n_eval=9, verbose=False, progress=False,
    )  # fmt: skip


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


def test_designs_off_the_front_need_not_be_positive(tmp_path):
    rows = [(1.0, 100.0), (10.0, 10.0), (100.0, 1.0), (200.0, 0.0)]
    result = moela.minimize(
        lambda d: rows[d["row"]], variables={"row": (0, 3)},
        objectives={"cost": "min", "gain": "max"}, n_eval=4, verbose=False, progress=False,
    )  # fmt: skip
    assert len(result.front) == 1
    axes = result.plot(log=True, path=tmp_path / "front.png").axes[0]
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    single = moela.minimize(
        lambda d: 10.0 ** d["x"], variables={"x": (-5.0, 5.0)}, objectives=["error"], n_eval=40,
        verbose=False, progress=False,
    )  # fmt: skip
    axes = single.plot(log="error", path=tmp_path / "best.png").axes[0]
    assert axes.get_yscale() == "log"
    low, high = axes.get_ylim()
    assert 0 < low < single.best.objectives["error"] < high


def test_one_evaluation_is_no_plural():
    short, long = (
        moela.minimize(
            lambda d: (d["x"], 1 - d["x"] + d["y"]),
            variables={"x": (0.0, 1.0), "y": (0.0, 1.0)}, objectives=["f", "g"], n_eval=n, seed=1,
            verbose=False, progress=False,
        )
        for n in (1, 30)
    )  # fmt: skip
    assert "after 1 evaluation (median" in str(compare({"short": short, "long": long}))
