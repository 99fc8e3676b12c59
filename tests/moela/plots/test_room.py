"""Room in pictures: no text is cut at the edges, and none covers another or the designs."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

import moela
from moela import plot_front, plots
from moela.quality.statistics import rank_blocks

LONG = [
    "NSGA-II with a large population",
    "MOELA with restarts and models",
    "random search of all the designs",
]


def drawn(figure):
    """Return a figure once its layout is done."""
    figure.draw_without_rendering()
    return figure


def is_inside(artist):
    """Return if all of an artist is in its figure."""
    outer, inner = artist.get_figure().bbox, artist.get_window_extent()
    return (
        inner.x0 >= outer.x0 - 1
        and inner.y0 >= outer.y0 - 1
        and inner.x1 <= outer.x1 + 1
        and inner.y1 <= outer.y1 + 1
    )


def touching(artists):
    """Return the texts of artists that overlap another one."""
    boxes = [(artist.get_text(), artist.get_window_extent().padded(1)) for artist in artists]
    pairs = combinations([(text, box) for text, box in boxes if text], 2)
    return [(a, b) for (a, one), (b, other) in pairs if one.overlaps(other)]


def sphere(n_obj, n=20):
    F = np.abs(np.random.default_rng(n_obj).normal(size=(n, n_obj)))
    return F / np.linalg.norm(F, axis=1)[:, None]


@pytest.mark.parametrize("names", [LONG, ["W" * 40]])
def test_the_legend_of_three_dimensions_is_inside(names):
    figure = drawn(plots.plot_3d(dict.fromkeys(names, sphere(3)), ["f1", "f2", "f3"]))
    (legend,) = figure.legends
    assert is_inside(legend)
    # The axes keep most of the picture.
    assert figure.axes[0].get_window_extent().height > 4 * figure.dpi
    assert figure.get_size_inches()[1] == 7.0 or len(names) > 3


@pytest.mark.parametrize("n", [4])
def test_titles_of_parallel_coordinates_do_not_touch(n):
    names = [
        f"{k} NSGA-II with a large population and other operators than usual" for k in range(n)
    ]
    figure = drawn(plots.plot_parallel(dict.fromkeys(names, sphere(4)), list("abcd")))
    titles = [axes.title for axes in figure.axes]
    assert touching(titles) == []
    assert all(is_inside(title) for title in titles)


TITLE = "fronts of the network of 8 x 8 routers under traffic of all the programs, " * 4


@pytest.mark.parametrize(
    "draw",
    [
        lambda: plot_front(sphere(2), title=TITLE),
        lambda: plot_front(sphere(3), title=TITLE),
        lambda: plots.plot_3d({"ours": sphere(3)}, list("abc"), title=TITLE),
        lambda: plots.plot_matrix({"ours": sphere(2)}, list("ab"), title=TITLE),
        lambda: plots.plot_parallel({"ours": sphere(3)}, list("abc"), title=TITLE),
        lambda: plots.plot_attainment({"ours": [sphere(3)]}, list("abc"), title=TITLE),
        lambda: plots.plot_ranks(list("ab"), rank_blocks([[0.9, 0.8], [0.6, 0.5]]), title=TITLE),
        lambda: result_of(sphere(2)).plot(title=TITLE),
    ],
)
def test_long_titles_are_inside(draw):
    figure = drawn(draw())
    titles = [*figure.texts, *(axes.title for axes in figure.axes)]
    written = [title for title in titles if title.get_text().startswith("fronts of")]
    assert len(written) == 1
    assert is_inside(written[0])


def result_of(F, names=None):
    """Return a result with these designs, a row each."""
    return moela.minimize(
        lambda d: tuple(F[d["row"]]), variables={"row": (0, len(F) - 1)},
        objectives=names or [f"f{j}" for j in range(F.shape[1])], n_eval=len(F), verbose=False,
        progress=False,
    )  # fmt: skip


@pytest.mark.parametrize("value", [-3e-9, 0.0, 5.0])
def test_a_constant_objective_is_drawn_at_its_value(value):
    size = abs(value) or 1.0
    F = np.column_stack([np.full((5, 1), value), sphere(2, 5)])
    axes = plots.plot_attainment({"ours": [F[:, [0, 1]]]}, ["a", "b"]).axes[0]
    np.testing.assert_allclose(axes.get_xlim(), [value - 0.04 * size, value + 0.04 * size])
    figure = plots.plot_attainment({"ours": [F[:, [1, 2, 0]]]}, ["a", "b", "c"])
    np.testing.assert_allclose(
        figure.axes[-1].get_ylim(), [value - 0.04 * size, value + 0.04 * size]
    )
    axes = result_of(np.full((5, 1), value)).plot().axes[0]
    np.testing.assert_allclose(axes.get_ylim(), [value - size, value + size])
    if value > 0:
        axes = result_of(np.full((5, 1), value)).plot(log=True).axes[0]
        np.testing.assert_allclose(axes.get_ylim(), [value / 10, value * 10])


@pytest.mark.parametrize("labels", [["W" * 40, "V" * 40], ["ours", "theirs"]])
def test_shades_of_both_algorithms_are_inside(labels):
    a = [np.array([[0.0, 1.0], [k / 5, k / 5]]) for k in range(1, 6)]
    b = [np.array([[1.0, 0.0], [k / 5, 1 - k / 5]]) for k in range(1, 6)]
    names = ["f1", "average latency of a packet in nanoseconds over all of the flows"]
    figure = drawn(plots.plot_attainment_difference(a, b, names, labels=labels))
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()[1:3]] == ["20–40 %", "40–60 %"]
    assert is_inside(legend)
    assert is_inside(figure.axes[0].yaxis.label)
    assert figure.get_size_inches()[0] == 8.0 or "ours" not in labels
