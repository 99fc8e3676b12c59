"""The evaluator in pymoo's algorithms: counting, budgets, copies, known answers."""

import copy
import os
import pickle
import warnings
from datetime import timedelta

import numpy as np
import pytest
from evaluation_cases import (
    Failing,
    Links,
    Mixed,
    Noisy,
    One,
    Remembering,
    Rows,
    designs,
    evaluate,
    worker_pids,
)
from pymoo.algorithms.moo.moead import MOEAD
from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.core.individual import Individual
from pymoo.core.mixed import MixedVariableGA
from pymoo.core.population import Population
from pymoo.operators.survival.rank_and_crowding import RankAndCrowding
from pymoo.optimize import minimize
from pymoo.problems import get_problem
from pymoo.util.ref_dirs import get_reference_directions

from moela.evaluation.evaluator import Evaluator
from moela.evaluation.runners.outcome import EvaluationError, failed
from moela.search.moela import MOELA


def solve(problem, evaluator=None, n_eval=200, algorithm=None, seed=1, **kwargs):
    algorithm = algorithm or NSGA2(pop_size=20)
    options = {} if evaluator is None else {"evaluator": evaluator}
    return minimize(problem, algorithm, ("n_eval", n_eval), seed=seed, **options, **kwargs)


@pytest.mark.parametrize("name", ["zdt1", "welded_beam"])
def test_the_result_is_that_of_pymoos_own_evaluator(name):
    ours, theirs = solve(get_problem(name), Evaluator(chunk_size=20)), solve(get_problem(name))
    np.testing.assert_array_equal(ours.F, theirs.F)
    np.testing.assert_array_equal(ours.X, theirs.X)
    np.testing.assert_array_equal(ours.G, theirs.G)


@pytest.mark.parametrize("n_eval", [7, 119])
@pytest.mark.parametrize("kind", ["NSGA2", "MOEAD", "MOELA"])
def test_the_budget_is_never_exceeded(kind, n_eval):
    directions = get_reference_directions("uniform", 2, n_partitions=6)
    algorithm = {
        "NSGA2": NSGA2(pop_size=20),
        "MOEAD": MOEAD(directions),
        "MOELA": MOELA(n_subproblems=20),
    }[kind]
    problem, evaluator = Rows(), Evaluator(dedupe=False)
    result = solve(problem, evaluator, n_eval, algorithm)
    assert evaluator.n_eval == n_eval == sum(problem.chunks()) == evaluator.n_fresh
    assert not failed(result.opt).any()


def test_an_initial_population_larger_than_the_budget_is_cut():
    result = solve(One(), Evaluator(), 5)
    assert len(result.pop) == 20
    assert failed(result.pop).sum() == 15
    assert list(result.pop.get("status")).count("skipped") == 15
    assert not failed(result.opt).any()


def test_a_design_seen_before_is_not_computed_again_but_counts():
    problem, evaluator = Rows(), Evaluator()
    X = designs(8)
    first = evaluator.eval(problem, Population.new(X=X))
    again = evaluator.eval(problem, Population.new(X=np.vstack([X[::-1], X[:2]])))
    assert sum(problem.chunks()) == 8
    assert (evaluator.n_eval, evaluator.n_fresh) == (18, 8)
    np.testing.assert_array_equal(again.get("F")[:8], first.get("F")[::-1])


def test_the_same_design_twice_in_a_batch_is_computed_once():
    problem, evaluator = Rows(), Evaluator()
    X = designs(4)
    pop = evaluator.eval(problem, Population.new(X=np.vstack([X, X, X])))
    assert problem.chunks() == [4]
    np.testing.assert_array_equal(pop.get("F")[:4], pop.get("F")[4:8])
    pop[0].F[0] = 5.0  # answers are not shared between individuals
    assert pop[4].F[0] != 5.0


def test_noisy_measurements_are_made_anew_without_dedupe():
    evaluator = Evaluator(dedupe=False)
    pop = evaluator.eval(Noisy(), Population.new(X=np.full((3, 3), 0.5)))
    assert evaluator.n_fresh == 3
    assert len(np.unique(pop.get("F")[:, 0])) == 3


def test_designs_that_mean_the_same_are_one_by_canonical():
    problem, evaluator = Links(), Evaluator()
    pop = evaluator.eval(problem, Population.new(X=np.array([[1, 2, 3], [3, 2, 1], [1, 1, 3]])))
    assert problem.rows == 2
    assert evaluator.n_eval == 3
    np.testing.assert_array_equal(pop[0].F, pop[1].F)


def test_mixed_variables_are_recognized():
    problem, evaluator = Mixed(), Evaluator()
    algorithm = MixedVariableGA(pop_size=10, survival=RankAndCrowding())
    solve(problem, evaluator, 60, algorithm)
    assert evaluator.n_eval == 60
    assert problem.calls == evaluator.n_fresh
    x = {"real": 0.5, "whole": 1, "flag": True, "kind": "mesh"}
    before = problem.calls
    again = Population([Individual(X=dict(x)), Individual(X=dict(x))])
    evaluator.eval(problem, again)
    assert problem.calls == before + 1


def test_a_second_problem_gets_its_own_answers():
    evaluator = Evaluator()
    x = np.full((1, 6), 0.5)
    F = evaluator.eval(One(), Population.new(X=x)).get("F")
    shifted = evaluator.eval(One(shift=1.0, version="2"), Population.new(X=x)).get("F")
    np.testing.assert_allclose(shifted, F + 1)


@pytest.mark.parametrize("backend", ["processes", "threads"])
@pytest.mark.parametrize("algorithm", [NSGA2(pop_size=20), MOELA(n_subproblems=20)], ids=type)
def test_an_algorithm_goes_on_from_a_pickle_between_ask_and_tell(algorithm, backend):
    def start():
        return copy.deepcopy(algorithm).setup(
            One(), termination=("n_eval", 60), seed=1, evaluator=Evaluator(2, backend)
        )

    first, whole = start(), start()
    whole.run()
    first.next()
    infills = first.ask()
    saved = pickle.dumps((first, infills))
    first.evaluator.close()
    twin, infills = pickle.loads(saved)
    twin.evaluator.eval(twin.problem, infills, algorithm=twin)
    twin.tell(infills)
    twin.run()
    np.testing.assert_array_equal(twin.pop.get("F"), whole.pop.get("F"))
    assert twin.evaluator.n_eval == 60


def test_copies_in_a_history_share_the_known_answers(store):
    def sizes(**settings):
        result = solve(One(), Evaluator(**settings), 400, save_history=True)
        copies = [entry.evaluator for entry in result.history]
        assert len(copies) >= 19
        return len(pickle.dumps(copies)), len(pickle.dumps(copies[-1]))

    together, single = sizes()
    assert together < 2 * single  # not shared, 19 of them would average half the last one each
    _, single = sizes(store=store)
    assert single < 2000  # 995 bytes measured: with a store, no answers are kept in memory


def test_a_copy_holds_no_handle_and_goes_on_by_itself(store):
    evaluator = Evaluator(n_jobs=2, store=store)
    algorithm = NSGA2(pop_size=20)
    algorithm.setup(One(), termination=("n_eval", 100), seed=1, evaluator=evaluator)
    algorithm.next()
    for twin in (copy.deepcopy(algorithm), pickle.loads(pickle.dumps(algorithm))):
        twin.run()
        assert twin.evaluator.n_eval == 100
    algorithm.run()
    np.testing.assert_array_equal(algorithm.opt.get("F"), twin.opt.get("F"))
    assert twin.evaluator.n_fresh == 20  # the rest was in the store by then
    evaluator.close()


@pytest.mark.parametrize(
    "wrong",
    [
        {"n_jobs": 0},
        {"on_error": "ignore"},
        {"retries": -1},
        {"timeout": 0.0},
        {"dedupe": None},
        {"on_mismatch": "overwrite"},
        {"backend": "spark"},
        {"backend": "threads", "timeout": 1.0},
        {"store": ":memory:"},
    ],
)
def test_wrong_settings_are_named(wrong):
    with pytest.raises(ValueError, match=f"The '{next(reversed(wrong))}' parameter of Evaluator"):
        Evaluator(**wrong)


@pytest.mark.parametrize("given", [90, np.int64(90), "90", "90s", "1.5 min", timedelta(seconds=90)])
def test_a_timeout_is_written_like_other_times(given):
    assert Evaluator(timeout=given).timeout == 90.0


def test_what_raised_is_not_taken_for_known():
    problem, evaluator = Failing("raise"), Evaluator()
    pop = Population.new(X=np.full((1, 6), 0.1))
    for _ in range(2):
        with pytest.raises(EvaluationError):
            evaluator.eval(problem, pop)
    problem.fix()
    assert evaluator.eval(problem, pop)[0].get("status") == "ok"


def test_a_search_inside_an_algorithm_belongs_to_its_run():
    class Memetic(NSGA2):
        def _advance(self, infills=None, **kwargs):
            super()._advance(infills=infills, **kwargs)
            if self.n_iter == 2:
                inner = NSGA2(pop_size=5)
                inner.setup(
                    self.problem, termination=("n_gen", 2), seed=3, evaluator=self.evaluator
                )
                while inner.has_next():
                    inner.next()

    evaluator = Evaluator()
    algorithm = Memetic(pop_size=20)
    algorithm.setup(One(), termination=("n_eval", 100), seed=1, evaluator=evaluator)
    counts = []
    while algorithm.has_next():
        algorithm.next()
        counts.append(evaluator.n_eval)
    assert counts == [20, 50, 70, 90, 100]


def test_a_problem_that_changes_with_time_is_not_answered_from_memory():
    from pymoo.problems.dynamic.df import DF1

    X = np.random.default_rng(0).random((4, 10))
    with pytest.raises(ValueError, match="DF1 changes with time"):
        Evaluator().eval(DF1(), Population.new(X=X))
    problem = DF1(taut=1)
    for settings in ({}, {"n_jobs": 2}):
        with Evaluator(dedupe=False, **settings) as evaluator:
            first = evaluator.eval(problem, Population.new(X=X)).get("F")
            problem.tic(5)
            second = evaluator.eval(problem, Population.new(X=X)).get("F")
        assert not np.array_equal(first, second)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_fork_leaves_workers_and_store_of_its_parent_alone(store):
    evaluator, problem = Evaluator(n_jobs=2, store=store), Remembering()
    X = designs(8)
    evaluator.eval(problem, Population.new(X=X[:4]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of forking beside threads
        child = os.fork()
    if child == 0:
        evaluator.close()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    workers = worker_pids()
    pop = evaluator.eval(problem, Population.new(X=X))
    assert set(pop.get("pid")) <= workers == worker_pids()
    assert evaluator.n_fresh == 8
    evaluator.close()


def test_programs_that_an_evaluation_starts_get_the_users_python_path(monkeypatch):
    class Path(One):
        def _evaluate(self, x, out, *args, **kwargs):
            super()._evaluate(x, out)
            out["path"] = os.environ.get("PYTHONPATH", "")

    monkeypatch.setenv("PYTHONPATH", "/their/own")
    pop = evaluate(Path(), designs(1), n_jobs=1, backend="processes")
    assert pop[0].get("path") == "/their/own"
