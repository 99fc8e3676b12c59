"""Workers of an experiment that die."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
from experiment_cases import Toy, draw

from moela.experiments.run import External, run_experiment

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


@pytest.mark.slow
def test_a_worker_that_dies_once_costs_no_run(tmp_path, caplog):
    (file := tmp_path / "once").touch()
    algorithms = {"it": External(draw)}
    with caplog.at_level(logging.WARNING, "moela.experiment"):
        found = run_experiment({"toy": Deadly(file)}, algorithms, 4, 20, 2)
    assert "A worker process has died" in caplog.text
    expected = run_experiment({"toy": Toy()}, algorithms, 4, 20)
    for run, other in zip(found.runs, expected.runs, strict=True):
        np.testing.assert_array_equal(run.F, other.F)


@pytest.mark.slow
def test_a_run_whose_worker_dies_again_is_a_failed_one():
    problems = {"deadly": Deadly, "toy": Toy()}
    with pytest.warns(UserWarning, match=r"1 of 2 runs failed .*deadly, seed 1.*worker process di"):
        found = run_experiment(problems, {"it": External(draw)}, 1, 20, 2, on_error="skip")
    assert [run.problem for run in found.runs] == ["toy"]
    assert 'Evaluator(backend="processes"' in found.failures["it on deadly, seed 1, 20 evaluations"]


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs /proc")
def test_workers_end_with_a_killed_experiment(tmp_path):
    script = (
        "import os, sys, time\nimport numpy as np\nfrom pathlib import Path\n"
        "from pymoo.problems import get_problem\nfrom moela import External, run_experiment\n"
        "def wait(problem, n_eval, seed):\n"
        "    Path(sys.argv[1], str(os.getpid())).touch()\n    time.sleep(300)\n"
        "external = External(wait)\n"
        "run_experiment({'zdt1': get_problem('zdt1')}, {'it': external}, 2, 20, n_jobs=2)\n"
    )
    script = script.replace("sys.argv[1]", repr(str(tmp_path)))  # a worker has other arguments
    process = subprocess.Popen([sys.executable, "-c", script])
    try:
        workers = until(lambda: [int(f.name) for f in tmp_path.iterdir()], lambda w: len(w) == 2)
    finally:
        process.kill()
        process.wait()
    until(lambda: [w for w in workers if Path(f"/proc/{w}").exists()], lambda left: not left)


def until(look, holds):
    """Return what `look` returns as soon as it is as wanted."""
    end = time.monotonic() + 60
    while not holds(found := look()):
        assert time.monotonic() < end, found
        time.sleep(0.1)
    return found
