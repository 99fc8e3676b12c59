"""Runs that several tests of experiments share; their problems are importable."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from experiment_cases import ALGORITHMS, Toy

from moela import MOELA, run_experiment


@pytest.fixture(scope="module")
def results():
    return run_experiment({"toy": Toy()}, {"MOELA": MOELA, **ALGORITHMS}, 3, 150)
