"""Runs that several tests of experiments look at, and their problems, importable by them."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from experiment_cases import ALGORITHMS, Toy

from moela import MOELA, run_experiment


@pytest.fixture(scope="module")
def results():
    return run_experiment({"toy": Toy()}, {"MOELA": MOELA, **ALGORITHMS}, 3, 150)
