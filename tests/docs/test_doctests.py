"""The examples in docstrings run, and give what they show."""

from __future__ import annotations

import doctest
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def _modules() -> dict[str, str]:
    """Return the text of each module with an example, by the module's name."""
    found = {}
    for package in ("moela", "problems", "moe_costmodel"):
        for path in sorted((ROOT / package).rglob("*.py")):
            text = path.read_text()
            if ">>> " in text:
                parts = path.relative_to(ROOT).with_suffix("").parts
                found[".".join(parts).removesuffix(".__init__")] = text
    return found


MODULES = _modules()


@pytest.mark.parametrize("name", MODULES)
def test_examples_give_what_they_show(name, tmp_path, monkeypatch):
    if "import torch" in MODULES[name]:
        pytest.importorskip("torch")
    monkeypatch.chdir(tmp_path)
    # What fails is printed, with what was expected and what came.
    result = doctest.testmod(import_module(name), optionflags=doctest.NORMALIZE_WHITESPACE)
    assert result.attempted > 0
    assert result.failed == 0
