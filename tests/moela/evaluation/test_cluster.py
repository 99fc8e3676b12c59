"""Evaluation on local clusters whose worker processes are killed."""

import contextlib
import os
import signal
import sys
import threading
import warnings

import joblib
import numpy as np
import pytest
from evaluation_cases import (
    Failing,
    One,
    Remembering,
    Rows,
    designs,
    evaluate,
    solve,
    stored,
    wait_for,
)

import moela
from moela.evaluation.runners import cluster
from moela.evaluation.runners.call import ProblemCall
from moela.evaluation.runners.outcome import EvaluationError

# Neither package is free of its own warnings at start and end.
pytestmark = pytest.mark.filterwarnings("default")


@pytest.fixture(scope="module")
def sturdy_client():
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


@pytest.fixture
def dask(sturdy_client):
    """Make a client the current one, whichever was made last."""
    with sturdy_client.as_current():
        yield sturdy_client


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


@pytest.mark.parametrize(
    ("how", "words"), [("raise", "the simulator broke"), ("cancel", "CancelledError: the simul")]
)
def test_a_failure_on_dask_names_the_design(dask, how, words):
    with pytest.raises(EvaluationError, match=words):
        solve(Failing(how), backend="dask")


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


@pytest.mark.slow
@pytest.mark.parametrize("problem", [Deadly, DeadlyRows])
def test_only_the_design_that_kills_its_ray_workers_counts_as_crashed(ray, problem):
    assert_only_one_crashes(problem(), "ray", "It was tried on each of 3 workers")
