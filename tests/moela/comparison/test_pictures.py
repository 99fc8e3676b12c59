"""Pictures: their content, a common style, names shown literally."""

from __future__ import annotations

import comparison_cases as cases
import moocore
import numpy as np
import pytest

from moela import compare, plot_front
from moela.notebook.style import literal
from moela.plots.attainment import differences, surfaces

NASTY = r"$\frac{ & <b>x</b> \\ %s {name}"


def made(n_obj, n_algorithms=3, runs=2, history=True):
    rng = np.random.default_rng(n_obj)
    names = ["MOELA", NASTY, *(f"rival {k}" for k in range(20))][:n_algorithms]
    found = [
        cases.recorded(cases.sphere(60, n_obj, rng, 1 + 0.1 * k), algorithm=name, seed=s)
        for k, name in enumerate(names)
        for s in range(runs)
    ]
    return compare(found if history else {r.algorithm: r.F for r in found})


def is_png(path):
    return path.read_bytes().startswith(b"\x89PNG") and path.stat().st_size > 5_000


@pytest.mark.parametrize("n_obj", [2, 5])
def test_every_picture_is_drawn(n_obj, tmp_path):
    comparison = made(n_obj)
    paths = comparison.save_pictures(tmp_path)
    assert all(is_png(path) for path in paths)
    names = {path.stem.removeprefix("1-P-") for path in paths}
    expected = {"fronts", "values", "convergence", "ranks", "profile"}
    expected |= {2: {"attainment", "difference-1"}, 3: {"attainment", "parallel"}}.get(
        n_obj, {"parallel"}
    )
    assert expected <= names


def test_colors_are_those_of_the_algorithm_in_every_picture():
    comparison = made(2)
    expected = set(comparison.colors.values())
    for figure in (
        comparison.plot_fronts(),
        comparison.plot_convergence(),
        comparison.plot_profile(),
        comparison.plot_attainment(),
    ):
        drawn = {line.get_color() for axes in figure.axes for line in axes.get_lines()}
        assert expected <= drawn | {"#0072B2"}, drawn
    # Also if an algorithm has no run on one of the problems.
    two = compare({"P": {"A": [[1.0, 2.0]], "B": [[2.0, 1.0]]}, "Q": {"B": [[1.0, 1.0]]}})
    assert two.plot_fronts("Q").axes[0].get_lines()[0].get_color() == two.colors["B"]


def test_names_are_drawn_as_they_are(tmp_path):
    from matplotlib.cbook import is_math_text

    for name in (NASTY, "$x$", r"\$x$", r"a\b", "$$"):
        assert not is_math_text(literal(name)), name
        # What matplotlib draws of a text that is no formula.
        assert literal(name).replace(r"\$", "$") == name
    made(2).plot_values().savefig(tmp_path / "values.png")


def test_fronts_have_logarithmic_axes():
    comparison = made(2)
    first, second = comparison.scales[comparison.problems[0]].names
    assert comparison.plot_fronts().axes[0].get_xscale() == "linear"
    axes = comparison.plot_fronts(log=second).axes[0]
    assert (axes.get_xscale(), axes.get_yscale()) == ("linear", "log")
    axes = comparison.plot_fronts(log=True).axes[0]
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    with pytest.raises(ValueError, match=f"objectives: {first}, {second}"):
        comparison.plot_fronts(log=["other"])
    with pytest.raises(ValueError, match="'log' parameter of plot_fronts must be left out unless"):
        made(3).plot_fronts(log=True)


def test_kinds_that_do_not_fit_are_named():
    with pytest.raises(ValueError, match="one of matrix, parallel for 5"):
        made(5).plot_fronts(kind="2d")
    with pytest.raises(ValueError, match="two or three"):
        made(5).plot_attainment()
    with pytest.raises(ValueError, match="two objectives"):
        made(3).plot_attainment_difference("MOELA", NASTY)
    with pytest.raises(ValueError, match="one of MOELA"):
        made(2).plot_attainment_difference("MOELA", "other")
    with pytest.raises(ValueError, match=r"Mean ranks need.*; add problems"):
        compare({"A": [[1.0, 2.0]], "B": [[2.0, 1.0]]}).plot_ranks()


@pytest.mark.parametrize("n_obj", [2, 3])
def test_attainment_by_counting(n_obj):
    rng = np.random.default_rng(1)
    runs = [rng.integers(0, 9, size=(6, n_obj)).astype(float) for _ in range(5)]
    grid = np.stack(np.meshgrid(*[np.arange(-1.0, 10.0)] * n_obj, indexing="ij"), axis=-1)
    cells = grid.reshape(-1, n_obj)
    count = sum((F[None] <= cells[:, None]).all(axis=2).any(axis=1).astype(int) for F in runs)
    for percent, needed in ((0, 1), (50, 3), (100, 5)):
        (surface,) = surfaces(runs, [percent])
        attained = (surface[None] <= cells[:, None]).all(axis=2).any(axis=1)
        np.testing.assert_array_equal(attained, count >= needed)


def test_runs_without_a_point_count_as_not_attaining():
    runs = [np.array([[1.0, 1.0]]), np.empty((0, 2)), np.empty((0, 2))]
    any_run, half = surfaces(runs, (0, 50))
    assert any_run.tolist() == [[1.0, 1.0]]
    assert len(half) == 0


@pytest.mark.parametrize("sizes", [(3, 3), (2, 3)])
def test_differences_by_counting(sizes):
    rng = np.random.default_rng(2)
    a, b = (
        [moocore.filter_dominated(rng.integers(0, 9, size=(5, 2)).astype(float)) for _ in range(n)]
        for n in sizes
    )
    rectangles = differences(a, b)
    for x, y in rng.uniform(-0.5, 9.5, size=(300, 2)):
        share_a, share_b = (
            np.mean([(F <= [x, y]).all(axis=1).any() for F in runs]) for runs in (a, b)
        )
        inside = (
            (rectangles[:, 0] <= x) & (x < rectangles[:, 2])
            & (rectangles[:, 1] <= y) & (y < rectangles[:, 3])
        )  # fmt: skip
        found = rectangles[inside, 4].sum()
        assert found == pytest.approx(share_a - share_b)


def test_file_names_hold_no_path(tmp_path):
    comparison = compare({"../../up/$x": {"A": [[1.0, 2.0]], "B": [[2.0, 1.0]]}})
    for path in comparison.save_pictures(tmp_path / "pictures"):
        assert path.parent == tmp_path / "pictures"
        assert is_png(path)


def test_down_is_better_beside_a_negative_reference():
    F = np.array([[-4.0, 3.0], [-1.0, 1.0]])
    axes = plot_front(F, ref_point=[-2.0, 2.0]).axes[1]
    reference, *designs, _ = (line.get_ydata() for line in axes.get_lines())
    assert list(reference) == [0.0, 0.0]
    np.testing.assert_allclose(designs, [[-100.0, 50.0], [50.0, -50.0]])
    assert "% above the reference, down is better" in axes.get_ylabel().replace("\n", " ")
