"""Experiments: runs that are recorded, kept, resumed and compared."""

from __future__ import annotations

import functools
import importlib.util
import json
import os
import sys

import moocore
import numpy as np
import pytest
from pymoo.algorithms.moo.moead import MOEAD
from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.algorithms.moo.nsga3 import NSGA3
from pymoo.core.mixed import MixedVariableGA
from pymoo.core.problem import Problem
from pymoo.core.variable import Choice, Integer, Real
from pymoo.problems import get_problem
from pymoo.util.ref_dirs import get_reference_directions

from moela import MOELA, Evaluator, _code
from moela.experiment import (
    ExperimentError,
    ExperimentResults,
    External,
    StoreMismatchError,
    run_experiment,
)
from moela.experiment_runs import Key, Run

REF = {"toy": [1.1, 1.1]}


class Toy(Problem):
    """Two objectives whose front is the segment from (0, 1) to (1, 0), at `depth` 0."""

    version = "1"

    def __init__(self, depth=0.0):
        super().__init__(n_var=4, n_obj=2, xl=0.0, xu=1.0)
        self.depth = depth

    def _evaluate(self, X, out, *args, **kwargs):
        g = X[:, 1:].sum(axis=1) + self.depth
        out["F"] = np.column_stack([X[:, 0] + g, 1 - X[:, 0] + g])


class Scarce(Toy):
    """Feasible only where x0 is at most a half."""

    def __init__(self):
        super().__init__()
        self.n_ieq_constr = 1

    def _evaluate(self, X, out, *args, **kwargs):
        super()._evaluate(X, out)
        out["G"] = X[:, :1] - 0.5


class Broken(Toy):
    """Raises for seeds of its user's choice."""

    def __init__(self, bad=()):
        super().__init__()
        self.bad = bad
        self._calls = 0

    def _evaluate(self, X, out, *args, **kwargs):
        self._calls += 1
        if self._calls in self.bad:
            raise RuntimeError("the simulator fell over")
        super()._evaluate(X, out)


class Mixed(Problem):
    def __init__(self):
        variables = {
            "a": Real(bounds=(0.0, 1.0)),
            "b": Integer(bounds=(0, 3)),
            "c": Choice(options=["x", "y"]),
        }
        super().__init__(vars=variables, n_obj=2)

    def _evaluate(self, X, out, *args, **kwargs):
        low = np.array([x["c"] == "x" for x in X])
        a = np.array([float(x["a"]) for x in X])
        b = np.array([int(x["b"]) for x in X])
        out["F"] = np.column_stack([a + b + low, 1 - a + b])


def draw(problem, n_eval, seed, *, spread=1.0):
    rng = np.random.default_rng(seed)
    X = spread * rng.random((n_eval, problem.n_var))
    return X, problem.evaluate(X)


nsga2 = functools.partial(NSGA2, pop_size=20)
ALGORITHMS = {"NSGA-II": nsga2, "random": External(draw)}


def numbered(problem):
    return NSGA2(pop_size=5 * problem.n_var)


@pytest.fixture(scope="module")
def results():
    return run_experiment({"toy": Toy()}, {"MOELA": MOELA, **ALGORITHMS}, 3, 150)


def test_everything_evaluated_is_recorded_in_order():
    seen = []

    class Watched(Toy):
        def _evaluate(self, X, out, *args, **kwargs):
            super()._evaluate(X, out)
            seen.append(out["F"].copy())

    for make in (MOELA, nsga2, External(draw), lambda p: MOEAD(
        get_reference_directions("uniform", 2, n_partitions=9)
    )):  # fmt: skip
        seen.clear()
        (run,) = run_experiment({"toy": Watched()}, {"it": make}, [3], 130).runs
        assert run.n_eval == 130
        np.testing.assert_array_equal(run.F, np.concatenate(seen)[:130])
        np.testing.assert_array_equal(run.F[moocore.is_nondominated(run.F)], run.front_F)
        np.testing.assert_array_equal(Toy().evaluate(run.front_X), run.front_F)


def test_what_is_past_the_budget_is_not_scored():
    (run,) = run_experiment({"toy": Toy()}, {"NSGA-II": nsga2}, 1, 30).runs
    assert run.n_eval == len(run.F) == 30  # two generations are 40


def test_a_run_is_what_minimize_gives():
    from pymoo.optimize import minimize

    (run,) = run_experiment({"toy": Toy()}, {"NSGA-II": nsga2}, [7], 200).runs
    alone = minimize(Toy(), nsga2(), ("n_eval", 200), seed=7)
    front = {tuple(f) for f in run.front_F}
    assert all(tuple(f) in front for f in alone.F[moocore.is_nondominated(alone.F)])


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


def test_runs_are_the_same_for_any_number_of_jobs(tmp_path, results):
    many = run_experiment({"toy": Toy()}, {"MOELA": MOELA, **ALGORITHMS}, 3, 150, 2, store=tmp_path)
    for one, two in zip(results.runs, many.runs, strict=True):
        assert one.key == two.key
        np.testing.assert_array_equal(one.F, two.F)


CALLS: list[int] = []
INTERRUPTED_AT: list[int] = []


def interrupted(problem, n_eval, seed):
    if seed in INTERRUPTED_AT:
        raise KeyboardInterrupt
    CALLS.append(seed)
    return draw(problem, n_eval, seed)


def test_an_interrupted_experiment_makes_only_what_is_missing(tmp_path):
    CALLS.clear()
    INTERRUPTED_AT[:] = [3]
    with pytest.raises(KeyboardInterrupt):
        run_experiment({"toy": Toy()}, {"it": External(interrupted)}, 4, 50, store=tmp_path)
    assert CALLS == [1, 2]
    assert len(list(tmp_path.iterdir())) == 2
    INTERRUPTED_AT.clear()
    results = run_experiment({"toy": Toy()}, {"it": External(interrupted)}, 4, 50, store=tmp_path)
    assert CALLS == [1, 2, 3, 4]
    assert [run.seed for run in results.runs] == [1, 2, 3, 4]


def test_the_second_call_computes_nothing_and_more_seeds_only_the_new_ones(tmp_path):
    for make in (MOELA, nsga2, functools.partial(NSGA3, np.eye(2))):
        store = tmp_path / str(id(make))
        run_experiment({"toy": Toy()}, {"it": make}, 2, 60, store=store)
        times = {p.name: p.stat().st_mtime_ns for p in store.iterdir()}
        again = run_experiment({"toy": Toy()}, {"it": make}, 3, 60, store=store)
        assert len(again.runs) == 3
        later = {p.name: p.stat().st_mtime_ns for p in store.iterdir()}
        assert len(later) == 3
        assert times.items() <= later.items()


@pytest.mark.parametrize(
    ("problem", "algorithm", "named"),
    [
        (Toy(depth=0.5), External(draw), "settings.problem.settings.depth: 0.0 -> 0.5"),
        (Scarce(), External(draw), "test_experiment.Scarce'"),
        (Toy(), External(draw, {"spread": 0.5}), "spread"),
        (Toy(), nsga2, "NSGA2"),
    ],
)
def test_runs_of_something_else_are_named(tmp_path, problem, algorithm, named):
    first = run_experiment({"toy": Toy()}, {"it": External(draw)}, 1, 50, store=tmp_path)
    before = first.runs[0].F
    with pytest.raises(StoreMismatchError) as raised:
        run_experiment({"toy": problem}, {"it": algorithm}, 1, 50, store=tmp_path)
    assert named in str(raised.value)
    assert "toy--it--n50--s1.npz" in str(raised.value)
    if isinstance(problem, Scarce):
        return
    new = run_experiment(
        {"toy": problem}, {"it": algorithm}, 1, 50, store=tmp_path, on_mismatch="rerun"
    )
    assert not np.array_equal(new.runs[0].F, before)
    assert len(list(tmp_path.iterdir())) == 1


def test_a_new_version_of_a_problem_is_noticed(tmp_path, monkeypatch):
    run_experiment({"toy": Toy()}, {"it": External(draw)}, 1, 50, store=tmp_path)
    monkeypatch.setattr(Toy, "version", "2")
    with pytest.raises(StoreMismatchError, match=r"problem.version: '1' -> '2'"):
        run_experiment({"toy": Toy()}, {"it": External(draw)}, 1, 50, store=tmp_path)


def test_budgets_are_kept_apart(tmp_path):
    for budget in (40, 60):
        run_experiment({"toy": Toy()}, {"it": External(draw)}, 1, budget, store=tmp_path)
    both = ExperimentResults.load(tmp_path)
    assert [run.n_eval for run in both.runs] == [40, 60]
    assert len(both.select(budget=60)) == 1


def test_names_that_are_no_file_names(tmp_path):
    names = ["a/b", "a b", "../x", "α", "a--b", "a-_b"]
    problems = {name: Toy() for name in names}
    results = run_experiment(problems, {"it": External(draw)}, 1, 10, store=tmp_path)
    assert results.problems == names
    assert len(list(tmp_path.glob("*.npz"))) == len(names)
    assert sorted(ExperimentResults.load(tmp_path).problems) == sorted(names)


def test_runs_come_back_as_they_were_saved(tmp_path, results):
    back = ExperimentResults.load(results.save(tmp_path))
    assert len(back) == len(results)
    for run in results.runs:
        (other,) = [r for r in back.runs if r.key == run.key]
        for name in ("F", "CV", "G", "H", "front_F", "front_X"):
            np.testing.assert_array_equal(getattr(run, name), getattr(other, name))
        assert (other.settings, other.seconds, other.log) == (run.settings, run.seconds, run.log)
        assert other.provenance["versions"]["numpy"] == np.__version__
    assert back.select(algorithm="MOELA").runs[0].log["search"]["n_eval"] > 0
    np.testing.assert_array_equal(
        back.hypervolume([50, 150], REF).rows[0]["median"],
        results.hypervolume([50, 150], REF).rows[0]["median"],
    )


def test_a_loaded_run_can_be_saved_elsewhere(tmp_path, results):
    back = ExperimentResults.load(results.save(tmp_path / "a"))
    again = ExperimentResults.load(back.save(tmp_path / "b"))
    np.testing.assert_array_equal(again.runs[0].F, back.runs[0].F)


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


def test_hypervolume_is_that_of_everything_so_far(results):
    run = results.select(algorithm="NSGA-II").runs[0]
    at = [1, 20, 77, 150, 500]
    values = run.hypervolumes(at, np.array([2.0, 1.5]))
    for n, value in zip(at, values, strict=True):
        inside = run.F[:n][(run.F[:n] < [2.0, 1.5]).all(axis=1)]
        expected = moocore.hypervolume(inside, ref=[2.0, 1.5]) if len(inside) else 0.0
        assert value == pytest.approx(expected, rel=1e-12)
    assert (np.diff(values) >= 0).all()


def test_evaluations_to_a_target_are_exact(results):
    run = results.select(algorithm="MOELA").runs[0]
    point = np.array([2.0, 2.0])
    curve = run.hypervolumes(list(range(1, 151)), point)
    for target in (0.0, curve[0], 0.5 * curve[-1], 0.99 * curve[-1], curve[-1]):
        first = 1 + int(np.argmax(curve >= target))
        assert run.evaluations_to(target, point) == first
    assert run.evaluations_to(curve[-1] * 1.001, point) == np.inf


def test_tables_hold_medians_and_quartiles_over_seeds(results):
    table = results.hypervolume([50, 150, 9999], REF)
    assert len(table) == 3 * 2
    (row,) = table.where(algorithm="random", evaluations=150)
    values = results.values("toy", "random", 150, REF)
    assert row["n_seeds"] == 3
    assert row["median"] == np.median(values)
    assert row["q1"] == np.quantile(values, 0.25)
    assert "| toy | random | 150 | 3 |" in table.to_markdown()
    assert str(table).splitlines()[0].split()[:2] == ["problem", "algorithm"]


def test_evaluations_to_a_target_by_algorithm(results):
    target = float(np.median(results.values("toy", "random", None, [3, 3])))
    table = results.evaluations_to({"toy": target, "absent": 1.0}, [3, 3])
    assert [row["algorithm"] for row in table] == ["MOELA", "NSGA-II", "random"]
    (random,) = table.where(algorithm="random")
    assert random["reached"] == 2
    assert random["q3"] == np.inf
    assert table.where(algorithm="MOELA").rows[0]["median"] < random["median"]


def test_comparison_names_each_rival(results):
    table = results.compare("MOELA", ref_point=[3, 3])
    assert [row["rival"] for row in table] == ["NSGA-II", "random"]
    (row,) = table.where(rival="random")
    assert row["ratio"] > 1
    assert row["p_value"] == pytest.approx(0.1)  # 3 against 3, no overlap, two-sided
    assert row["p_holm"] == pytest.approx(0.2)
    one_sided = results.compare("MOELA", ref_point=[3, 3], alternative="greater")
    assert one_sided.where(rival="random").rows[0]["p_value"] == pytest.approx(0.05)


def test_a_rival_with_a_smaller_budget_is_met_there(results):
    more = run_experiment({"toy": Toy()}, {"short": External(draw)}, 3, 40)
    row = (results + more).compare("MOELA", ref_point=[3, 3]).where(rival="short").rows[0]
    assert row["evaluations"] == 40
    assert row["median"] == np.median(results.values("toy", "MOELA", 40, [3, 3]))


def test_reference_points(results):
    front = results.pooled_front("toy")
    expected = front.max(axis=0) + 0.1 * (front.max(axis=0) - front.min(axis=0))
    np.testing.assert_allclose(results.ref_point("toy", "pooled"), expected)
    with pytest.raises(ValueError, match=r"'toy' has no ref_point .*pooled"):
        results.hypervolume()
    with pytest.raises(ValueError, match=r"'ref_point' .* 2 finite numbers"):
        results.hypervolume(ref_point=[1, 1, 1])
    with pytest.raises(ValueError, match=r".problem., .pooled., or a point. Got 'nadir'"):
        results.hypervolume(ref_point="nadir")

    class Known(Toy):
        ref_point = (2.0, 2.0)

    known = run_experiment({"toy": Known()}, {"random": External(draw)}, 1, 40)
    assert known.hypervolume().rows[0]["median"] == known.values("toy", "random", 40, [2, 2])[0]


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
        ({"problems": {"a": 3}}, r"problem 'a' must be a pymoo Problem.* Got 3"),
        ({"problems": {"a": lambda: 3}}, r"problem 'a' must be .* Got 3"),
        ({"algorithms": [NSGA2]}, r"'algorithms' .* a dict by name"),
        ({"algorithms": {"a": NSGA3}}, r"algorithm 'a' .* which needs more; use lambda problem"),
        ({"algorithms": {"a": lambda: None}}, r"algorithm 'a' must be a function that returns"),
        ({"seeds": 0}, r"'seeds' .* Got 0"),
        ({"seeds": [1, 1]}, r"'seeds' .* different integers"),
        ({"budget": 0}, r"'budget' .* positive number of evaluations. Got 0"),
        ({"budget": {"b": 10}}, r"'budget' .* one for 'a' too"),
        ({"n_jobs": 0}, r"'n_jobs' .* Got 0"),
        ({"on_mismatch": "mix"}, r"'on_mismatch' .* raise, rerun. Got 'mix'"),
        ({"on_error": "mix"}, r"'on_error' .* raise, skip. Got 'mix'"),
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


def test_files_of_strangers_are_refused(tmp_path, results):
    run = results.runs[0]
    good = run.save(tmp_path / "") if (tmp_path / "").exists() else None
    assert good is not None
    content = good.read_bytes()
    with np.load(good) as file:
        arrays = dict(file)
    header = json.loads(str(arrays["header"]))

    def refused(match):
        with pytest.raises(ValueError, match=match) as raised:
            Run.load(good).F  # noqa: B018
        assert str(good) in str(raised.value)

    good.write_bytes(content[: len(content) // 2])
    refused("expected an npz file without pickles")
    good.write_bytes(b"")
    refused("expected an npz file without pickles")
    np.savez(good, **{**arrays, "header": np.array([object()], dtype=object)})
    refused("expected an npz file without pickles")
    np.savez(good, **{**arrays, "header": np.array("{}")})
    refused("expected 'format'")
    np.savez(good, **{**arrays, "header": np.array("[")})
    refused("expected a JSON header")
    np.savez(good, **{**arrays, "header": np.array(json.dumps(header | {"key": {}}))})
    refused("expected a complete header")
    np.savez(good, **{k: v for k, v in arrays.items() if k != "front_X"})
    refused("expected the arrays F, front_F and front_X")
    np.savez(good, **{**arrays, "F": arrays["F"][:-1]})
    refused("'F' to hold float64 numbers of 150 evaluations")
    with pytest.raises(ValueError, match="expected a folder with runs"):
        ExperimentResults.load(tmp_path / "nowhere")


def test_whatever_bytes_of_a_run_change_the_error_names_its_file(tmp_path):
    run_experiment({"toy": Toy()}, {"MOELA": MOELA}, 1, 30, store=tmp_path, progress=False)
    (path,) = tmp_path.glob("*.npz")
    data, rng = path.read_bytes(), np.random.default_rng(0)
    refused = 0
    for _ in range(200):
        changed = bytearray(data)
        for place in rng.integers(len(data), size=rng.integers(1, 30)):
            changed[place] = rng.integers(256)
        path.write_bytes(bytes(changed))
        try:
            ExperimentResults.load(tmp_path)
        except ValueError as error:
            if path.name not in str(error):
                raise
            refused += 1
    assert refused > 100


def test_a_half_written_file_never_has_the_name_of_a_run(tmp_path, results, monkeypatch):
    def full(*args, **kwargs):
        raise OSError("no space left on device")

    monkeypatch.setattr(np, "savez_compressed", full)
    with pytest.raises(OSError, match="no space"):
        results.runs[0].save(tmp_path)
    assert os.listdir(tmp_path) == []


def test_results_of_the_same_run_twice_are_refused(results):
    with pytest.raises(ValueError, match=r"MOELA on toy, seed 1, 150 evaluations twice"):
        results + results


def test_runs_made_with_different_versions_are_warned_about(tmp_path):
    run_experiment({"toy": Toy()}, {"it": External(draw)}, 1, 20, store=tmp_path)
    (path,) = tmp_path.iterdir()
    run = Run.load(path)
    run.provenance["versions"]["numpy"] = "1.0"
    run.save(tmp_path)
    with pytest.warns(UserWarning, match=r"different versions: numpy 1.0, "):
        run_experiment({"toy": Toy()}, {"it": External(draw)}, 2, 20, store=tmp_path)


def test_frames(results):
    pytest.importorskip("pandas")
    frame = results.to_frame([3, 3])
    assert len(frame) == 9
    assert (frame.groupby("algorithm")["hypervolume"].median() > 0).all()
    assert list(results.to_frame(None).columns)[-1] == "overhead_us"


def test_frames_without_pandas(results, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match=r"moela\[report\]"):
        results.to_frame([3, 3])


def test_keys_that_differ_have_different_files():
    keys = [
        Key(p, a, s, n) for p in ("a", "A b") for a in ("x", "x_") for s in (1, 2) for n in (1,)
    ]
    assert len({key.file_name for key in keys}) == len(keys)


def test_code_is_told_apart_from_comments(tmp_path, monkeypatch):
    package = tmp_path / "pack_of_code"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "helper.py").write_text("def f():\n    return 1\n")
    (package / "other.py").write_text("x = 1\n")
    main = "from pack_of_code.helper import f\n\nclass A:\n    def g(self):\n        return f()\n"
    (package / "main.py").write_text(main)
    monkeypatch.syspath_prepend(tmp_path)

    def code():
        _code._digest.cache_clear()
        _code._source.cache_clear()
        importlib.invalidate_caches()
        from pack_of_code.main import A

        return _code.code_of(A())

    first = code()
    (package / "main.py").write_text(main.replace("class A:\n", 'class A:\n    """Says A."""\n\n'))
    (package / "helper.py").write_text("# a comment\ndef f():\n    return 1\n")
    (package / "other.py").write_text("x = 2\n")
    assert code() == first
    (package / "helper.py").write_text("def f():\n    return 2\n")
    assert code() != first


def test_pymoo_counts_by_its_version():
    import pymoo

    assert _code.code_of(NSGA2())["pymoo"] == pymoo.__version__
    assert "sources" in _code.code_of(MOELA()) or "moela" in _code.code_of(MOELA())


@pytest.mark.parametrize("name", ["zdt1", "bnh"])
def test_the_problems_of_pymoo(name):
    results = run_experiment({name: lambda: get_problem(name)}, {"MOELA": MOELA}, 1, 120)
    assert results.runs[0].n_eval == 120
    assert results.hypervolume(ref_point="pooled").rows[0]["median"] > 0
