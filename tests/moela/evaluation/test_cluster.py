"""Evaluation on a cluster of dask that gives a task up when its worker dies."""

import contextlib
import os
import sys
import threading
import warnings

import joblib
import numpy as np
import pytest
from evaluation_cases import (
    One,
    Remembering,
    Rows,
    designs,
    evaluate,
    wait_for,
)

import moela
from moela.evaluation.runners import cluster
from moela.evaluation.runners.call import ProblemCall
from moela.evaluation.runners.outcome import EvaluationError

# Neither package is free of its own warnings at start and end.
pytestmark = pytest.mark.filterwarnings("default")


@pytest.fixture(scope="module")
def known(tmp_path_factory):
    """Return a folder of files with the ids of the processes that the local cluster knows."""
    return tmp_path_factory.mktemp("known")


@contextlib.contextmanager
def noting(local, known):
    """Note the workers of a local cluster as soon as it knows that they have started."""
    ended = threading.Event()

    def note():
        while not ended.wait(0.02):
            for nanny in list(local.workers.values()):
                if nanny.process is not None and nanny.process.status.name == "running":
                    (known / str(nanny.process.pid)).touch()

    thread = threading.Thread(target=note)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@pytest.fixture(scope="module")
def fragile_client(known):
    """Make a client of a cluster with one thread that gives a task up when its worker dies."""
    config = pytest.importorskip("dask").config
    distributed = pytest.importorskip("distributed")
    settings = {
        "distributed.scheduler.allowed-failures": 0,
        # So long after the end of a worker, its local cluster gives it up if it is just not there:
        # also because it died again, and is being started.
        "distributed.deploy.lost-worker-timeout": "1h",
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with (
            config.set(settings),
            distributed.LocalCluster(
                n_workers=1, threads_per_worker=1, processes=True, dashboard_address=":0"
            ) as local,
            distributed.Client(local) as client,
            noting(local, known),
        ):
            yield client


@pytest.fixture
def fragile(fragile_client):
    """Make that client the current one."""
    with fragile_client.as_current():
        yield fragile_client


def end_process(known=None):
    """End this worker, which its local cluster starts again only if it has known it."""
    if known is not None:
        wait_for((known / str(os.getpid())).exists, pause=0.01)
    os._exit(1)


class Deadly(Remembering):
    """Kills its worker below a threshold."""

    def __init__(self, known=None):
        super().__init__()
        self._known = known

    def _evaluate(self, x, out, *args, **kwargs):
        super()._evaluate(x, out)
        if x[0] < 0.1:
            end_process(self._known)


class DeadlyRows(Rows):
    def __init__(self, known=None):
        super().__init__()
        self._known = known

    def _evaluate(self, X, out, *args, **kwargs):
        super()._evaluate(X, out)
        if np.any(X[:, 0] < 0.1):
            end_process(self._known)


def assert_only_one_crashes(problem, backend, words):
    """The second of four designs kills its workers."""
    X = np.clip(designs(4), 0.2, 1.0)
    X[1, 0] = 0.05
    pop = evaluate(problem, X, backend=backend, on_error="infeasible")
    assert pop.get("status").tolist() == ["ok", "crashed", "ok", "ok"]
    assert pop[1].get("error").startswith(words)


@pytest.mark.parametrize("problem", [Deadly, DeadlyRows])
def test_only_the_design_that_kills_its_dask_workers_counts_as_crashed(fragile, known, problem):
    assert_only_one_crashes(problem(known), "dask", "It was tried on a worker of the cluster")


def test_dask_names_the_design_that_killed_its_workers(fragile, known):
    X = np.full((1, 6), 0.05)
    with pytest.raises(EvaluationError, match="killed its worker process") as caught:
        evaluate(Deadly(known), X, backend="dask")
    np.testing.assert_array_equal(caught.value.X, X[0])


def test_single_designs_that_kill_dask_workers_count_as_crashed(fragile, known):
    def kills(d):
        if d["x"] < 0.3:
            end_process(known)
        return {"a": d["x"], "b": 1 / d["x"]}

    settings = {"objectives": ["a", "b"], "n_eval": 3, "verbose": False, "seed": 1}
    start = [{"x": 0.2}, {"x": 0.6}, {"x": 0.8}]
    result = moela.minimize(
        kills, variables={"x": (0.1, 1.0)}, start=start, backend="dask", asynchronous=True,
        on_error="infeasible", **settings,
    )  # fmt: skip
    assert [(f["status"], f["design"]) for f in result.failures] == [("crashed", {"x": 0.2})]
    assert result.n_eval == 3


@pytest.mark.parametrize("n_jobs", [None, 1, 3])
def test_a_cluster_of_one_thread_evaluates(fragile, n_jobs):
    pop = evaluate(Remembering(), designs(4), backend="dask", n_jobs=n_jobs)
    with joblib.parallel_config(backend="dask"):
        configured = evaluate(Remembering(), designs(4), n_jobs=n_jobs)
    assert os.getpid() not in {*pop.get("pid"), *configured.get("pid")}


def test_dask_workers_without_moela_are_an_error_that_says_so(fragile):
    name = "moela.evaluation.runners.call"
    fragile.run(lambda: sys.modules.__setitem__(name, None))
    try:
        with pytest.raises(EvaluationError, match=r"workers cannot import moela \(Module.*Install"):
            evaluate(One(), designs(2), backend="dask")
    finally:
        fragile.run(lambda: sys.modules.pop(name))


def test_a_dask_cluster_without_workers_is_an_error(fragile, monkeypatch):
    monkeypatch.setattr(cluster, "_GONE_SECONDS", 0.2)
    runner = cluster.DaskRunner(ProblemCall(Deadly()), None)
    assert runner.n_workers() == 1
    monkeypatch.setattr(runner, "_n_threads", lambda: 0)
    monkeypatch.setattr(runner, "submit", lambda *task: cluster.Future())
    with pytest.raises(EvaluationError, match=r"no worker for 0\.2 seconds"):
        list(runner.run([(0,)], designs(1), ["F"]))
    fragile.cluster.scale(0)
    try:
        wait_for(lambda: not fragile.nthreads())  # a worker may still take tasks before it stops
        monkeypatch.setattr(cluster, "_START_SECONDS", 0.2)
        with pytest.raises(ValueError, match="needs a cluster with at least one worker"):
            evaluate(One(), designs(2), backend="dask")
    finally:
        fragile.cluster.scale(1)
        fragile.wait_for_workers(1, timeout=120)


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
