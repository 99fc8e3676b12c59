"""Every public name has a docstring that a reference can be made of."""

from __future__ import annotations

import inspect
import re
import sys
from pathlib import Path

import pytest
from numpydoc.docscrape import NumpyDocString

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "docs" / "_ext"))

from public_names import PACKAGES, homes  # noqa: E402

PUBLIC = {name: value for name, value in homes().items() if callable(value)}
ERRORS = {
    name
    for name, value in PUBLIC.items()
    if inspect.isclass(value) and issubclass(value, Exception)
}
# Others make these, and their docstrings say who: what they are made from is no business of users.
MADE_BY_OTHERS = {"moe_costmodel.Evaluation", "moe_costmodel.LatencyModel"}


def _sections(name: str) -> NumpyDocString:
    value = PUBLIC[name]
    # A class without a docstring would answer with that of its parent.
    own = value.__dict__.get("__doc__") if inspect.isclass(value) else value.__doc__
    assert own, f"{name} has no docstring"
    return NumpyDocString(inspect.cleandoc(own))


def _described(doc: NumpyDocString) -> set[str]:
    """Return the names that a docstring's lists describe; one entry may hold several."""
    entries = [*doc["Parameters"], *doc["Other Parameters"], *doc["Attributes"]]
    return {name.strip().lstrip("*") for entry in entries for name in entry.name.split(",")}


def test_reference_lists_the_public_packages():
    text = (ROOT / "docs" / "reference" / "index.md").read_text()
    assert tuple(re.findall(r"^packages/(.+)$", text, flags=re.MULTILINE)) == PACKAGES


@pytest.mark.parametrize("name", PUBLIC)
def test_summary_is_one_sentence(name):
    summary = " ".join(_sections(name)["Summary"]).strip()
    assert summary.endswith((".", ":", "?"))


@pytest.mark.parametrize("name", sorted(set(PUBLIC) - ERRORS - MADE_BY_OTHERS))
def test_parameters_are_described(name):
    parameters = inspect.signature(PUBLIC[name]).parameters
    missing = [p for p in parameters if p not in _described(_sections(name))]
    assert missing == []


@pytest.mark.parametrize("name", [n for n, value in PUBLIC.items() if inspect.isfunction(value)])
def test_returns_are_described(name):
    doc = _sections(name)
    annotation = inspect.signature(PUBLIC[name]).return_annotation
    assert annotation in (None, "None") or doc["Returns"] or doc["Yields"]


@pytest.mark.parametrize("name", sorted(set(PUBLIC) - ERRORS))
def test_there_is_an_example(name):
    assert any(line.lstrip().startswith(">>> ") for line in _sections(name)["Examples"])


@pytest.mark.parametrize("name", [n for n, value in PUBLIC.items() if inspect.isclass(value)])
def test_public_methods_have_docstrings(name):
    missing = []
    for method, value in vars(PUBLIC[name]).items():
        bare = value.fget if isinstance(value, property) else getattr(value, "__func__", value)
        if not method.startswith("_") and inspect.isfunction(bare) and not bare.__doc__:
            missing.append(method)
    assert missing == []
