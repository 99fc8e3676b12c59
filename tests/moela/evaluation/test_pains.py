"""What long runs with pymoo suffer from today, each mended here; a test per pain.

NSGA2 stands for any algorithm of pymoo's, and MOELA for those here; where only an algorithm itself
could mend a pain, its own tests say so.
"""

import copy
import pickle
import threading
import time

import numpy as np
import pytest
from evaluation_cases import Failing, Noisy, One, Rows, Threads, Transposed
from pymoo.algorithms.moo.moead import MOEAD
from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.core.population import Population
from pymoo.optimize import minimize
from pymoo.util.ref_dirs import get_reference_directions

from moela.evaluation.evaluator import Evaluator
from moela.evaluation.runners.outcome import EvaluationError, failed
from moela.evaluation.storage.reader import EvaluationStore
from moela.evaluation.termination import ElapsedTime
from moela.search.moela import MOELA

KINDS = {
    "NSGA2": lambda size: NSGA2(pop_size=size),
    "MOELA": lambda size: MOELA(n_subproblems=size, n_searches=5),
}
kind = "NSGA2"


@pytest.fixture(params=KINDS, autouse=True)
def _kind(request, monkeypatch):
    monkeypatch.setitem(globals(), "kind", request.param)


def fresh(size=20):
    return KINDS[kind](size)


def solve(problem, evaluator, n_eval=60, algorithm=None, seed=1, **options):
    with evaluator:
        return minimize(
            problem,
            algorithm or fresh(),
            ("n_eval", n_eval),
            seed=seed,
            evaluator=evaluator,
            **options,
        )


def test_1_a_checkpoint_can_be_made_between_ask_and_tell_and_continued(tmp_path):
    def start():
        algorithm = fresh()
        return algorithm.setup(
            One(), termination=("n_eval", 100), seed=1, evaluator=Evaluator(n_jobs=2)
        )

    algorithm, whole = start(), start()
    whole.run()
    algorithm.next()
    infills = algorithm.ask()
    saved = tmp_path / "checkpoint"
    saved.write_bytes(pickle.dumps((algorithm, infills)))
    algorithm.evaluator.close()
    algorithm, infills = pickle.loads(saved.read_bytes())
    algorithm.evaluator.eval(algorithm.problem, infills, algorithm=algorithm)
    algorithm.tell(infills)
    algorithm.run()
    np.testing.assert_array_equal(algorithm.pop.get("F"), whole.pop.get("F"))
    assert algorithm.evaluator.n_eval == 100


def test_2_an_algorithm_that_cannot_be_pickled_is_resumed_all_the_same(store):
    def moead():
        return MOEAD(get_reference_directions("uniform", 2, n_partitions=9), n_neighbors=5)

    algorithm = moead()
    evaluator = Evaluator(store=store)
    algorithm.setup(One(), termination=("n_eval", 90), seed=1, evaluator=evaluator)
    for _ in range(40):
        algorithm.next()
    with pytest.raises(TypeError, match="generator"):
        pickle.dumps(algorithm)
    evaluator.close()
    evaluator = Evaluator(store=store)
    second = solve(One(), evaluator, 90, moead())
    np.testing.assert_array_equal(second.F, solve(One(), Evaluator(), 90, moead()).F)
    assert evaluator.n_fresh <= 41


@pytest.mark.parametrize("backend", ["processes", "threads", "loky"])
def test_3_parallel_evaluation_does_not_stand_in_the_way_of_copies_and_pickles(backend):
    algorithm = fresh()
    evaluator = Evaluator(n_jobs=2, backend=backend)
    algorithm.setup(One(), termination=("n_eval", 60), seed=1, evaluator=evaluator)
    algorithm.next()
    copy.deepcopy(algorithm)
    pickle.loads(pickle.dumps(algorithm))
    evaluator.close()


def test_4_the_number_of_evaluations_is_not_overshot():
    problem = Rows()
    evaluator = Evaluator(dedupe=False)
    solve(problem, evaluator, 50)
    assert evaluator.n_eval == sum(problem._sizes) == 50


def test_5_time_does_not_count_while_the_run_is_down(clock):
    algorithm = fresh(10)
    algorithm.setup(One(), termination=ElapsedTime(0.5), seed=1, evaluator=Evaluator())
    algorithm.has_next()
    algorithm.next()
    saved = pickle.dumps(algorithm)
    clock.now += 1000.0
    algorithm = pickle.loads(saved)
    assert algorithm.has_next()
    algorithm.next()
    assert not algorithm.termination.has_terminated()


def test_6_a_history_does_not_multiply_what_the_evaluator_knows(store):
    for settings in ({}, {"store": store}):
        evaluator = Evaluator(**settings)
        result = solve(One(), evaluator, 400, save_history=True)
        sizes = [len(pickle.dumps(entry.evaluator._memory)) for entry in result.history]
        assert len(result.history) == result.algorithm.n_iter - 1 >= 20
        memories = {id(entry.evaluator._memory) for entry in result.history}
        assert len(memories) == 1
        assert all(entry.evaluator._live is None for entry in result.history)
    assert max(sizes) < 1000  # with a store there is nothing in memory at all


def test_7_a_duplicate_is_not_paid_for_twice_even_across_restarts(store, tmp_path):
    log = tmp_path / "evaluated"
    X = np.random.default_rng(0).random((5, 6))
    for _ in range(2):
        with Evaluator(store=store, recheck=False) as evaluator:
            evaluator.eval(One(log=str(log)), Population.new(X=np.vstack([X, X])))
            assert evaluator.n_eval == 10
    assert len(log.read_text().split()) == 5


def test_8_a_failed_simulation_does_not_end_the_run():
    evaluator = Evaluator(on_error="infeasible")
    result = solve(Failing("raise"), evaluator)
    assert evaluator.n_eval == 60
    assert evaluator.n_failed > 0
    assert not failed(result.opt).any()


@pytest.mark.parametrize("how", ["nan", "inf"])
def test_9_nan_and_infinity_are_no_optimum(how):
    with pytest.raises(EvaluationError, match="objectives must be finite"):
        solve(Failing(how), Evaluator())
    result = solve(Failing(how), Evaluator(on_error="infeasible"), 200)
    assert np.all(np.isfinite(result.F))
    assert np.all(result.X[:, 0] >= 0.3)


def test_10_an_objective_never_set_or_of_a_wrong_shape_is_no_optimum():
    X = Population.new(X=np.random.default_rng(3).random((16, 6)))
    with pytest.raises(EvaluationError, match="never set"):
        Evaluator().eval(Failing("unset"), X)
    with pytest.raises(EvaluationError, match="Got shape"):
        Evaluator().eval(Transposed(), X)


def test_11_a_worker_that_dies_does_not_end_the_run(tmp_path):
    problem = Failing("die", below=np.inf, marker=str(tmp_path), most=4)
    evaluator = Evaluator(n_jobs=2)
    result = solve(problem, evaluator, 40)
    assert len(list(tmp_path.iterdir())) >= 4  # so many workers died
    np.testing.assert_array_equal(result.F, solve(One(), Evaluator(), 40).F)


def test_12_an_evaluation_that_hangs_does_not_hold_up_the_run_for_ever():
    X = np.random.default_rng(3).random((6, 6))
    with Evaluator(n_jobs=2, timeout=1.0, on_error="infeasible") as evaluator:
        pop = evaluator.eval(Failing("hang"), Population.new(X=X))
    assert list(pop.get("status") == "timeout") == list(X[:, 0] < 0.3)


def test_13_a_second_run_does_not_inherit_the_count_of_the_first():
    evaluator = Evaluator()
    for _ in range(2):
        solve(One(), evaluator)
        assert evaluator.n_eval == 60


def test_14_vectorized_problems_are_evaluated_in_parallel_too():
    main = threading.main_thread().name
    names = []

    class Watched(Rows):
        def _evaluate(self, X, out, *args, **kwargs):
            names.append(threading.current_thread().name)
            time.sleep(0.01)
            super()._evaluate(X, out)

    solve(Watched(), Evaluator(n_jobs=2, backend="threads"), 200, fresh(64))
    assert main not in names
    assert len(set(names)) > 1


def test_15_workers_do_not_start_a_thread_per_core_each():
    with Evaluator(n_jobs=2) as evaluator:
        X = np.random.default_rng(0).random((4, 6))
        pop = evaluator.eval(Threads(), Population.new(X=X))
    assert set(pop.get("threads")) == {1}


def test_16_a_run_without_a_seed_can_be_repeated(store):
    with Evaluator(store=store) as evaluator:
        first = minimize(One(), fresh(), ("n_eval", 60), evaluator=evaluator)
    with EvaluationStore(store) as reader:
        seed = reader.runs()[0].seed
    np.testing.assert_array_equal(solve(One(), Evaluator(), seed=seed).F, first.F)


def test_17_a_noisy_measurement_is_resumed_with_what_was_measured(store):
    first = solve(Noisy(), Evaluator(store=store, dedupe=False), 40)
    second = solve(Noisy(), Evaluator(store=store, dedupe=False), 40)
    np.testing.assert_array_equal(first.F, second.F)
