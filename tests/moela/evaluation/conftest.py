"""Fixtures of the evaluator's tests; their problems are importable in workers and scripts."""

import logging
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
sys.path.insert(0, str(HERE))


@pytest.fixture
def store(tmp_path):
    return tmp_path / "run.db"


@pytest.fixture
def script():
    """Run a script in a new process; return its output, or the process if not `wait`."""
    started = []

    def run(text, *arguments, wait=True, **options):
        environment = dict(os.environ, PYTHONPATH=os.pathsep.join((str(ROOT), str(HERE))))
        process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(text), *map(str, arguments)],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **options,
        )
        started.append(process)
        if wait:
            out, err = process.communicate(timeout=240)
            assert process.returncode == 0, err
            return out
        return process

    yield run
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.fixture
def clock(monkeypatch):
    """Replace the real clock by one that only evaluations and tests advance."""
    from evaluation_cases import Clock

    Clock.now = 0.0
    for module in ("session", "termination", "progress.progress", "progress.pace"):
        monkeypatch.setattr(f"moela.evaluation.{module}.time", Clock())
    return Clock


@pytest.fixture
def log(caplog):
    caplog.set_level(logging.INFO, logger="moela.evaluator")
    return caplog
