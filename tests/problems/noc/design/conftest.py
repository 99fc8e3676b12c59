"""A design, and programs in place of simulators that are not installed."""

import stat
import sys

import pytest


@pytest.fixture(scope="module")
def design(problem, rows):
    return problem.decode(rows[3])


@pytest.fixture
def install(monkeypatch):
    """Return a function that makes a Python program the only one on the path."""

    def program_of(folder, name, body):
        folder.mkdir(exist_ok=True)
        program = folder / name
        program.write_text(f"#!{sys.executable}\n{body}")
        program.chmod(program.stat().st_mode | stat.S_IEXEC)
        monkeypatch.setenv("PATH", str(folder))

    return program_of
