"""Labels of pictures: their size, and letters of all scripts."""

from __future__ import annotations

import warnings

from moela.notebook import figures


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
