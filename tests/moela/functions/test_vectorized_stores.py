"""Stores of functions that take batches continue with another number of workers."""

from __future__ import annotations

from function_cases import LINE, QUIET

import moela
from moela import EvaluationStore


def batch(d):
    return {"a": d["x"], "b": 1 - d["x"]}


SETTINGS = {**LINE, **QUIET, "vectorized": True}


def test_a_run_continues_with_another_number_of_workers(tmp_path):
    store = tmp_path / "run.db"
    moela.minimize(batch, **SETTINGS, n_eval=60, store=store)
    results = [
        moela.minimize(
            batch, **SETTINGS, n_eval=n_eval, n_jobs=n_jobs, backend="threads", store=store
        )
        for n_eval, n_jobs in ((90, 2), (120, 1), (120, 2))
    ]
    with EvaluationStore(store) as reader:
        assert [run.n_fresh for run in reader.runs()] == [120]
    whole = moela.minimize(batch, **SETTINGS, n_eval=120)
    assert results[-1].population.get("X").tolist() == whole.population.get("X").tolist()
