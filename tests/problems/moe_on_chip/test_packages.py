"""Experts on packages of dies whose links are narrower, slower and costlier than those within."""

import numpy as np
import pytest

from problems.moe_on_chip import MoEOnChip, Roles
from problems.noc import DieLink, chiplet_package

ROLES = Roles(attention="die", experts="die", memory="die")
NAMES = ("p99_latency", "energy", "peak_load", "power", "flit_energy")


def values(trace, sizes, link):
    package = chiplet_package((2, 2), routers=(2, 2), max_length=1.0, link=link, technology="12nm")
    problem = MoEOnChip(
        trace, platform=package, activations=sizes, roles=ROLES, objectives=NAMES, batch_size=6,
        step_cycles=4000.0,
    )  # fmt: skip
    return problem, dict(zip(NAMES, problem.ref_point.tolist(), strict=True))


@pytest.fixture(scope="module")
def wide(trace, sizes):
    return values(trace, sizes, DieLink(latency=0.0, energy=0.0, bandwidth=16.0))[1]


def test_bandwidth_counts_in_load_and_latency(trace, sizes, wide):
    _, narrow = values(trace, sizes, DieLink(latency=0.0, energy=0.0, bandwidth=4.0))
    assert narrow["peak_load"] > 1.5 * wide["peak_load"]
    assert narrow["p99_latency"] > wide["p99_latency"] + 3.0
    for name in ("energy", "power", "flit_energy"):
        assert narrow[name] == pytest.approx(wide[name])


def test_latency_and_energy_count(trace, sizes, wide):
    _, slow = values(trace, sizes, DieLink(latency=3.0, energy=0.0, bandwidth=16.0))
    assert slow["p99_latency"] > wide["p99_latency"] + 1.0
    _, costly = values(trace, sizes, DieLink(latency=0.0, energy=0.6, bandwidth=16.0))
    for name in ("energy", "power", "flit_energy"):
        assert costly[name] > wide[name]
    assert costly["p99_latency"] == wide["p99_latency"]


def test_it_is_optimized_and_simulated(trace, sizes):
    problem, _ = values(trace, sizes, "ucie-standard")
    rows = problem.starts()
    assert np.isfinite(problem.evaluate(rows, return_as_dictionary=True)["F"]).all()
    moved = problem.neighbors(rows[0], 20, np.random.default_rng(0))
    assert np.isfinite(problem.evaluate(moved, return_as_dictionary=True)["F"]).all()
    chip = problem.decode(rows[0])
    result = chip.design.simulate(
        problem.traffic_of(chip), load=0.3, random_state=np.random.default_rng(0)
    )
    assert not result.saturated
