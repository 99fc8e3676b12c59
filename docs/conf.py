"""Configuration of Sphinx: Markdown pages, tutorials that run, a reference; needs no network."""

from __future__ import annotations

import os
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE / "_ext")]
# Tutorials start programs and workers of their own, which must find the packages as well.
os.environ["PYTHONPATH"] = os.pathsep.join([str(HERE.parent), os.environ.get("PYTHONPATH", "")])
# The tutorials run in this process; one thread each keeps their results and times the same.
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")

from figures import figure_scraper, warnings_as_errors  # noqa: E402

import moela  # noqa: E402

project = "moela"
copyright = "the moela developers"
release = moela.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.viewcode",
    "numpydoc",
    "myst_parser",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
    "sphinxcontrib.bibtex",
    "public_names",
]
exclude_patterns = ["_build", "tutorials/*", "benchmarks/README.md"]
templates_path = ["_templates"]
default_role = "py:obj"
suppress_warnings = ["config.cache"]  # the gallery's configuration holds functions

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

bibtex_bibfiles = ["references.bib"]
bibtex_default_style = "plain"
bibtex_reference_style = "author_year"

autosummary_generate = True
autosummary_imported_members = False
autodoc_typehints = "none"  # types are in the docstrings, where shapes and units are
autodoc_member_order = "bysource"
numpydoc_show_class_members = False  # the template lists what a class itself defines
numpydoc_class_members_toctree = False

sphinx_gallery_conf = {
    "examples_dirs": "tutorials",
    "gallery_dirs": "auto_tutorials",
    "filename_pattern": r"/\d\d_",
    "within_subsection_order": "FileNameSortKey",
    "image_scrapers": (figure_scraper,),
    "reset_modules": (warnings_as_errors,),
    "reset_modules_order": "both",
    "remove_config_comments": True,
    "show_memory": False,
    "show_signature": False,
    "download_all_examples": False,
    "min_reported_time": 1e9,  # times of another machine tell a reader nothing
    "plot_gallery": True,
    "capture_repr": (),  # a page shows what the script prints, and nothing else
    "write_computation_times": False,
    "doc_module": ("moela", "problems", "moe_costmodel"),
    "backreferences_dir": "auto_tutorials/backreferences",
}

html_theme = "pydata_sphinx_theme"
html_title = "moela"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_favicon = "_static/favicon.svg"
html_context = {"default_mode": "auto"}  # light or dark as the reader's system
html_show_sourcelink = False
html_sidebars = {"how_to_choose": []}  # has no pages below it
html_theme_options = {
    "show_toc_level": 2,
    "navigation_with_keys": False,
    "navbar_align": "left",
    "footer_start": ["copyright"],
    "footer_end": [],
    "secondary_sidebar_items": ["page-toc"],
}
