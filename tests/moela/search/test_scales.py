"""Runs on huge and tiny objectives; `tests.benchmarks.survival.scales` has many more."""

from __future__ import annotations

import numpy as np
import pytest

from moela import MOELA
from tests.benchmarks.survival import scaled, scales

# Evaluations that reach the surrogate, the Hamming-kernel model, restarts and thinned archives.
RUNS = {
    "zdt1": (130, {}),
    "dtlz2, 5 objectives": (120, {"archive_size": 20}),
    "mw7, constrained": (130, {}),
    "mixed variables": (150, {}),
    "qap": (600, {"n_subproblems": 10}),
    "mnk": (500, {"n_subproblems": 10, "restarts": True}),
    "noc, 3 objectives": (150, {}),
}


@pytest.mark.parametrize("name", RUNS)
def test_run_on_objectives_times_powers_of_two_is_the_same(name):
    (n_eval, settings), problem = RUNS[name], scales.CASES[name].make()
    with scales.strictly():
        plain = scaled.Run(problem, MOELA(**settings), n_eval, 1)
        for e in (-830, (830, -830)):
            powers = np.resize(e, problem.n_obj)
            other = scaled.times_powers_of_two(problem, powers, int(powers[0]))
            assert plain.is_scaled(scaled.Run(other, MOELA(**settings), n_eval, 1), powers), e


@pytest.mark.parametrize("edge", scales.EDGES)
@pytest.mark.parametrize("name", ["zdt1", "mnk"])
def test_run_at_the_edge_of_the_range_of_floats(name, edge):
    assert scales.at_the_edge(name, "MOELA", edge, 1, 90 if name == "zdt1" else 250) == ""


def test_run_of_extents_whose_partial_products_are_out_of_range():
    assert scales.at_the_edge("noc, 5 objectives", "MOELA", "from -1e300 to -1e-300", 1, 60) == ""


def volume_with(value, **which):
    other = scaled.penalized(scales.CASES["zdt1"].make(), value, 1.0 / 3.0, **which)
    with scales.strictly():
        F = scaled.Run(other, MOELA(), 250, 1).result.F
    return scales.hypervolume(F, (1.1, 7.0))


@pytest.mark.parametrize("columns", [slice(None), [0]], ids=["all", "one"])
def test_penalties_of_1e308_cost_no_more_than_small_ones(columns):
    # The ratio was between 0.90 and 1.09 for seven seeds, 0.98 and 0.96 for this one.
    assert volume_with(1e308, columns=columns) > 0.85 * volume_with(1e3, columns=columns)


def test_penalties_of_all_first_designs():
    volumes = []
    for value in (1e3, 1e308):
        done = []

        def penalty(X, F, value=value, done=done):
            done.extend(F)
            return np.full_like(F, value) if len(done) <= 50 else F

        problem = scaled.changed(scales.CASES["zdt1"].make(), lambda F: F, penalty=penalty)
        with scales.strictly():
            F = scaled.Run(problem, MOELA(), 250, 1).result.F
        volumes.append(scales.hypervolume(F, (1.1, 7.0)))
    # The same for this seed; designs that are all equal say nothing, whatever their objectives.
    assert volumes[1] > 0.95 * volumes[0]
