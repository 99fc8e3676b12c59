"""Backends: equal results, and recovery from workers that die."""

import os
import signal
import threading
import time
from multiprocessing.pool import ThreadPool

import joblib
import numpy as np
import pytest
from evaluation_cases import (
    Failing,
    One,
    Remembering,
    Rows,
    Threads,
    alive,
    designs,
    evaluate,
    solve,
    stored,
    wait_for,
    worker_pids,
)
from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.core.population import Population
from pymoo.parallelization.starmap import StarmapParallelization

from moela.evaluation.evaluator import Evaluator
from moela.evaluation.runners.outcome import EvaluationError
from moela.evaluation.runners.runner import make_jobs


@pytest.fixture(scope="module")
def serial():
    return {kind: solve(kind()).F for kind in (One, Rows)}


@pytest.mark.parametrize("problem", [One, Rows])
def test_joblibs_parallel_config_is_honored(serial, problem):
    threads = []

    class Watched(problem):
        def _evaluate(self, X, out, *args, **kwargs):
            threads.append(threading.current_thread().name)
            super()._evaluate(X, out)

    with joblib.parallel_config(backend="threading", n_jobs=2):
        result = solve(Watched())
    np.testing.assert_array_equal(result.F, serial[problem])
    assert threading.main_thread().name not in threads


def test_n_jobs_of_parallel_config_alone_means_processes():
    with joblib.parallel_config(n_jobs=2), Evaluator() as evaluator:
        evaluator.eval(One(), Population.new(X=designs(4)))
        assert len(worker_pids()) == 2


def test_vectorized_problems_are_evaluated_in_parallel_too():
    threads = []

    class Watched(Rows):
        def _evaluate(self, X, out, *args, **kwargs):
            threads.append(threading.current_thread().name)
            time.sleep(0.01)
            super()._evaluate(X, out)

    solve(Watched(), 200, algorithm=NSGA2(pop_size=64), n_jobs=2, backend="threads")
    assert threading.main_thread().name not in threads
    assert len(set(threads)) > 1


def test_chunks_do_not_depend_on_the_workers():
    for settings in ({}, {"n_jobs": 2, "backend": "threads"}, {"n_jobs": 3, "backend": "threads"}):
        problem = Rows()
        evaluate(problem, designs(40), **settings)
        assert sorted(problem.chunks()) == [8, 16, 16]
    assert make_jobs([3, 5, 8], 2) == [(3, 5), (8,)]


@pytest.mark.parametrize("settings", [{}, {"n_jobs": 2}, {"n_jobs": 2, "backend": "threads"}])
def test_evaluations_do_not_oversubscribe_the_cores(settings):
    import sklearn.ensemble  # noqa: F401  (brings OpenMP, whose limit is one per thread)

    pop = evaluate(Threads(), designs(4), **settings)
    assert set(pop.get("threads")) == {1}


def test_workers_stay_warm_between_batches_and_end_with_the_evaluator():
    with Evaluator(n_jobs=2, dedupe=False) as evaluator:
        problem = Remembering(seconds=0.05)
        for _ in range(2):
            pop = evaluator.eval(problem, Population.new(X=designs(4)))
            workers = worker_pids()
            assert set(pop.get("pid")) <= workers
        assert len(workers) == 2
    assert not worker_pids()


def test_workers_end_when_the_evaluator_is_dropped():
    evaluator = Evaluator(n_jobs=2)
    evaluator.eval(One(), Population.new(X=designs(4)))
    assert worker_pids()
    del evaluator
    assert not worker_pids()


def test_killed_workers_cost_only_the_evaluations_in_hand(tmp_path):
    file = tmp_path / "evaluated"
    problem = One(log=str(file), seconds=0.02)
    X = designs(60)
    killed = []

    def done():
        return len(file.read_text().split())

    def kill():
        for goal in (12, 27, 42):
            wait_for(lambda n=goal: done() >= n and worker_pids())
            victim = min(worker_pids())
            os.kill(victim, signal.SIGKILL)
            killed.append(victim)
            wait_for(lambda victim=victim: not alive(victim))

    with Evaluator(n_jobs=2) as evaluator:
        evaluator.eval(problem, Population.new(X=X[:2]))
        thread = threading.Thread(target=kill)
        thread.start()
        pop = evaluator.eval(problem, Population.new(X=X))
        thread.join()
    np.testing.assert_array_equal(pop.get("F"), evaluate(One(), X).get("F"))
    assert len(killed) == 3
    # Evaluations that were finished before a kill are not repeated.
    assert done() <= 60 + len(killed)


def test_a_run_survives_workers_that_an_evaluation_kills(tmp_path):
    problem = Failing("die", below=np.inf, marker=str(tmp_path), most=4)
    result = solve(problem, 40, n_jobs=2)
    assert len(list(tmp_path.iterdir())) >= 4  # as many workers died
    np.testing.assert_array_equal(result.F, solve(One(), 40).F)


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


def test_cached_functions_of_the_running_script_work_in_workers(script):
    out = script("""
        import functools, sys
        import numpy as np
        from moela.evaluation.evaluator import Evaluator
        from pymoo.core.population import Population
        from pymoo.core.problem import ElementwiseProblem

        @functools.cache
        def fibonacci(n):
            return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)

        def nested():
            return functools.lru_cache(maxsize=3, typed=True)(lambda n: n + 1)

        class Model:
            @functools.cached_property
            def table(self):
                return [3]
            @functools.lru_cache
            def look(self, n):
                return n

        class Here(ElementwiseProblem):
            def __init__(self):
                super().__init__(n_var=2, n_obj=2, xl=0, xu=1)
                self.model, self.plus = Model(), nested()
            def _evaluate(self, x, out, *args, **kwargs):
                assert self.plus.cache_parameters() == {"maxsize": 3, "typed": True}
                n = fibonacci(9) + self.model.look(5) + self.plus(1) + self.model.table[0]
                out["F"] = x + n

        pop = Evaluator(n_jobs=2).eval(Here(), Population.new(X=np.zeros((4, 2))))
        print(np.unique(pop.get("F")))
    """)
    assert out.split() == ["[44.]"]


def test_a_problem_that_cannot_be_sent_is_named():
    problem = One()
    problem.lock = threading.Lock()
    with pytest.raises(EvaluationError, match="One cannot be sent to another process"):
        evaluate(problem, designs(2), n_jobs=2)


class _Unloadable(One):
    def __setstate__(self, state):
        raise OSError("no license server")


def test_a_problem_that_a_worker_cannot_load_is_named():
    with pytest.raises(EvaluationError, match=r"cannot load the problem(.|\n)*no license server"):
        evaluate(_Unloadable(), designs(2), n_jobs=2)


def test_a_problem_that_needs_the_algorithm_stays_in_this_process():
    class Wants(One):
        def __init__(self):
            super().__init__()
            self.requires_kwargs = True

        def _evaluate(self, x, out, *args, algorithm=None, **kwargs):
            super()._evaluate(x, out)
            out["generation"] = algorithm.n_iter

    assert len(solve(Wants()).F)
    assert len(solve(Wants(), n_jobs=2, backend="threads").F)
    for backend in ("processes", "loky"):
        with pytest.raises(ValueError, match="requires_kwargs"):
            solve(Wants(), n_jobs=2, backend=backend)


def test_loky_says_that_it_lost_a_worker():
    with pytest.raises(EvaluationError, match="loky cannot say which design"):
        evaluate(Failing("die"), designs(12, seed=3), n_jobs=2, backend="loky")


def test_importing_the_evaluator_imports_nothing_heavy(script):
    out = script("""
        import sys
        import moela.evaluation.evaluator, moela.evaluation.storage.reader
        import moela.evaluation.termination
        heavy = {"dask", "distributed", "ray", "torch", "pandas", "tqdm", "pebble"}
        print(sorted(heavy & set(sys.modules)))
    """)
    assert out.strip() == "[]"


def test_an_interrupt_ends_the_workers_and_keeps_finished_evaluations(store):
    store.touch()
    evaluator = Evaluator(n_jobs=2, store=store)
    X = designs(40)
    X[20:, 0] = 0.1  # these hang
    pids = set()

    def interrupt():
        try:
            wait_for(lambda: len(stored(store)) > 3)
            pids.update(worker_pids())
        finally:
            signal.raise_signal(signal.SIGINT)

    # A shell starts background processes with interrupts ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            evaluator.eval(Failing("hang", below=0.11), Population.new(X=X))
    finally:
        thread.join()
        signal.signal(signal.SIGINT, before)
    assert len(pids) == 2
    wait_for(lambda: not any(alive(pid) for pid in pids))
    finished = len(stored(store))
    assert 3 < finished <= 20
    with Evaluator(store=store) as again:
        again.eval(Failing("hang", below=0.0), Population.new(X=X))
        assert again.n_fresh == 40 - finished


def test_workers_end_when_the_process_that_started_them_is_killed(script, tmp_path):
    file = tmp_path / "pids"
    process = script(
        """
        import sys
        from evaluation_cases import Simulator, designs, evaluate
        evaluate(Simulator(log=sys.argv[1]), designs(4), n_jobs=2)
        """,
        file,
        wait=False,
    )
    wait_for(lambda: file.exists() and len(file.read_text().split()) == 2)
    process.kill()
    process.wait()
    pids = [int(pid) for pid in file.read_text().split()]
    wait_for(lambda: not any(alive(pid) for pid in pids))


class Raising(One):
    """Raises an exception of a class in every evaluation."""

    def __init__(self, error):
        super().__init__()
        self._error = error

    def _evaluate(self, x, out, *args, **kwargs):
        raise self._error("at once")


@pytest.mark.parametrize("backend", ["processes", "loky", "threads", "serial"])
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_a_keyboard_interrupt_of_an_evaluation_ends_the_run(backend, n_jobs, log):
    with pytest.raises(KeyboardInterrupt):
        evaluate(Raising(KeyboardInterrupt), designs(4), backend=backend, n_jobs=n_jobs)
    assert not log.records


@pytest.mark.parametrize("backend", ["processes", "loky"])
def test_tracebacks_of_classes_that_are_sent_by_value_have_the_lines_of_their_source(backend):
    class Local(One):
        def _evaluate(self, x, out, *args, **kwargs):
            raise ArithmeticError("here")

    with pytest.raises(EvaluationError) as caught:
        evaluate(Local(), designs(4), backend=backend, n_jobs=2)
    assert __file__ in caught.value.traceback
    assert 'raise ArithmeticError("here")\n' in caught.value.traceback


@pytest.mark.parametrize("left_out", [None, ["elementwise_runner"]])
def test_workers_do_without_the_pool_of_a_problem(serial, left_out):
    with ThreadPool(2) as pool:
        problem = One()
        runner = problem.elementwise_runner = StarmapParallelization(pool.starmap)
        problem.exclude_from_serialization = left_out
        result = solve(problem, n_jobs=2)
    np.testing.assert_array_equal(result.F, serial[One])
    assert problem.elementwise_runner is runner
