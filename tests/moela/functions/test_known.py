"""Results that a user already has, as `known` of `moela.minimize`."""

from __future__ import annotations

import logging
import re

import numpy as np
import pandas
import pytest
from function_cases import QUIET, Shape
from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.problems import get_problem

import moela
from moela import EvaluationStore

VARIABLES = {"height": (0.01, 0.06), "fins": (5, 25), "kind": ["pin", "plate"]}
GOALS = ["mass", "rise", "noise"]


class Sink:
    """A function that counts its calls."""

    def __init__(self):
        self.called = []

    def __call__(self, d):
        self.called.append(d)
        mass = d["height"] * d["fins"] * (1 + (d["kind"] == "plate"))
        return {"mass": mass, "rise": 2 / mass, "noise": 20 + d["fins"] ** 2 / 30}


def simulate(d):
    return Sink()(d)


def fails(d):
    if d["height"] > 0.04:
        raise RuntimeError("too high")
    return simulate(d)


def run(function=simulate, objectives=GOALS[:2], **settings):
    settings = {"variables": VARIABLES, "n_eval": 40} | settings
    return moela.minimize(function, objectives=objectives, **settings, **QUIET)


@pytest.fixture(scope="module")
def first():
    return run()


@pytest.fixture(scope="module")
def forms(first, tmp_path_factory):
    folder = tmp_path_factory.mktemp("forms")
    return {
        "result": first,
        "dicts": first.table(all=True).rows,
        "frame": first.to_frame(all=True),
        "csv": first.save(folder / "all.csv", all=True),
        "list": [first, str(folder / "all.csv"), first.front[0]],
        "candidates": [*first.front, *first.table(all=True).rows],
    }


def same(one, other):
    assert [ind.X.tolist() for ind in one.population] == [
        ind.X.tolist() for ind in other.population
    ]
    assert one.population.get("F").tolist() == other.population.get("F").tolist()
    assert one.front.F.tolist() == other.front.F.tolist()


@pytest.mark.parametrize("form", ["dicts", "frame", "csv", "list"])
def test_each_form_gives_the_same_run(first, forms, form):
    found = run(objectives=GOALS, known=forms[form])
    assert found.n_known == 40
    same(found, run(objectives=GOALS, known=first))


def test_every_kind_of_variable_and_output_is_read(tmp_path):
    variables = {
        "x": (0.0, 1.0), "n": moela.integer(1, 900, log=True), "w": moela.real(1e-4, 9, log=True),
        "shape": Shape, "tool": ["p", None, 3], "order": moela.permutation(["a", "b", "c"]),
        "on": bool, "more": moela.real(0, 1, when={"on": True}),
    }  # fmt: skip

    def function(d):
        if d["x"] > 0.8:
            raise RuntimeError("x")
        a = d["x"] + d["n"] / d["w"] + d.get("more", 0) + d["order"].index("a")
        return {"a": a, "b": 1 - a + d["on"], "x": d["n"], "note": "hi", "curve": np.arange(2.0)}

    settings = {"variables": variables, "on_error": "infeasible"}
    store = tmp_path / "first.db"
    before = run(function, {"a": "min", "b": "max"}, store=store, **settings)
    table = before.table(all=True)
    designs = [before.problem.decode(X) for X in known_X(before)]
    path = before.save(tmp_path / "all.csv", all=True)
    for known in (before, store, path, before.to_frame(all=True), table.rows):
        after = run(function, ["b", "x"], n_eval=10, known=known, **settings)
        assert [after.problem.decode(X) for X in known_X(after)[: after.n_known]] == designs
        rows = after.table(all=True).rows
        assert [row["b"] for row in rows[:40]] == [row["b"] for row in table.rows]
        assert [row["x (output)"] for row in rows[:40]] == [row["x (output)"] for row in table.rows]


def test_known_results_cost_nothing_and_come_first(first):
    sink = Sink()
    result = run(sink, GOALS, known=first, n_eval=25)
    assert (result.n_eval, result.n_known, len(sink.called)) == (25, 40, 25)
    assert "25 evaluations, beside 40 known results" in result.status
    rows = result.table(all=True).rows
    assert rows[:40] == [
        {name: row[name] for name in rows[0]} for row in first.table(all=True).rows
    ]
    assert not [d for d in sink.called if d in [first.problem.decode(x) for x in known_X(first)]]


def known_X(result):
    return [ind.X for ind in result.population]


def test_known_results_are_on_the_front():
    best = {"height": 0.01, "fins": 5, "kind": "pin", "mass": 1e-9, "rise": 1e-9}
    result = run(known=best)
    assert result.front.F.tolist() == [[1e-9, 1e-9]]
    assert result.front[0].design == {"height": 0.01, "fins": 5, "kind": "pin"}
    single = run(objectives={"mass": "min"}, known=[best], n_eval=30)
    assert single.best.objectives == {"mass": 1e-9}


def test_other_directions_limits_and_bounds(first):
    result = run(
        objectives={"rise": "max", "noise": "min"},
        constraints={"mass": (0.1, None)},
        variables=VARIABLES | {"fins": (5, 12)},
        known=first,
    )
    fits = [row for row in first.table(all=True).rows if row["fins"] <= 12]
    assert 0 < result.n_known == len(fits) < 40
    known = result.table(all=True).rows[: len(fits)]
    assert [row["feasible"] for row in known] == [row["mass"] >= 0.1 for row in fits]
    assert [row["rise"] for row in known] == pytest.approx([row["rise"] for row in fits])


def test_results_that_cannot_be_used_are_left_out(first, caplog):
    table = first.to_frame(all=True)
    table.loc[0, "noise"] = np.nan
    table.loc[1, "height"] = 0.5
    table.loc[2, "kind"] = "foam"
    with caplog.at_level(logging.WARNING):
        result = run(objectives=GOALS, known=table)
    assert result.n_known == 37
    (text,) = [r.getMessage() for r in caplog.records if "known results" in r.getMessage()]
    assert text.startswith("3 of the 40 known results are left out: 1 without a number as 'noise'")
    assert "2 outside of the variables' ranges" in text
    assert "0.01 to 0.06. Got 0.5" in text


@pytest.mark.parametrize(
    ("known", "message"),
    [
        ([], "Got none instead; leave it out"),
        (3, "Got 3 (int) instead"),
        ([{"hight": 0.02, "fins": 5}], "1 without 'height', 'kind' (the first: it has 'hight')"),
        ({"height": 0.02, "fins": 7, "kind": "pin", "mass": 1.0}, "without a number as 'rise'"),
        ({"height": 9, "fins": 7, "kind": "pin", "mass": 1.0, "rise": 1.0}, "pass them as 'start'"),
    ],
)
def test_unusable_results_are_refused_before_any_evaluation(known, message):
    sink = Sink()
    with pytest.raises((ValueError, TypeError), match=re.escape(message)):
        run(sink, known=known)
    assert sink.called == []


def test_failures_stay_failures_if_they_do_not_end_the_run(first):
    before = run(fails, on_error="infeasible")
    assert before.failures
    kept = run(fails, GOALS, on_error="infeasible", known=before)
    assert kept.n_known == 40
    designs = [failure["design"] for failure in kept.failures]
    assert designs[: len(before.failures)] == [failure["design"] for failure in before.failures]
    assert len({tuple(design.items()) for design in designs}) == len(designs)
    left = run(simulate, GOALS, known=before)
    assert left.n_known == 40 - len(before.failures)
    assert not left.failures


def test_of_equal_designs_the_last_one_counts(first):
    row = first.table(all=True).rows[0]
    result = run(known=[row | {"mass": 1e-8}, row | {"mass": 1e-9, "rise": 1e-9}])
    assert result.n_known == 1
    assert result.front.F.tolist() == [[1e-9, 1e-9]]


@pytest.mark.parametrize("algorithm", [None, "nsga2", "nsga3", NSGA2(pop_size=10)])
def test_a_store_resumes_with_the_same_results(first, tmp_path, algorithm):
    settings = {"objectives": GOALS, "known": first, "algorithm": algorithm}
    whole = run(**settings)
    run(**settings, store=tmp_path / "run.db", n_eval=15)
    resumed = run(**settings, store=tmp_path / "run.db")
    same(whole, resumed)
    assert len(list(EvaluationStore(tmp_path / "run.db").evaluations())) == 40


def test_the_store_of_the_run_is_no_source(tmp_path):
    store = tmp_path / "run.db"
    run(store=store)
    with pytest.raises(ValueError, match="must be another store than the one"):
        run(store=store, known=store)
    run(store=store, seed=2)
    assert run(objectives=GOALS, known=str(store)).n_known > 60  # of both runs


@pytest.mark.parametrize("objectives", [GOALS, GOALS[:1]])
def test_workers_that_do_not_wait(first, objectives, tmp_path):
    settings = {
        "objectives": objectives, "known": first, "asynchronous": True, "n_eval": 30,
        "n_jobs": 2, "backend": "threads", "store": tmp_path / "run.db",
    }  # fmt: skip
    result = run(**settings)
    assert (result.n_eval, result.n_known) == (30, 40)
    same(result, run(**settings))


def test_a_callback_sees_known_results(first):
    counts = []
    run(
        objectives=GOALS,
        known=first,
        callback=lambda result: counts.append((result.n_known, result.n_eval)),
    )
    assert {known for known, _ in counts} == {40}
    assert counts[0][1] > 0
    assert counts[-1][1] == 40


@pytest.mark.parametrize("algorithm", ["moela", "nsga2"])
def test_pymoo_problems(algorithm, tmp_path):
    problem = get_problem("bnh")
    first = moela.minimize(problem, n_eval=40, store=tmp_path / "first.db", **QUIET)
    rows = first.table(all=True).rows
    for known in (first, tmp_path / "first.db", rows, first.population, pandas.DataFrame(rows)):
        result = moela.minimize(problem, n_eval=30, known=known, algorithm=algorithm, **QUIET)
        assert (result.n_eval, result.n_known) == (30, 40)
        assert result.population[:40].get("F") == pytest.approx(first.population.get("F"))
        assert result.population[:40].get("G") == pytest.approx(first.population.get("G"))


@pytest.mark.few_evaluations
def test_a_few_evaluations_learn_from_known_results():
    def curve(d):
        x = np.array([d[f"x{i}"] for i in range(6)])
        g = float(((x[1:] - 0.5) ** 2).sum())
        return (1 + g) * np.cos(x[0] * np.pi / 2), (1 + g) * np.sin(x[0] * np.pi / 2)

    variables = {f"x{i}": (0.0, 1.0) for i in range(6)}
    settings = {"variables": variables, "objectives": ["f", "g"], "n_eval": 20}
    gains = []
    for seed in (1, 2):
        before = moela.minimize(curve, **settings | {"n_eval": 60}, seed=seed, **QUIET)
        after = moela.minimize(curve, **settings, seed=seed + 9, known=before, **QUIET)
        new = after.population[60:].get("F")
        gains.append(np.median((new**2).sum(axis=1)))
    assert max(gains) < 1.1, gains


class Chip:
    """An option that is equal to no other one."""

    def __init__(self, cores):
        self.cores = cores


def double(x):
    return 2 * x


def cost(d):
    return {"a": d["x"], "b": 1 - d["x"]}


UNWRITABLE = {
    "tuples": [(1, 2), (3, 4)],
    "dictionaries": [{"b": 1, "a": {"d": 1, "c": 2}}, {"b": 2}],
    "objects": [Chip(1), Chip(2)],
    "functions": [double, max],
    "arrays": [np.arange(3), np.arange(4)],
}


@pytest.mark.parametrize("options", UNWRITABLE.values(), ids=UNWRITABLE)
def test_a_store_tells_which_option_each_result_has(tmp_path, options):
    variables = {
        "option": moela.choice(options),
        "order": moela.permutation([(0, 1), (2, 2), (5, 4)]),
        "x": (0.0, 1.0),
    }
    path = tmp_path / "run.db"
    first = run(cost, ["a", "b"], variables=variables, store=path)
    after = run(cost, ["a", "b"], variables=variables, known=path, n_eval=10)
    assert after.n_known == 40
    assert set(map(tuple, known_X(after)[:40])) == set(map(tuple, first.population.get("X")))
    start = moela.MinimizeResult.from_store(path)
    if not isinstance(options[0], tuple | np.ndarray):  # whose texts a store does not keep
        table = start.save(tmp_path / "all.csv", all=True)
        assert run(cost, ["a", "b"], variables=variables, known=table, n_eval=5).n_known == 40
    assert len(run(cost, ["a", "b"], variables=variables, start=start, n_eval=40).population) == 40


def test_options_that_a_store_cannot_tell_apart_are_not_guessed(tmp_path):
    variables = {"option": moela.choice([object(), object()]), "x": (0.0, 1.0)}
    path = tmp_path / "run.db"
    run(cost, ["a", "b"], variables=variables, store=path)
    with pytest.raises(ValueError, match=r"40 outside of the variables' ranges"):
        run(cost, ["a", "b"], variables=variables, known=path)


@pytest.mark.parametrize("algorithm", [None, "nsga2"])
def test_repeated_measurements_of_a_noisy_function_are_kept(algorithm, caplog):
    given = [{"n": n, "a": n + k / 10, "b": -n} for n in (1, 2, 3) for k in range(4)]
    settings = {"variables": {"n": (1, 99)}, "objectives": ["a", "b"], "known": given}
    settings |= {"verbose": False, "progress": False, "algorithm": algorithm, "n_eval": 10}
    function = lambda d: (d["n"], -d["n"])  # noqa: E731
    result = moela.minimize(function, **settings, noisy=True)
    assert result.n_known == 12
    assert len(result.population) == 22
    assert [row["a"] for row in result.table(all=True).rows[:12]] == [row["a"] for row in given]
    assert caplog.text == ""
    assert moela.minimize(function, **settings).n_known == 3
    assert "9 of the 12 known results differ from a later one of the same design" in caplog.text
    assert "noisy=True" in caplog.text
