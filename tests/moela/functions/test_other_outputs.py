"""Other outputs of a function keep their types, wherever they are kept."""

from __future__ import annotations

import json

import numpy as np
import pytest
from function_cases import LINE, QUIET
from pymoo.core.problem import ElementwiseProblem

import moela
from moela import EvaluationStore, MinimizeResult

OTHERS = {
    "commit": "12e4567",
    "job": "007",
    "number": "3",
    "id": 2**53 + 1,
    "long": 2**70,
    "ok": True,
    "nothing": None,
    "share": 0.25,
    "counts": [1, 2**53 + 1],
}
SETTINGS = {**LINE, **QUIET, "n_eval": 5}


def described(d):
    mixed = "low" if d["x"] < 0.5 else 3
    return {"a": d["x"], "b": 1 - d["x"], "mixed": mixed, **OTHERS}


def described_batch(d):
    parts = [described({"x": x}) for x in d["x"].tolist()]
    return {name: [part[name] for part in parts] for name in parts[0]}


def plain(others):
    return {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in others.items()}


def check(result, n=5):
    assert len(result.population) == n
    for row in result.table(all=True).rows:
        others = plain(row)
        mixed = "low" if row["x"] < 0.5 else 3
        for name, value in {**OTHERS, "mixed": mixed}.items():
            assert others[name] == value, name
            assert type(others[name]) is type(value), name


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"n_jobs": 2},
        {"n_jobs": 2, "backend": "threads"},
        {"n_jobs": 2, "backend": "threads", "asynchronous": True},
    ],
    ids=str,
)
def test_types_are_kept(settings, tmp_path):
    store = tmp_path / "run.db"
    check(moela.minimize(described, **SETTINGS, **settings))
    check(moela.minimize(described, **SETTINGS, **settings, store=store))
    check(moela.minimize(described, **SETTINGS, **settings, store=store))  # resumed
    check(MinimizeResult.from_store(store))


def test_types_are_kept_in_a_batch(tmp_path):
    check(moela.minimize(described_batch, **SETTINGS, vectorized=True, store=tmp_path / "run.db"))
    check(MinimizeResult.from_store(tmp_path / "run.db"))


def test_types_are_kept_by_ask_and_tell():
    problem = moela.problem(described, **LINE)
    algorithm = moela.MOELA()
    algorithm.setup(problem, termination=("n_eval", 5), seed=1)
    batch = algorithm.ask()[:5]
    for individual in batch:
        problem.record(individual, described(problem.decode(individual.X)))
    check(MinimizeResult(problem, list(batch)))


def test_types_come_back_from_files(tmp_path):
    result = moela.minimize(described, **SETTINGS)
    rows = json.loads(result.save(tmp_path / "all.json", all=True).read_text())
    assert rows[0]["nothing"] is None
    assert {name: rows[0][name] for name in OTHERS} == OTHERS
    path = result.save(tmp_path / "all.csv", all=True)
    read = moela.minimize(described, **(SETTINGS | {"n_eval": 1}), known=path)
    for row in plain_rows(read)[:5]:
        same = {name: value for name, value in OTHERS.items() if name not in ("number", "nothing")}
        assert {name: row[name] for name in same} == same
        assert type(row["ok"]) is bool
        assert row["nothing"] is None
    check(moela.minimize(described, **(SETTINGS | {"n_eval": 1}), known=result), n=6)
    started = moela.minimize(described, **SETTINGS, start=path)
    assert started.table(all=True).rows[0]["x"] == result.table(all=True).rows[0]["x"]


def plain_rows(result):
    return [plain(row) for row in result.table(all=True).rows]


class Described(ElementwiseProblem):
    def __init__(self):
        super().__init__(n_var=1, n_obj=2, xl=0.0, xu=1.0)

    def _evaluate(self, x, out, *args, **kwargs):
        out["F"] = [x[0], 1 - x[0]]
        out |= OTHERS


def test_types_are_kept_for_problems_of_pymoo(tmp_path):
    result = moela.minimize(Described(), n_eval=5, store=tmp_path / "run.db", **QUIET)
    with EvaluationStore(tmp_path / "run.db") as store:
        stored = [evaluation.extra for evaluation in store.evaluations()]
    for values in (*stored, *({k: ind.get(k) for k in OTHERS} for ind in result.population)):
        python = {k: v.tolist() if hasattr(v, "tolist") else v for k, v in values.items()}
        assert python == OTHERS
        assert {k: type(v) for k, v in python.items()} == {k: type(v) for k, v in OTHERS.items()}
