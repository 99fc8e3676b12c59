"""Where evaluations are computed does not change what comes out, and workers may die."""

import os
import signal
import threading
import time

import joblib
import numpy as np
import pytest
from evaluation_cases import Failing, One, Rows, Threads
from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.core.population import Population
from pymoo.optimize import minimize

from moela.evaluation.evaluator import Evaluator
from moela.evaluation.runners.outcome import EvaluationError
from moela.evaluation.runners.runner import make_jobs


def solve(problem, evaluator, n_eval=100):
    with evaluator:
        return minimize(
            problem, NSGA2(pop_size=20), ("n_eval", n_eval), seed=1, evaluator=evaluator
        )


@pytest.fixture(scope="module")
def serial():
    return {kind: solve(kind(), Evaluator()).F for kind in (One, Rows)}


@pytest.mark.parametrize("problem", [One, Rows])
@pytest.mark.parametrize(
    "settings",
    [
        {"n_jobs": 2},
        {"n_jobs": 3, "backend": "processes"},
        {"n_jobs": 2, "backend": "threads"},
        {"n_jobs": 2, "backend": "loky"},
        {"n_jobs": 1, "backend": "loky"},
    ],
    ids=str,
)
def test_the_result_is_the_same_bit_for_bit(serial, problem, settings):
    np.testing.assert_array_equal(solve(problem(), Evaluator(**settings)).F, serial[problem])


@pytest.mark.parametrize("problem", [One, Rows])
def test_joblibs_parallel_config_is_honored(serial, problem):
    seen = []

    class Watched(problem):
        def _evaluate(self, X, out, *args, **kwargs):
            seen.append(threading.current_thread().name)
            super()._evaluate(X, out)

    with joblib.parallel_config(backend="threading", n_jobs=2):
        result = solve(Watched(), Evaluator())
    np.testing.assert_array_equal(result.F, serial[problem])
    assert threading.main_thread().name not in seen


def test_n_jobs_of_parallel_config_alone_means_processes(serial):
    with joblib.parallel_config(n_jobs=2):
        evaluator = Evaluator()
        evaluator.eval(One(), Population.new(X=np.random.default_rng(0).random((4, 6))))
        assert type(evaluator._live.runner).__name__ == "Supervisor"
        evaluator.close()


def test_chunks_do_not_depend_on_the_workers():
    X = np.random.default_rng(0).random((40, 6))
    for settings in ({}, {"n_jobs": 2, "backend": "threads"}, {"n_jobs": 3, "backend": "threads"}):
        problem = Rows()
        Evaluator(**settings).eval(problem, Population.new(X=X))
        assert sorted(problem._sizes) == [8, 16, 16]
    assert make_jobs([3, 5, 8], 2) == [(3, 5), (8,)]


@pytest.mark.parametrize("settings", [{}, {"n_jobs": 2}, {"n_jobs": 2, "backend": "threads"}])
def test_evaluations_do_not_oversubscribe_the_cores(settings):
    import sklearn.ensemble  # noqa: F401  (brings OpenMP, whose limit is one per thread)

    with Evaluator(**settings) as evaluator:
        pop = evaluator.eval(Threads(), Population.new(X=np.random.default_rng(0).random((4, 6))))
    assert set(pop.get("threads")) == {1}


def test_workers_stay_warm_between_batches_and_end_with_the_evaluator():
    with Evaluator(n_jobs=2, dedupe=False) as evaluator:
        problem = One(seconds=0.05)
        used = []
        for _ in range(2):
            evaluator.eval(problem, Population.new(X=np.random.default_rng(0).random((4, 6))))
            used.append(set(evaluator._live.runner._state.processes))
        processes = used[1]
        assert used[0] <= processes
        assert len(processes) == 2
    for process in processes:
        assert process._process.poll() is not None


def test_workers_end_when_the_evaluator_is_dropped():
    evaluator = Evaluator(n_jobs=2)
    problem = One()
    evaluator.eval(problem, Population.new(X=np.random.default_rng(0).random((4, 6))))
    processes = list(evaluator._live.runner._state.processes)
    del evaluator
    assert all(process._process.poll() is not None for process in processes)


def test_a_killed_worker_costs_only_the_evaluation_in_hand(tmp_path, log):
    file = tmp_path / "evaluated"
    problem = One(log=str(file), seconds=0.02)
    evaluator = Evaluator(n_jobs=2)
    X = np.random.default_rng(0).random((60, 6))
    evaluator.eval(problem, Population.new(X=X[:2]))
    state = evaluator._live.runner._state
    killed = []

    def kill():
        for evaluated in (12, 27, 42):
            wait_for(lambda n=evaluated: len(file.read_text().split()) >= n and state.busy)
            with state.changed:
                victims = [process._process.pid for process in state.busy.values()]
                if victims:
                    os.kill(victims[0], signal.SIGKILL)
                    killed.append(victims[0])

    thread = threading.Thread(target=kill)
    thread.start()
    pop = evaluator.eval(problem, Population.new(X=X))
    thread.join()
    evaluator.close()
    np.testing.assert_array_equal(
        pop.get("F"), Evaluator().eval(One(), Population.new(X=X)).get("F")
    )
    assert killed
    # What was finished before a kill was not computed a second time.
    assert len(file.read_text().split()) <= 60 + 3


def test_a_problem_of_the_running_script_needs_no_guard(script):
    out = script("""
        import numpy as np
        from pymoo.core.population import Population
        from pymoo.core.problem import ElementwiseProblem
        from moela.evaluation.evaluator import Evaluator

        class Here(ElementwiseProblem):
            def __init__(self):
                super().__init__(n_var=2, n_obj=2, xl=0, xu=1)
                self.function = lambda x: [x[0], 1 - x[0]]
            def _evaluate(self, x, out, *args, **kwargs):
                print("printed by an evaluation")
                out["F"] = self.function(x)

        evaluator = Evaluator(n_jobs=2)
        pop = evaluator.eval(Here(), Population.new(X=np.random.default_rng(0).random((4, 2))))
        print(np.allclose(pop.get("F").sum(axis=1), 1))
    """)
    assert out.split() == ["True"]


def test_a_problem_that_cannot_be_sent_is_named():
    problem = One()
    problem.lock = threading.Lock()
    with pytest.raises(EvaluationError, match="One cannot be sent to another process"):
        Evaluator(n_jobs=2).eval(problem, Population.new(X=np.random.default_rng(0).random((2, 6))))


class _Unloadable(One):
    def __setstate__(self, state):
        raise OSError("no license server")


def test_a_problem_that_a_worker_cannot_load_is_named():
    with pytest.raises(EvaluationError, match=r"cannot load the problem(.|\n)*no license server"):
        Evaluator(n_jobs=2).eval(
            _Unloadable(), Population.new(X=np.random.default_rng(0).random((2, 6)))
        )


def test_a_problem_that_wants_the_algorithm_stays_here():
    class Wants(One):
        def __init__(self):
            super().__init__()
            self.requires_kwargs = True

        def _evaluate(self, x, out, *args, algorithm=None, **kwargs):
            super()._evaluate(x, out)
            out["generation"] = algorithm.n_iter

    assert len(solve(Wants(), Evaluator()).F)
    assert len(solve(Wants(), Evaluator(n_jobs=2, backend="threads")).F)
    for backend in ("processes", "loky"):
        with pytest.raises(ValueError, match="requires_kwargs"):
            solve(Wants(), Evaluator(n_jobs=2, backend=backend))


def test_loky_says_that_it_lost_a_worker():
    X = np.random.default_rng(3).random((12, 6))
    with pytest.raises(EvaluationError, match="loky cannot say which design"):
        Evaluator(n_jobs=2, backend="loky").eval(Failing("die"), Population.new(X=X))


def test_importing_the_evaluator_imports_nothing_heavy(script):
    out = script("""
        import sys
        import moela.evaluation.evaluator, moela.evaluation.storage.reader
        import moela.evaluation.termination
        heavy = {"dask", "distributed", "ray", "torch", "pandas", "tqdm", "pebble"}
        print(sorted(heavy & set(sys.modules)))
    """)
    assert out.strip() == "[]"


def test_an_interrupt_ends_the_workers_and_keeps_what_was_finished(store):
    from moela.evaluation.storage.reader import EvaluationStore

    store.touch()
    evaluator = Evaluator(n_jobs=2, store=store)
    X = np.random.default_rng(0).random((40, 6))
    X[20:, 0] = 0.1  # these hang
    pids = []

    def done():
        with EvaluationStore(store) as reader:
            return len(list(reader.evaluations()))

    def interrupt():
        try:
            wait_for(lambda: done() > 3)
            pids.extend(p._process.pid for p in evaluator._live.runner._state.processes)
        finally:
            signal.raise_signal(signal.SIGINT)

    # A shell starts what runs in its background with interrupts ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            evaluator.eval(Failing("hang", below=0.11), Population.new(X=X))
    finally:
        thread.join()
        signal.signal(signal.SIGINT, before)
    wait_for(lambda: not any(alive(pid) for pid in pids))
    assert pids
    finished = done()
    assert 3 < finished <= 20
    again = Evaluator(store=store)
    again.eval(Failing("hang", below=0.0), Population.new(X=X))
    assert again.n_fresh == 40 - finished
    again.close()


def test_workers_end_when_the_process_that_started_them_is_killed(script, tmp_path):
    file = tmp_path / "pids"
    process = script(
        """
        import sys
        import numpy as np
        from pymoo.core.population import Population
        from evaluation_cases import Simulator
        from moela.evaluation.evaluator import Evaluator
        X = np.random.default_rng(0).random((4, 6))
        Evaluator(n_jobs=2).eval(Simulator(log=sys.argv[1]), Population.new(X=X))
        """,
        file,
        wait=False,
    )
    wait_for(lambda: file.exists() and len(file.read_text().split()) == 2)
    process.kill()
    process.wait()
    pids = [int(pid) for pid in file.read_text().split()]
    wait_for(lambda: not any(alive(pid) for pid in pids))


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_for(condition, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)
