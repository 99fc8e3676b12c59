"""Labels of pictures: their size, and letters of all scripts."""

from __future__ import annotations

import warnings

import pytest

from moela.notebook import figures
from moela.notebook.style import TEXT, fitted, new_figure


def test_letters_without_a_font_give_a_single_warning():
    figure = figures.ShownFigure()
    figure.subplots().set_xlabel("\u1d81\U000f0000")
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        figures.png(figure)
        figures.png(figure)
    assert len(told) == 1
    assert "has the letters \u1d81" in str(told[0].message)


def test_letters_come_from_another_font_that_has_them(monkeypatch):
    # STIXGeneral comes with matplotlib, and has this letter, which its default font lacks.
    monkeypatch.setattr(figures, "_installed", lambda: ("STIXGeneral",))
    figure = figures.ShownFigure()
    figure.subplots().set_xlabel("\u1d81")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figures.png(figure)


@pytest.mark.parametrize("text", ["energy consumption of the whole plant (kWh)", "m" * 90, "x"])
@pytest.mark.parametrize("inches", [1.5, 3.0, 6.0])
def test_labels_fit_into_their_width(text, inches):
    figure = new_figure()
    label = figure.text(0.0, 0.0, fitted(text, inches), fontsize=TEXT)
    width = label.get_window_extent().width / figure.dpi
    assert width < (2.0 if "m" in text[:2] else 1.2) * inches  # an m is wider than most letters
    assert label.get_text().count("\n") <= 2
