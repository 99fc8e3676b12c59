"""Experiments: the runs that are made, and their records."""

from __future__ import annotations

import sys

import moocore
import numpy as np
import pytest
from experiment_cases import (
    ALGORITHMS,
    Broken,
    Mixed,
    Scarce,
    Toy,
    draw,
    nsga2,
)
from pymoo.algorithms.moo.moead import MOEAD
from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.algorithms.moo.nsga3 import NSGA3
from pymoo.algorithms.soo.nonconvex.cmaes import CMAES
from pymoo.algorithms.soo.nonconvex.ga import GA
from pymoo.core.mixed import MixedVariableGA
from pymoo.problems import get_problem
from pymoo.util.ref_dirs import get_reference_directions

from moela import MOELA, Evaluator
from moela.experiments.run import (
    ExperimentError,
    ExperimentResults,
    External,
    run_experiment,
)


def numbered(problem):
    return NSGA2(pop_size=5 * problem.n_var)


def test_everything_evaluated_is_recorded_in_order():
    evaluated = []

    class Watched(Toy):
        def _evaluate(self, X, out, *args, **kwargs):
            super()._evaluate(X, out)
            evaluated.append(out["F"].copy())

    for make in (MOELA, nsga2, External(draw), lambda p: MOEAD(
        get_reference_directions("uniform", 2, n_partitions=9)
    )):  # fmt: skip
        evaluated.clear()
        (run,) = run_experiment({"toy": Watched()}, {"it": make}, [3], 130).runs
        assert run.n_eval == 130
        np.testing.assert_array_equal(run.F, np.concatenate(evaluated)[:130])
        np.testing.assert_array_equal(run.F[moocore.is_nondominated(run.F)], run.front_F)
        np.testing.assert_array_equal(Toy().evaluate(run.front_X), run.front_F)


def test_what_is_past_the_budget_is_not_scored():
    (run,) = run_experiment({"toy": Toy()}, {"NSGA-II": nsga2}, 1, 30).runs
    assert run.n_eval == len(run.F) == 30  # two generations are 40


def test_factories_take_the_problem_or_nothing_and_objects_are_copied():
    algorithm = NSGA2(pop_size=20)
    results = run_experiment(
        {"toy": Toy},
        {"class": NSGA2, "partial": nsga2, "of problem": numbered, "object": algorithm},
        2,
        40,
    )
    assert algorithm.problem is None
    F = {run.algorithm: run.F for run in results.runs if run.seed == 2}
    np.testing.assert_array_equal(F["object"], F["of problem"])
    np.testing.assert_array_equal(F["object"], F["partial"])


# Processes of jobs treat runs of few evaluations as users get them.
@pytest.mark.few_evaluations
def test_runs_are_the_same_for_any_number_of_jobs(tmp_path):
    algorithms = {"MOELA": MOELA, **ALGORITHMS}
    alone = run_experiment({"toy": Toy()}, algorithms, 2, 80)
    many = run_experiment({"toy": Toy()}, algorithms, 2, 80, 2, store=tmp_path)
    for one, two in zip(alone.runs, many.runs, strict=True):
        assert one.key == two.key
        np.testing.assert_array_equal(one.F, two.F)


def test_constraints_are_recorded_and_infeasible_designs_score_nothing(tmp_path):
    results = run_experiment({"toy": Scarce()}, {"NSGA-II": nsga2}, 1, 100, store=tmp_path)
    (run,) = results.runs
    assert run.G.shape == (100, 1)
    np.testing.assert_allclose(run.CV, np.maximum(run.G[:, 0], 0))
    assert 0 < (run.CV > 0).sum() < 100
    feasible = run.F[run.CV <= 0]
    expected = moocore.hypervolume(feasible[(feasible < 3).all(axis=1)], ref=[3, 3])
    assert results.values("toy", "NSGA-II", None, [3, 3])[0] == pytest.approx(expected)
    assert (run.front_F[:, 0] <= run.front_F[:, 1] + 1).all()
    np.testing.assert_array_equal(run.front_X[:, 0] <= 0.5, True)


def test_mixed_variables(tmp_path):
    from pymoo.operators.survival.rank_and_crowding import RankAndCrowding

    def make():
        return MixedVariableGA(pop_size=10, survival=RankAndCrowding())

    results = run_experiment({"mixed": Mixed()}, {"GA": make}, 1, 60, store=tmp_path)
    (run,) = results.runs
    assert isinstance(run.front_X[0], dict)
    np.testing.assert_allclose(Mixed().evaluate(run.front_X), run.front_F)


def test_an_evaluator_of_ones_own(tmp_path):
    problem = Broken(bad=(3, 4))
    results = run_experiment(
        {"toy": problem},
        {"NSGA-II": nsga2},
        1,
        60,
        evaluator=lambda: Evaluator(on_error="infeasible", progress=False, chunk_size=1),
    )
    (run,) = results.runs
    assert run.n_eval == 60
    failed = np.isnan(run.F).all(axis=1)
    assert failed.sum() == 2
    assert not np.isnan(run.front_F).any()
    assert run.hypervolumes([60], np.array([3.0, 3.0]))[0] > 0
    plain = run_experiment({"toy": Toy()}, {"NSGA-II": nsga2}, 1, 60).runs[0]
    np.testing.assert_array_equal(plain.F[:20][~failed[:20]], run.F[:20][~failed[:20]])


def test_times_separate_the_problem_from_the_algorithm():
    def spin():
        total = 0
        for i in range(400_000):
            total += i * i

    class Slow(Toy):
        def _evaluate(self, X, out, *args, **kwargs):
            spin()
            super()._evaluate(X, out)

    results = run_experiment({"toy": Slow()}, {"NSGA-II": nsga2, "random": External(draw)}, 1, 100)
    for run in results.runs:
        seconds = run.seconds
        assert 0.005 < seconds["evaluation_cpu"] <= seconds["cpu"]
        assert run.overhead == pytest.approx((seconds["cpu"] - seconds["evaluation_cpu"]) / 100)
        fast = run_experiment({"toy": Toy()}, {"a": nsga2, "b": External(draw)}, 1, 100).runs[0]
        assert fast.seconds["evaluation_cpu"] < seconds["evaluation_cpu"]
    problem = Toy()
    run_experiment({"toy": problem}, {"a": nsga2}, 1, 20)
    assert "evaluate" not in vars(problem)


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_a_failed_run_is_named_or_skipped(tmp_path, n_jobs):
    problems = {"good": Toy(), "bad": Broken(bad=(2,))}
    with pytest.raises(ExperimentError, match=r"(?s)NSGA-II on bad, seed 1.*the simulator fell"):
        run_experiment(problems, {"NSGA-II": nsga2}, 1, 60, n_jobs, store=tmp_path)
    problems["bad"] = Broken(bad=(2,))
    with pytest.warns(UserWarning, match=r"1 of 2 runs failed .* RuntimeError: the simulator"):
        results = run_experiment(
            problems, {"NSGA-II": nsga2}, 1, 60, n_jobs, store=tmp_path, on_error="skip"
        )
    assert [run.problem for run in results.runs] == ["good"]
    assert "the simulator fell over" in results.failures["NSGA-II on bad, seed 1, 60 evaluations"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"problems": {}}, r"'problems' .* a dict by name"),
        (
            {"algorithms": {"a": NSGA3}},
            r"algorithm 'a' .* needs more arguments. Use lambda problem: ..., or moela.External",
        ),
        ({"algorithms": {"a": lambda: None}}, r"algorithm 'a' must be a function that returns"),
        ({"seeds": 0}, r"'seeds' .* Got 0"),
        ({"budget": 0}, r"'budget' .* positive number of evaluations. Got 0"),
        ({"n_jobs": 0}, r"'n_jobs' .* Got 0"),
        ({"store": ""}, r"'store' .* a folder, or left out. Got ''"),
        ({"evaluator": Evaluator(), "on_error": "skip"}, "evaluator=lambda: Evaluator"),
    ],
)
def test_bad_parameters_are_named(change, message):
    arguments = {
        "problems": {"a": Toy()},
        "algorithms": {"it": External(draw)},
        "seeds": 1,
        "budget": 10,
    } | change
    with pytest.raises(ValueError, match=message):
        run_experiment(**arguments)


def test_an_external_runner_that_returns_the_wrong_shape():
    def wrong(problem, n_eval, seed):
        return np.zeros((n_eval, 4)), np.zeros((n_eval - 1, 2))

    with pytest.raises(ExperimentError, match=r"X of length 10 and shapes \(9, 2\)"):
        run_experiment({"toy": Toy()}, {"it": External(wrong)}, 1, 10)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda X, F: (X, F * 1j), r"real numbers\. Got F\[0, 0\] = .*j instead; take the real"),
        (lambda X, F: (X + 2.0, F), r"design 0 of an External runner must be at most 1, its bound"),
    ],
)
def test_an_external_runner_that_returns_no_designs_of_the_problem(change, words, tmp_path):
    def changed(problem, n_eval, seed):
        X, F = draw(problem, n_eval, seed)
        return change(X, F) if seed > 1 else (X, F + 0j)  # without an imaginary part

    runners = {"it": External(changed)}
    with pytest.raises(ExperimentError, match=words):
        run_experiment({"toy": Toy()}, runners, 2, 50, store=tmp_path)
    kept = ExperimentResults.load(tmp_path).runs
    assert [run.key.seed for run in kept] == [1]
    assert len(kept[0].front_F)


@pytest.mark.parametrize("make", [GA, lambda problem: GA(pop_size=20), CMAES()])
def test_an_algorithm_for_one_objective_is_refused_before_any_run(make):
    called = []

    class Counted(Toy):
        def _evaluate(self, X, out, *args, **kwargs):
            called.append(len(X))
            super()._evaluate(X, out)

    with pytest.raises(ValueError, match="'it' must suit the 2 objectives of the problem 'toy'"):
        run_experiment({"toy": Counted()}, {"it": make, "NSGA-II": nsga2}, 1, 40)
    assert called == []
    assert run_experiment({"one": get_problem("sphere")}, {"it": make}, 1, 40).runs[0].n_eval == 40


def test_an_external_runner_that_returns_fewer_evaluations_than_asked_for(tmp_path):
    def front_only(problem, n_eval, seed):
        X, F = draw(problem, n_eval, seed)
        return X[: n_eval - 7 * (seed == 2)], F[: n_eval - 7 * (seed == 2)]

    settings = {"problems": {"toy": Toy()}, "algorithms": {"it": External(front_only)}}
    words = "1 of 2 runs. The first is .*: asked for 1,000, got 993. Return every evaluated"
    with pytest.warns(UserWarning, match=words):
        run_experiment(**settings, seeds=2, budget=1000, store=tmp_path)
    run_experiment(**settings, seeds=2, budget=1000, store=tmp_path)  # nothing new


def test_a_store_of_evaluations_keeps_a_run_in_progress(tmp_path):
    class Interrupted(Toy):
        evaluated, left = 0, 3

        def _evaluate(self, X, out, *args, **kwargs):
            kind = type(self)
            kind.left -= 1
            if kind.left == 0:
                raise KeyboardInterrupt
            kind.evaluated += len(X)
            super()._evaluate(X, out)

    def again():
        return run_experiment(
            {"toy": Interrupted()}, {"it": nsga2}, 2, 100, store=tmp_path / "runs",
            evaluator=lambda: Evaluator(store=tmp_path / "e.db", on_mismatch="new", progress=False),
        )  # fmt: skip

    with pytest.raises(KeyboardInterrupt):
        again()
    before = Interrupted.evaluated
    runs = again().runs
    # One design of each earlier run is evaluated again for comparison.
    assert 0 < before <= 40
    assert Interrupted.evaluated <= 200 + 4
    expected = run_experiment({"toy": Toy()}, {"it": nsga2}, 2, 100).runs
    assert [run.F.tolist() for run in runs] == [run.F.tolist() for run in expected]


@pytest.mark.parametrize("n_jobs", [1])
def test_a_run_that_exits_does_not_end_the_experiment(n_jobs):
    def leave(problem, n_eval, seed):
        sys.exit("no license")

    problems = {"toy": Toy()}
    with pytest.warns(UserWarning, match=r"1 of 2 runs failed .*SystemExit: no license"):
        results = run_experiment(
            problems, {"out": External(leave), "in": External(draw)}, 1, 5, n_jobs, on_error="skip"
        )
    assert [run.algorithm for run in results.runs] == ["in"]
    with pytest.raises(ExperimentError, match=r"out on toy(.|\n)*SystemExit: no license"):
        run_experiment(problems, {"out": External(leave)}, 1, 5, n_jobs)
