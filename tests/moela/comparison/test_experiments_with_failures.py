"""Comparisons of experiments in which some evaluations are no numbers."""

from __future__ import annotations

import numpy as np
import pytest
from pymoo.problems import get_problem

from moela import compare
from moela.experiments.recording import External
from moela.experiments.run import run_experiment


def answers(problem, n_eval, seed):
    """Return designs and objectives, of which some are no numbers."""
    rng = np.random.default_rng(seed)
    F = rng.random((n_eval, 2))
    F[1] = np.nan
    F[3, 0] = np.inf
    return rng.random((n_eval, problem.n_var)), F


def endless(problem, n_eval, seed):
    X, F = answers(problem, n_eval, seed)
    F[5, 1] = -np.inf
    return X, F


def test_evaluations_of_an_experiment_that_are_no_numbers_are_counted(tmp_path):
    problems = {"zdt1": get_problem("zdt1")}
    results = run_experiment(problems, {"own": External(answers)}, 2, 20, store=tmp_path)
    for given in (results, tmp_path):
        comparison = compare(given)
        assert [run.left_out["not finite"] for run in comparison.runs] == [2, 2]
        assert any("4 points not finite were left out" in text for text in comparison.caveats)
    refused = run_experiment(problems, {"own": External(endless)}, 1, 20)
    with pytest.raises(ValueError, match=r"Got -inf in row 5, column 1"):
        compare(refused)
