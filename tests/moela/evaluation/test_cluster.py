"""Evaluation on local clusters of two worker processes, one of which is killed."""

import os
import signal
import sys
import warnings

import joblib
import numpy as np
import pytest
from evaluation_cases import Failing, One, Remembering, Rows, designs, evaluate, solve, stored

from moela.evaluation.runners.outcome import EvaluationError

# Neither package is free of its own warnings at start and end.
pytestmark = pytest.mark.filterwarnings("default")


@pytest.fixture(scope="module")
def dask():
    distributed = pytest.importorskip("distributed")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cluster = distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0"
        )
        client = distributed.Client(cluster)
        yield client
        client.close()
        cluster.close()


@pytest.fixture(scope="module")
def ray():
    ray = pytest.importorskip("ray")
    path = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))  # its workers import, too
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    except Exception as error:
        pytest.skip(f"ray cannot be started here: {error}")
    finally:
        os.environ.pop("PYTHONPATH")
        if path is not None:
            os.environ["PYTHONPATH"] = path
    yield ray
    ray.shutdown()


class Killed(Remembering):
    """Kills the worker of a certain evaluation, once."""

    def __init__(self, folder, at):
        super().__init__()
        self._folder = folder
        self._at = at

    def _evaluate(self, x, out, *args, **kwargs):
        super()._evaluate(x, out)
        begun = self._folder / "begun"
        with begun.open("a") as file:
            file.write(".")
        victim = self._folder / "victim"
        if begun.stat().st_size >= self._at and not victim.exists():
            victim.write_text(str(os.getpid()))
            os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("problem", [One, Rows])
def test_dask_gives_the_same_result_bit_for_bit(dask, problem):
    np.testing.assert_array_equal(solve(problem(), backend="dask").F, solve(problem()).F)


def test_dask_is_honored_in_parallel_config(dask):
    with joblib.parallel_config(backend="dask"):
        pop = evaluate(Remembering(), designs(8))
    assert os.getpid() not in set(pop.get("pid"))


def assert_it_survives(problem, store, folder, **settings):
    """Check that the result equals that of a serial run, although a worker is killed."""
    result = solve(problem, store=store, **settings)
    np.testing.assert_array_equal(result.F, solve(One()).F)
    evaluations = stored(store)
    workers = {int(e.extra["pid"]) for e in evaluations}
    assert len(evaluations) == 100
    assert (folder / "victim").exists()
    assert workers - {int((folder / "victim").read_text())}  # others went on


def test_a_run_survives_the_loss_of_a_dask_worker(dask, store, tmp_path):
    assert_it_survives(Killed(tmp_path, at=50), store, tmp_path, backend="dask")


def test_a_failure_on_dask_names_the_design(dask):
    with pytest.raises(EvaluationError, match="the simulator broke"):
        solve(Failing("raise"), backend="dask")


def test_dask_without_a_client_says_what_to_do(script):
    script("""
        from moela.evaluation.evaluator import Evaluator
        try:
            Evaluator(backend="dask")
        except ValueError as error:
            assert "Make one first" in str(error), error
        else:
            raise SystemExit("no error")
    """)


@pytest.mark.slow
@pytest.mark.parametrize("problem", [One, Rows])
def test_ray_gives_the_same_result_bit_for_bit(ray, problem):
    np.testing.assert_array_equal(solve(problem(), backend="ray").F, solve(problem()).F)


@pytest.mark.slow
def test_ray_is_honored_in_parallel_config(ray):
    from ray.util.joblib import register_ray

    register_ray()
    with joblib.parallel_config(backend="ray"):
        pop = evaluate(Remembering(), designs(8))
    assert os.getpid() not in set(pop.get("pid"))


@pytest.mark.slow
def test_a_run_survives_the_loss_of_a_ray_worker(ray, store, tmp_path):
    assert_it_survives(Killed(tmp_path, at=50), store, tmp_path, backend="ray")
