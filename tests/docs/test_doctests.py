"""The examples in docstrings run and print the output that they show."""

from __future__ import annotations

import doctest
from collections import defaultdict
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def examples() -> dict[str, dict[str, str]]:
    """Return the text of each module with an example, by folder (of two levels) and module."""
    found: dict[str, dict[str, str]] = defaultdict(dict)
    for package in ("moela", "problems", "moe_costmodel"):
        for path in sorted((ROOT / package).rglob("*.py")):
            text = path.read_text(encoding="utf-8")
            if ">>> " in text:
                parts = path.relative_to(ROOT).with_suffix("").parts
                name = ".".join(parts).removesuffix(".__init__")
                found["/".join(parts[:-1][:2])][name] = text
    return found


EXAMPLES = examples()


@pytest.mark.parametrize("folder", EXAMPLES)
def test_examples_print_what_they_show(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    wrong = {}
    for name, text in EXAMPLES[folder].items():
        if "import torch" in text and find_spec("torch") is None:
            continue
        # A failure prints the expected and the actual output.
        result = doctest.testmod(import_module(name), optionflags=doctest.NORMALIZE_WHITESPACE)
        assert result.attempted > 0, name
        if result.failed:
            wrong[name] = result.failed
    assert wrong == {}
