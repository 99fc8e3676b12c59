"""The description of the package for PyPI, which hatch_build.py makes of the README."""

from __future__ import annotations

import re
import runpy
import sys
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parents[2]


def hook(monkeypatch):
    """Return the names of hatch_build.py, without the package that builds ours."""
    for name in ("hatchling", "hatchling.metadata", "hatchling.metadata.plugin"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    interface = ModuleType("hatchling.metadata.plugin.interface")
    interface.MetadataHookInterface = object
    monkeypatch.setitem(sys.modules, interface.__name__, interface)
    return runpy.run_path(str(ROOT / "hatch_build.py"))


def test_the_description_has_no_picture_and_no_link_that_pypi_cannot_show(monkeypatch):
    names = hook(monkeypatch)
    built = names["DescriptionHook"]()
    built.root = str(ROOT)
    metadata = {}
    built.update(metadata)
    assert metadata["readme"]["content-type"] == "text/markdown"
    text, readme = metadata["readme"]["text"], (ROOT / "README.md").read_text(encoding="utf-8")
    assert "![" in readme
    assert "![" not in text
    assert all(link.startswith("https:") for link in re.findall(r"\]\(([^)]*)\)", text))
    assert "[pymoo](https://pymoo.org)" in text
    # Nothing else is lost.
    assert re.findall(r"```.*?```", text, re.DOTALL) == re.findall(r"```.*?```", readme, re.DOTALL)
    assert re.findall("^#.*", text, re.MULTILINE) == re.findall("^#.*", readme, re.MULTILINE)
    assert "The picture" not in text


def test_captions_go_with_their_pictures_only(monkeypatch):
    description = hook(monkeypatch)["description"]
    text = (
        "![A *b*](x/y.png)\n\n*A caption\nof two lines.*\n\n*Not one.* [a](b.md#c), [d](https://e)"
    )
    assert description(text) == "*Not one.* a, [d](https://e)"
