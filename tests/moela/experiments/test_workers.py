"""Workers of an experiment that die."""

from __future__ import annotations

import logging
import os
import signal
import warnings

import numpy as np
import pytest
from experiment_cases import Toy, draw

from moela.experiments.run import ExperimentError, External, run_experiment

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs signals")


class Deadly(Toy):
    """Kills its process at the first evaluation, once if there is a file to remove."""

    def __init__(self, file=None):
        super().__init__()
        self._file = file

    def _evaluate(self, X, out, *args, **kwargs):
        super()._evaluate(X, out)
        if self._file is None or self._file.exists():
            if self._file is not None:
                self._file.unlink()
            os.kill(os.getpid(), signal.SIGKILL)


@pytest.fixture(autouse=True)
def _killed_workers_leave_semaphores():
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="resource_tracker")
        yield


def test_a_worker_that_dies_once_costs_no_run(tmp_path, caplog):
    (file := tmp_path / "once").touch()
    algorithms = {"it": External(draw)}
    with caplog.at_level(logging.WARNING, "moela.experiment"):
        found = run_experiment({"toy": Deadly(file)}, algorithms, 4, 20, 2)
    assert "A worker process has died" in caplog.text
    expected = run_experiment({"toy": Toy()}, algorithms, 4, 20)
    for run, other in zip(found.runs, expected.runs, strict=True):
        np.testing.assert_array_equal(run.F, other.F)


def test_a_run_whose_worker_dies_again_is_a_failed_one(tmp_path):
    problems = {"deadly": Deadly, "toy": Toy()}  # made in the worker, so not sent there
    algorithms = {"it": External(draw)}
    with pytest.warns(UserWarning, match=r"2 of 4 runs failed .*deadly, seed 1.*worker process di"):
        found = run_experiment(problems, algorithms, 2, 20, 2, store=tmp_path, on_error="skip")
    assert [run.problem for run in found.runs] == ["toy", "toy"]
    assert sorted(found.failures) == [f"it on deadly, seed {s}, 20 evaluations" for s in (1, 2)]
    assert 'Evaluator(backend="processes"' in next(iter(found.failures.values()))
    with pytest.raises(ExperimentError, match=r"deadly, seed 1, .* failed.\nIts worker process"):
        run_experiment(problems, algorithms, 2, 20, 2, store=tmp_path)
