"""Hooks for sphinx-gallery: collect the figures of tutorials, and make warnings errors."""

from __future__ import annotations

import warnings
from typing import Any

from matplotlib import rcParams
from matplotlib.figure import Figure
from sphinx_gallery.scrapers import figure_rst

# Figures that a tutorial makes with matplotlib alone look like those of the library.
STYLE: dict[str, Any] = {
    "font.size": 12.5, "axes.labelsize": 13.5, "axes.titlesize": 13.5, "axes.axisbelow": True,
    "axes.spines.top": False, "axes.spines.right": False, "legend.framealpha": 0.85,
    "legend.edgecolor": "none",
}  # fmt: skip


def figure_scraper(block: Any, block_vars: dict[str, Any], gallery_conf: dict[str, Any]) -> str:
    """Save each new matplotlib Figure among a tutorial's names.

    The gallery's own scraper finds only figures of pyplot, which we do not use.
    """
    names = block_vars["example_globals"]
    saved = block_vars.setdefault("figures_saved", [])
    paths = []
    for value in list(names.values()):
        if isinstance(value, Figure) and not any(value is old for old in saved):
            saved.append(value)
            path = next(block_vars["image_path_iterator"])
            value.savefig(path, dpi=110, facecolor="white")
            paths.append(path)
    return figure_rst(paths, gallery_conf["src_dir"])


_filters_of_sphinx: list[Any] = []


def warnings_as_errors(gallery_conf: dict[str, Any], fname: str, when: str) -> None:
    """Make warnings errors while a tutorial runs, as in the tests, and restore Sphinx's filters.

    Pictures get the style of the library as well.
    """
    if when == "before":
        rcParams.update(STYLE)
        _filters_of_sphinx[:] = warnings.filters
        warnings.simplefilter("error")
    else:
        warnings.filters[:] = _filters_of_sphinx
