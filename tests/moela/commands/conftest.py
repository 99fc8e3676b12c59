"""A folder with the example files of the command line."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from moela.commands.example_texts import FUNCTION, PROBLEM


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Return a folder with example files, which is the current one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    for name in ("curve", "function", "problem", "slow", "eight", "failing"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    Path("function.py").write_text(FUNCTION)
    Path("problem.py").write_text(PROBLEM)
    return tmp_path
