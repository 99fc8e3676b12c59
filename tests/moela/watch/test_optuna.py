"""Studies of Optuna from a store, opened by Optuna and by its dashboard."""

import json
import subprocess
import sys
import urllib.request

import numpy as np
import pytest
from pymoo.core.mixed import MixedVariableGA
from pymoo.core.problem import ElementwiseProblem
from pymoo.core.variable import Binary, Choice, Integer, Real
from pymoo.optimize import minimize

import moela
from moela import EvaluationStore, Evaluator
from moela.plugins import designs_of_study

optuna = pytest.importorskip("optuna", reason="needs optuna: pip install 'moela[optuna]'")


def studies(path):
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    storage = JournalStorage(JournalFileBackend(str(path)))
    names = optuna.get_all_study_names(storage)
    return [optuna.load_study(study_name=name, storage=storage) for name in names]


def test_every_evaluation_is_a_trial(finished, tmp_path):
    with EvaluationStore(finished) as store:
        path = store.to_optuna(tmp_path / "runs.log")
        rows = list(store.evaluations(1))
        front = store.front(1).get("F")
    first, second = studies(path)
    assert first.study_name == "run 1: NSGA2 on Beam"
    assert second.study_name == "run 2: NSGA2 on Beam"
    assert len(first.trials) == len(rows)
    for trial, row in zip(first.trials, rows, strict=True):
        assert list(trial.params.values()) == row.X.tolist()
        if row.status == "ok":
            assert trial.values == row.F.tolist()
            assert trial.system_attrs["constraints"] == row.G.tolist()
            assert trial.user_attrs["mesh"] == [4, 2]
        else:
            assert trial.state == optuna.trial.TrialState.FAIL
            assert "no mesh" in trial.user_attrs["error"]
    best = [trial.values for trial in first.best_trials]
    assert sorted(best) == sorted(front.tolist())
    with EvaluationStore(finished) as store, pytest.raises(FileExistsError, match="exists"):
        store.to_optuna(path)


def test_variables_keep_their_kinds(tmp_path):
    class Mixed(ElementwiseProblem):
        def __init__(self):
            variables = {
                "fan": Binary(),
                "shape": Choice(options=["round", "pin"]),
                "fins": Integer(bounds=(2, 9)),
                "height": Real(bounds=(0.5, 1.0)),
            }
            super().__init__(vars=variables, n_obj=1)

        def _evaluate(self, x, out, *args, **kwargs):
            out["F"] = x["height"] * x["fins"]

    with Evaluator(store=tmp_path / "run.db") as evaluator:
        minimize(Mixed(), MixedVariableGA(pop_size=10), ("n_eval", 40), seed=1, evaluator=evaluator)
    with EvaluationStore(tmp_path / "run.db") as store:
        (study,) = studies(store.to_optuna(tmp_path / "run.log"))
    kinds = {name: type(d).__name__ for name, d in study.trials[0].distributions.items()}
    assert kinds == {
        "fan": "CategoricalDistribution",
        "shape": "CategoricalDistribution",
        "fins": "IntDistribution",
        "height": "FloatDistribution",
    }
    assert {trial.params["shape"] for trial in study.trials} == {"round", "pin"}


class Nozzle:
    """An option that is an object."""

    def __repr__(self):
        return "Nozzle()"


def kiln(d):
    heat = d["rate"] * d["shelves"] + d.get("rounds", 0) + 0.1 * d["order"].index("bowl")
    return {"pots": heat, "fuel": d["rate"] ** 2 + 3.0 * d["fan"], "ash": d["shelves"] * 1.0}


def test_runs_of_functions_have_the_names_and_directions_of_the_call(tmp_path):
    result = moela.minimize(
        kiln,
        variables={
            "rate": moela.real(0.001, 10.0, log=True),
            "shelves": moela.integer(1, 64, log=True),
            "nozzle": ["a", None, Nozzle()],
            "fan": bool,
            "rounds": moela.integer(1, 4, when={"fan": True}),
            "order": moela.permutation(["cup", "bowl", "jug"]),
        },
        objectives={"pots": "max", "fuel": "min"},
        constraints={"ash": (None, 50)},
        n_eval=60,
        store=tmp_path / "run.db",
        verbose=False,
    )
    with EvaluationStore(tmp_path / "run.db") as store:
        (study,) = studies(store.to_optuna(tmp_path / "run.log"))
    assert [direction.name for direction in study.directions] == ["MAXIMIZE", "MINIMIZE"]
    assert study.metric_names == ["pots", "fuel"]
    assert study.trials[0].user_attrs["out.ash"] >= 1.0
    rows = result.to_frame(all=True).to_dict("records")
    assert len(study.trials) == len(rows) == 60
    places = {"cup": 0, "bowl": 1, "jug": 2}
    for trial, row in zip(study.trials, rows, strict=True):
        assert trial.values == [row["pots"], row["fuel"]]
        order = [trial.params[f"order[{i}/3]"] for i in range(3)]
        assert order == [places[item] for item in row["order"]]
        assert [trial.params[name] for name in ("rate", "shelves", "fan")] == [
            row["rate"], row["shelves"], row["fan"]
        ]  # fmt: skip
        assert ("rounds" in trial.params) is row["fan"]
    from optuna.distributions import (
        CategoricalDistribution,
        FloatDistribution,
        IntDistribution,
    )

    known = study.trials[0].distributions
    assert known["rate"] == FloatDistribution(0.001, 10.0, log=True)
    assert known["shelves"] == IntDistribution(1, 64, log=True)
    assert known["nozzle"] == CategoricalDistribution(["a", None, "Nozzle()"])
    best = {tuple(trial.values) for trial in study.best_trials}
    assert best == set(map(tuple, result.front.F.tolist()))
    assert designs_of_study(study)[0].keys() >= {"rate", "shelves", "nozzle", "fan", "order"}


def test_the_dashboard_opens_the_file(finished, tmp_path):
    pytest.importorskip("optuna_dashboard", reason="needs optuna-dashboard")
    with EvaluationStore(finished) as store:
        path = store.to_optuna(tmp_path / "runs.log")
    program = (
        "import sys, threading, wsgiref.simple_server\n"
        "from optuna.storages import JournalStorage\n"
        "from optuna.storages.journal import JournalFileBackend\n"
        "from optuna_dashboard import wsgi\n"
        "app = wsgi(JournalStorage(JournalFileBackend(sys.argv[1])))\n"
        "server = wsgiref.simple_server.make_server('127.0.0.1', 0, app)\n"
        "print(server.server_port, flush=True)\n"
        "server.serve_forever()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        try:
            address = f"http://127.0.0.1:{int(process.stdout.readline())}/api/studies"
            with urllib.request.urlopen(address, timeout=60) as answer:
                listed = json.load(answer)["study_summaries"]
            with urllib.request.urlopen(f"{address}/0", timeout=60) as answer:
                trials = json.load(answer)["trials"]
        finally:
            process.kill()
    assert [study["directions"] for study in listed] == [["minimize"] * 2] * 2
    with EvaluationStore(finished) as store:
        rows = [row for row in store.evaluations(1) if row.status == "ok"]
    values = [trial["values"] for trial in trials if trial["state"] == "Complete"]
    np.testing.assert_allclose(np.array(values, float), [row.F for row in rows])


def test_optuna_is_named_where_it_is_missing(finished, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with EvaluationStore(finished) as store, pytest.raises(ImportError, match=r"moela\[optuna\]"):
        store.to_optuna(tmp_path / "run.log")
