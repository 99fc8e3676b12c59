"""Stores of functions that take batches continue with another number of workers."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing

import pytest
from function_cases import LINE, QUIET

import moela
from moela import EvaluationStore


def batch(d):
    return {"a": d["x"], "b": 1 - d["x"]}


SETTINGS = {**LINE, **QUIET, "vectorized": True}


@pytest.mark.parametrize("chunk", [None, 1_000_000, 16])
def test_a_run_continues_with_another_number_of_workers(chunk, tmp_path):
    store = tmp_path / "run.db"
    moela.minimize(batch, **SETTINGS, n_eval=60, store=store)
    if chunk is not None:  # as an earlier version stored it
        with EvaluationStore(store) as reader:
            (run,) = reader.runs()
        assert "chunk_size" not in run.settings
        _set_chunk(store, chunk)
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


def _set_chunk(store, chunk):
    from moela.evaluation.storage import rows

    with closing(sqlite3.connect(store)) as db, db:
        (text,) = db.execute("SELECT settings FROM runs").fetchone()
        settings = json.dumps(json.loads(text) | {"chunk_size": chunk}, sort_keys=True)
        db.execute("UPDATE runs SET settings = ?", (settings,))
        rows.add_run_checksums(db)


def test_functions_of_one_design_keep_their_settings(tmp_path):
    moela.minimize(batch, **LINE, **QUIET, n_eval=5, store=tmp_path / "run.db")
    with EvaluationStore(tmp_path / "run.db") as reader:
        assert reader.runs()[0].settings == {"dedupe": True, "chunk_size": 1}
