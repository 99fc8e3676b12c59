"""Pictures and warnings of the tutorials: what sphinx-gallery needs to know about ours."""

from __future__ import annotations

import warnings
from typing import Any

from matplotlib.figure import Figure
from sphinx_gallery.scrapers import figure_rst


def figure_scraper(block: Any, block_vars: dict[str, Any], gallery_conf: dict[str, Any]) -> str:
    """Save each new matplotlib Figure among a tutorial's names.

    Our pictures are Figures of their own, without pyplot, which is where the gallery's own scraper
    looks.
    """
    names = block_vars["example_globals"]
    seen = block_vars.setdefault("figures_seen", [])
    paths = []
    for value in list(names.values()):
        if isinstance(value, Figure) and not any(value is old for old in seen):
            seen.append(value)
            path = next(block_vars["image_path_iterator"])
            value.savefig(path, dpi=110, facecolor="white")
            paths.append(path)
    return figure_rst(paths, gallery_conf["src_dir"])


_outside: list[Any] = []


def warnings_as_errors(gallery_conf: dict[str, Any], fname: str, when: str) -> None:
    """Make warnings in a tutorial errors, as they are in the tests, and leave Sphinx its own."""
    if when == "before":
        _outside[:] = warnings.filters
        warnings.simplefilter("error")
    else:
        warnings.filters[:] = _outside
