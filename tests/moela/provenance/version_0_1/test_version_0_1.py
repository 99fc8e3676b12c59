"""Stores and experiments of version 0.1 are read and continued with the code of today.

The files in ``data`` hold stopped runs that version 0.1 has written, of 40 evaluations each.
"""

import shutil
from pathlib import Path

import numpy as np
from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.optimize import minimize
from user_problem import Beam

from moela import EvaluationStore, Evaluator, ExperimentResults, compare

DATA = Path(__file__).parent / "data"


def test_a_stored_run_goes_on_as_if_never_stopped(tmp_path):
    populations = []
    for store in (Path(shutil.copy(DATA / "users.db", tmp_path)), None):
        with Evaluator(store=store) as evaluator:
            result = minimize(Beam(), NSGA2(20), ("n_eval", 60), seed=1, evaluator=evaluator)
        populations.append(result.pop)
    resumed, alone = populations
    for values in ("X", "F"):
        np.testing.assert_array_equal(resumed.get(values), alone.get(values))
    runs = EvaluationStore(tmp_path / "users.db").runs()
    assert (runs[0].n_eval, runs[0].n_fresh) == (60, 60)
    assert len(runs) == 3


def test_an_experiment_is_read_and_compared():
    results = ExperimentResults.load(DATA / "experiment")
    assert all(run.F.shape == (100, 2) for run in results.runs)
    compared = compare(DATA / "experiment")
    assert {outcome.algorithm for outcome in compared.runs} == {"MOELA", "NSGA-II"}
