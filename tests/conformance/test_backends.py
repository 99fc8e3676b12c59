"""Every backend of evaluation passes these checks; to add one, add a line to BACKENDS."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import warnings

import joblib
import numpy as np
import pytest

from moela import MOELA
from moela.evaluation.runners.outcome import EvaluationError
from tests.moela.evaluation.evaluation_cases import (
    Failing,
    One,
    Remembering,
    Rows,
    designs,
    evaluate,
    solve,
    stored,
)

# Neither dask nor ray is free of its own warnings at start and end.
pytestmark = pytest.mark.filterwarnings("default")


@contextlib.contextmanager
def dask_cluster():
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(2, threads_per_worker=1, dashboard_address=":0") as cluster,
        distributed.Client(cluster),
    ):
        yield


@contextlib.contextmanager
def ray_cluster():
    ray = pytest.importorskip("ray")
    with pytest.MonkeyPatch.context() as patch:  # its workers import, too
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
        try:
            ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
        except Exception as error:
            pytest.skip(f"ray cannot be started here: {error}")
    yield
    ray.shutdown()


# What is started before.
BACKENDS = {
    "serial": contextlib.nullcontext,
    "processes": contextlib.nullcontext,
    "threads": contextlib.nullcontext,
    "loky": contextlib.nullcontext,
    "dask": dask_cluster,
    "ray": ray_cluster,
}


@pytest.fixture(
    scope="module",
    params=[pytest.param(n, marks=pytest.mark.slow if n == "ray" else ()) for n in BACKENDS],
)
def backend(request):
    """Return the name of a backend, which has been started."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with BACKENDS[request.param]():
            yield request.param


@pytest.fixture
def settings(backend):
    return {"backend": backend, "n_jobs": 2}


@pytest.mark.parametrize("problem", [One, Rows])
@pytest.mark.parametrize(("chunk_size", "n_jobs"), [("auto", 2), (7, 3)])
def test_results_are_those_of_a_serial_run_and_no_evaluation_is_made_too_often(
    backend, problem, chunk_size, n_jobs
):
    def run(**settings):
        algorithm = MOELA(n_subproblems=10, batch_size=9)
        return solve(problem(), 41, algorithm=algorithm, chunk_size=chunk_size, **settings)

    result = run(backend=backend, n_jobs=n_jobs)
    assert result.evaluator.n_eval == 41
    np.testing.assert_array_equal(result.F, run().F)


def test_an_evaluation_that_fails_costs_one_design(settings):
    X = designs(20)
    bad = X[:, 0] < 0.3
    assert bad.any()
    pop = evaluate(Failing("raise"), X, on_error="infeasible", **settings)
    assert pop.get("status").tolist() == np.where(bad, "error", "ok").tolist()
    np.testing.assert_array_equal(pop[~bad].get("F"), evaluate(One(), X[~bad]).get("F"))


@pytest.mark.parametrize(
    ("how", "words"), [("raise", "the simulator broke"), ("cancel", "CancelledError: the simul")]
)
def test_a_failure_names_the_design(settings, how, words):
    with pytest.raises(EvaluationError, match=words) as caught:
        solve(Failing(how), **settings)
    assert caught.value.X[0] < 0.3


def test_a_run_that_goes_on_from_a_store_is_the_undisturbed_one(settings, tmp_path):
    solve(Rows(), 40, store=tmp_path / "run.db", **settings)
    result = solve(Rows(), 80, store=tmp_path / "run.db", **settings)
    assert result.evaluator.n_fresh == 40
    assert len(stored(tmp_path / "run.db")) == 80
    np.testing.assert_array_equal(result.F, solve(Rows(), 80).F)


def test_parallel_config_of_joblib_is_honored(backend, settings):
    name = {"threads": "threading"}.get(backend, backend)
    if name not in ("threading", "loky", "dask", "ray"):
        pytest.skip("joblib has no such backend")
    if name == "ray":
        from ray.util.joblib import register_ray

        register_ray()
    with joblib.parallel_config(backend=name, n_jobs=2):
        pop = evaluate(Remembering(), designs(8))
    assert (os.getpid() in set(pop.get("pid"))) == (name == "threading")
    np.testing.assert_array_equal(pop.get("F"), evaluate(One(), designs(8)).get("F"))


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


def test_a_run_survives_the_loss_of_a_worker(backend, settings, tmp_path):
    if backend not in ("dask", "ray"):
        pytest.skip("tests of the evaluator try it with processes; others have none, or end then")
    result = solve(Killed(tmp_path, at=30), 60, store=tmp_path / "run.db", **settings)
    np.testing.assert_array_equal(result.F, solve(One(), 60).F)
    evaluations = stored(tmp_path / "run.db")
    assert len(evaluations) == 60
    workers = {int(e.extra["pid"]) for e in evaluations}
    assert workers - {int((tmp_path / "victim").read_text())}  # others went on


class Deadly(One):
    def _evaluate(self, x, out, *args, **kwargs):
        super()._evaluate(x, out)
        if x[0] < 0.1:
            os._exit(1)


def test_only_the_design_that_kills_its_workers_counts_as_crashed(backend, settings):
    if backend != "ray":
        pytest.skip("tests of the evaluator try it with processes, and with dask")
    X = np.clip(designs(4), 0.2, 1.0)
    X[1, 0] = 0.05
    pop = evaluate(Deadly(), X, on_error="infeasible", **settings)
    assert pop.get("status").tolist() == ["ok", "crashed", "ok", "ok"]
