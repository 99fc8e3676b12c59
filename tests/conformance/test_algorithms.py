"""Every algorithm passes the conformance checks; to add one, add a line to ALGORITHMS."""

from __future__ import annotations

from functools import partial

import pytest

from moela import MOELA
from moela.rivals import MOMAD, MOOS, MOOSTAGE, VSRLS, BatchMOEAD, MemeticGBT
from moela.testing import ALGORITHM_CHECKS, copies, run_algorithm_check

# Small settings, so that about 100 evaluations reach every phase.
ALGORITHMS = {
    "MOELA": partial(MOELA, n_subproblems=12, n_searches=4, patience=4),
    "MOELA, half search, batches": partial(
        MOELA,
        n_subproblems=12,
        n_searches=3,
        patience=4,
        batch_size=9,
        shares={"evolution": 1, "search": 1, "pareto": 1},
    ),
    "MOELA, no learning": partial(MOELA, n_subproblems=12, models=None),
    "MOELA as published": partial(
        MOELA.published, n_subproblems=12, n_neighbors=5, n_children=1, n_random_generations=1
    ),
    "MOOS": partial(MOOS, n_init=15),
    "MOOSTAGE": partial(
        MOOSTAGE, n_init=15, n_neighbors=4, max_steps=3, n_trees=5, n_model_steps=3
    ),
    "MOMAD": partial(MOMAD, n_subproblems=12, patience=2, n_explore=3, n_explore_neighbors=3),
    "MOMAD, perturbation": partial(
        MOMAD, n_subproblems=12, patience=2, n_explore=0, restart="perturbation"
    ),
    "BatchMOEAD": partial(BatchMOEAD, n_subproblems=15, batch_size=6),
    "VSRLS": partial(VSRLS, n_init=15, batch_size=6),
    "MemeticGBT": partial(
        MemeticGBT, pop_size=15, batch_size=20, n_children=20, n_neighbors=5, n_steps=2, n_trees=3
    ),
}


@pytest.mark.parametrize("check", ALGORITHM_CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", ALGORITHMS)
def test_algorithm(name, check):
    run_algorithm_check(check, ALGORITHMS[name])


@pytest.mark.few_evaluations
def test_few_evaluations(monkeypatch):
    # Of 25 evaluations, 10 are first designs; then the infill is asked 8 times. The last time, its
    # processes learn new rows without being fitted again. The check compares a run of `minimize`
    # with one by ask and tell, so it shows that ask and tell, and the same seed, give the same run.
    monkeypatch.setattr(copies, "N_EVAL", 25)
    run_algorithm_check(copies.check_copies, partial(ALGORITHMS["MOELA"], batch_size=2))
