"""`moela.minimize`: runs, stores, failures, first designs, and limits of time."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time
from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas
import pytest
from function_cases import LINE, QUIET, SINK, Shape, line, objectives_of, run, sink
from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.core.problem import ElementwiseProblem
from pymoo.core.variable import Choice, Integer, Real
from pymoo.problems import get_problem

import moela
from moela import MOELA
from moela.quality.durations import seconds

ROOT = Path(__file__).parents[3]


def test_a_run():
    result = run(n_eval=100)
    assert result.n_eval == 100
    assert result.feasible
    assert result.status.startswith("done after 100 evaluations: ")
    F = result.front.F
    assert (np.diff(F[:, 0]) > 0).all()
    assert (np.diff(F[:, 1]) < 0).all()
    for candidate in result.front:
        out = sink(candidate.design)
        assert candidate.objectives == {"mass": out["mass"], "rise": out["rise"]}
        assert candidate.others == {"noise": out["noise"], "area": out["area"]}
        assert candidate.others["noise"] <= 36


def test_same_seed_same_result():
    assert objectives_of(run()) == objectives_of(run()) == objectives_of(run(n_jobs=2))
    assert objectives_of(run()) != objectives_of(run(seed=2))


def test_the_call_prints_how_it_was_understood(capsys):
    run(verbose=True, n_jobs=2, n_eval=20)
    printed = capsys.readouterr().out
    for text in (
        "sink:", "height  real, 0.01 to 0.06", "fins    integer, 5 to 25", "shape   one of 'round'",
        "fan     True or False", "minimize mass, rise", "with noise at most 36",
        "20 evaluations with MOELA, seed 1, 2 workers",
    ):  # fmt: skip
        assert text in printed
    run(n_eval=20)
    assert capsys.readouterr().out == ""


def test_maximized_objectives_keep_their_sign():
    result = moela.minimize(
        lambda d: {"cost": d["x"], "yield": 10 * d["x"] ** 0.5},
        variables={"x": (0.0, 4.0)},
        objectives={"cost": "min", "yield": "max"},
        ref_point={"cost": 4, "yield": 0},
        n_eval=60,
        **QUIET,
    )
    assert result.front.F.min() >= 0
    assert result.to_frame()["yield"].max() == pytest.approx(20.0, rel=0.02)
    knee = result.knee()
    assert knee.objectives["yield"] == pytest.approx(10 * knee.design["x"] ** 0.5)
    # The bulge of sqrt(x) over the line through its ends is largest at a quarter of the range.
    assert knee.design["x"] == pytest.approx(1.0, abs=0.3)
    assert result.by_reference({"cost": 2, "yield": 14}).design["x"] == pytest.approx(2.0, abs=0.4)
    cheap = result.by_weights({"cost": 1, "yield": 0})
    assert cheap.objectives["cost"] == result.front.F[:, 0].min()
    assert "less yield" in result.explain(0)


@pytest.mark.parametrize(
    ("variables", "best"),
    [
        ({"x": (0.0, 1.0), "n": (1, 9), "s": ["a", "b"]}, 1.0),
        ({"x": bool, "n": bool}, 0.0),
        ({"p": moela.permutation(5)}, 0.0),
    ],
)
def test_one_objective(variables, best):
    def cost(d):
        if "p" in d:
            return float(sum(abs(i - j) for i, j in enumerate(d["p"])))
        return float(d["x"] + d["n"] + (d.get("s") == "b"))

    result = moela.minimize(cost, variables=variables, objectives="cost", n_eval=300, **QUIET)
    assert result.best.objectives["cost"] == pytest.approx(best, abs=0.05)
    assert len(result) == 1
    assert "best: cost" in result.status
    assert result.knee() == result.best
    assert "the only design" in result.explain()
    assert result.plot().axes[0].get_ylabel() == "cost (min)"


def test_equalities():
    result = moela.minimize(
        lambda d: {"a": d["x"] ** 2, "b": d["y"] ** 2, "sum": d["x"] + d["y"]},
        variables={"x": (0, 10), "y": (0, 10)},
        objectives=["a", "b"],
        constraints={"sum": (10, 10)},
        n_eval=99,
        **QUIET,
    )
    assert len(result) > 4
    assert {sum(design.values()) for design in result.designs} == {10}


def test_no_feasible_design():
    result = run(constraints={"noise": (None, 10)})
    assert not result.feasible
    assert "no feasible design" in result.status
    assert f".front holds the {len(result.front)} designs of least violation" in result.status
    assert result.front[0].others["noise"] == 30
    assert "violates constraints" in repr(result.knee())
    assert "It violates noise at most 10" in result.explain()
    assert "no feasible design" in repr(result)
    assert "no feasible design" in result._repr_html_()


def test_any_algorithm():
    for algorithm in ("nsga2", "NSGA-III", "moead", NSGA2, NSGA2(20), MOELA(n_subproblems=10)):
        constraints = {} if algorithm == "moead" else SINK["constraints"]
        result = run(algorithm=algorithm, constraints=constraints)
        assert result.n_eval == 60
        assert len(result) > 1
    mine = NSGA2(20)
    run(algorithm=mine)
    assert mine.problem is None


def test_pymoo_problems():
    result = moela.minimize(get_problem("bnh"), n_eval=60, **QUIET)
    assert result.front.names == ("f1", "f2")
    assert set(result.designs[0]) == {"x0", "x1"}
    assert {"g1", "g2"} <= set(result.to_frame().columns)
    again = moela.minimize(get_problem("bnh"), n_eval=60, start=result, **QUIET)
    assert again.n_eval == 60
    problem = moela.problem(sink, **SINK)
    assert objectives_of(moela.minimize(problem, n_eval=60, **QUIET)) == objectives_of(run())


@pytest.mark.parametrize("algorithm", [None, "nsga2", "ga"])
@pytest.mark.parametrize("kind", ["dictionaries", "integers"])
def test_other_variables_of_pymoo(kind, algorithm):
    named = {"n": Integer(bounds=(0, 9)), "s": Choice(options=["a", "b"]), "x": Real(bounds=(0, 1))}

    class Named(ElementwiseProblem):
        def __init__(self, **settings):
            super().__init__(n_obj=1 if algorithm == "ga" else 2, **settings)

        def _evaluate(self, x, out, *args, **kwargs):
            f = x["n"] + x["x"] + (x["s"] == "b") if isinstance(x, dict) else float(x.sum())
            out["F"] = [f, -f][: self.n_obj]

    settings = (
        {"vars": named} if kind == "dictionaries" else {"n_var": 3, "xl": 0, "xu": 9, "vtype": int}
    )
    result = moela.minimize(Named(**settings), n_eval=60, algorithm=algorithm, **QUIET)
    for design in result.designs:
        assert set(design) == (set(named) if kind == "dictionaries" else {"x0", "x1", "x2"})
        assert isinstance(design.get("n", design.get("x0")), int)


def test_vectorized():
    sizes = []

    def batch(d):
        sizes.append(len(d["height"]))
        rise = 1 / d["height"] + d["fins"]
        return {"mass": d["height"], "rise": rise, "noise": 30 + 0 * d["fan"]}

    result = run(batch, vectorized=True, n_eval=120)
    assert result.n_eval == sum(sizes) == 120
    assert sizes[0] == 50
    assert result.front[0].objectives["mass"] < 0.02
    assert objectives_of(run(batch, vectorized=True, n_eval=120, n_jobs=2)) == objectives_of(result)


# -------------------------------------------------------------------------------- first designs


def test_first_designs_are_evaluated_first():
    first = {"height": 0.0123, "fins": 7, "shape": "pin", "fan": False}
    for start in (first, [first], pandas.DataFrame([first | {"mass": 3.0}])):
        frame = run(start=start).to_frame(all=True)
        assert frame.loc[0, ["height", "fins", "shape", "fan"]].to_dict() == first
        assert len(frame) == 60
    for algorithm in ("nsga2", NSGA2(20)):
        frame = run(start=[first], algorithm=algorithm).to_frame(all=True)
        assert (frame["height"] == 0.0123).any()
        assert len(frame) == 60


def test_starting_from_a_result():
    before = run(n_eval=120)
    after = run(start=before, seed=3)
    known = {tuple(f) for f in objectives_of(before)}
    frame = after.to_frame(all=True)
    assert sum((m, r) in known for m, r in zip(frame["mass"], frame["rise"], strict=True)) >= 30


def test_starting_from_options_that_tables_and_stores_write_otherwise(tmp_path):
    variables = {
        "gap": [None, 1, 2.5],
        "shape": Shape,
        "text": ["1", 1],
        "order": moela.permutation(list(Shape)),
    }
    settings = dict(variables=variables, objectives=["a", "b"], n_eval=20, **QUIET)

    def function(d):
        gap = d["gap"] or 0
        return gap, -gap - (d["shape"] is Shape.PIN)

    result = moela.minimize(function, **settings, store=tmp_path / "run.db")
    frame = result.to_frame(all=True)
    assert frame["gap"].isna().any()
    again = moela.minimize(function, **settings, start=frame).table(all=True)
    assert [row["gap"] for row in again] == [row["gap"] for row in result.table(all=True)]
    stored = moela.MinimizeResult.from_store(tmp_path / "run.db")
    assert "Shape." in str(stored.designs[0]["shape"])
    again = moela.minimize(function, **settings, start=stored)
    assert result.designs[0] in [{name: row[name] for name in variables} for row in again.table()]


# -------------------------------------------------------------------------- stores and failures


def test_a_script_needs_no_guard():
    script = """
        import moela
        factor = 2.0
        def simulate(d):
            return {"a": factor * d["x"], "b": -d["x"]}
        print("imported")
        result = moela.minimize(simulate, variables={"x": (0.0, 1.0)}, objectives=["a", "b"],
                                n_eval=20, n_jobs=2, verbose=False, progress=False)
        print(len(result.front))
    """
    printed = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert printed.stdout.split() == ["imported", "20"]


# ----------------------------------------------------------------------------- limits, stopping


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (90, 90), (1.5, 1.5), ("90", 90), ("90s", 90), ("30 min", 1800), ("8h", 28800),
        ("1h30m", 5400), ("1 day, 2 hours", 93600), ("01:30:05", 5405), (None, None),
        ("2 hrs. 5 sec", 7205), ("3 Minutes", 180), (timedelta(hours=1), 3600),
    ],
)  # fmt: skip
def test_durations(given, expected):
    assert seconds("time_limit", given) == expected


def test_time_limits():
    def slow(d):
        time.sleep(0.005)
        return line(d)

    start = time.monotonic()
    result = moela.minimize(slow, **LINE, time_limit=0.5, **QUIET)
    assert time.monotonic() - start < 5
    assert result.n_eval >= 50
    assert result.status.startswith("time is over after ")
    both = moela.minimize(slow, **LINE, time_limit="1h", n_eval=20, **QUIET)
    assert both.status.startswith("done after 20 evaluations")


@pytest.mark.parametrize("algorithm", [None, "nsga2"])
@pytest.mark.parametrize(
    "settings",
    [{"n_eval": 200}, {"time_limit": "1h"}, {"n_eval": 200, "asynchronous": True}],
)
def test_a_run_ends_when_every_design_of_a_small_space_is_known(algorithm, settings):
    seen = []
    result = moela.minimize(
        lambda d: seen.append(tuple(d.values())) or (d["b"], 2 - d["b"]),
        variables={"b": (0, 2), "c": bool},
        objectives=["p", "q"],
        algorithm=algorithm,
        verbose=False,
        progress=False,
        **settings,
    )
    assert result.status.startswith("no new design was found after ")
    assert len(seen) == len(set(seen)) == 6
    assert result.n_eval <= 8


def test_callbacks_see_the_result_and_may_stop():
    seen = []

    def watch(result):
        seen.append((result.n_eval, len(result.front)))
        return result.n_eval >= 60

    result = run(n_eval=500, callback=lambda result: np.bool_(watch(result)))
    assert seen[0][0] == 50
    assert result.status.startswith(f"stopped by the callback after {seen[-1][0]} of 500")


@pytest.mark.parametrize("answer", [1, "stop", np.array([True])])
def test_a_callback_that_returns_something_else_is_refused(answer):
    with pytest.raises(TypeError, match=r"'callback'.* must return True .* Got "):
        run(n_eval=20, algorithm="nsga2", callback=lambda result: answer)
