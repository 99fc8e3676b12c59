"""Type checkers accept what the README and the recipes write, and find misspelled parameters."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from tests.docs.typing_cases import (
    MISTAKES,
    write_mistakes,
    write_mypy_config,
    write_programs,
)


@pytest.mark.slow
def test_mypy_accepts_the_recipes_and_refuses_mistakes(tmp_path):
    pytest.importorskip("mypy")
    programs = write_programs(tmp_path)
    mistakes, lines = write_mistakes(tmp_path)
    config = write_mypy_config(tmp_path)
    command = [sys.executable, "-m", "mypy", "--config-file", str(config)]
    command += ["--cache-dir", os.devnull, mistakes.name, *programs]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert not done.stderr
    errors = re.findall(r"^(\w+\.py):(\d+): error: .*$", done.stdout, flags=re.MULTILINE)
    assert {file for file, _ in errors} == {mistakes.name}, done.stdout
    missed = set(lines) - {int(line) for _, line in errors}
    assert [MISTAKES[line - lines[0]] for line in sorted(missed)] == []
