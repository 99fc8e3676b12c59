"""Designs of the wrong shape, settings beyond any memory, impossible fronts, and odd names."""

from __future__ import annotations

import numpy as np
import pytest

from problems import MNKLandscape, MultiObjectiveKnapsack, MultiObjectiveQAP

PROBLEMS = [
    MNKLandscape.random(n=6, k=2, seed=1),
    MultiObjectiveQAP.random(n_facilities=6),
    MultiObjectiveKnapsack.random(n_items=6, seed=1),
]


@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda problem: type(problem).__name__)
def test_designs_of_the_wrong_shape_are_named(problem):
    rng = np.random.default_rng(0)
    for call in (
        lambda: problem.neighbors_many(np.zeros(6, dtype=int), 2, rng),
        lambda: problem.neighbors(np.zeros(4, dtype=int), 2, rng),
        lambda: problem.decode(np.zeros(4, dtype=int)),
    ):
        with pytest.raises(
            ValueError, match=r"must have shape \[n, 6\], a row for each. Got shape"
        ):
            call()


@pytest.mark.parametrize(
    ("last", "kind"), [(4.5, object), (None, object), (4 + 0j, object), (4 + 0j, complex), (4, str)]
)
def test_an_assignment_of_anything_but_whole_numbers_is_refused(last, kind):
    problem = MultiObjectiveQAP.random(n_facilities=5)
    with pytest.raises(ValueError, match=r"must hold whole numbers only. Got .* in row 0"):
        problem.evaluate(np.array([[0, 1, 2, 3, last]], dtype=kind))


def test_numbers_beyond_all_limits_are_refused():
    with pytest.raises(ValueError, match=r"'capacity' parameter .* from 0 to 9007199254740992"):
        MultiObjectiveKnapsack(weights=[1], values=[[1, 2]], capacity=10**30)
    with pytest.raises(ValueError, match=r"tables of 16 GiB.* 31,250 GiB"):
        MNKLandscape.random(n=10**6, k=20)


@pytest.mark.parametrize("n_obj", [1, 2, 3])
def test_a_point_that_no_packing_reaches_is_refused(tmp_path, n_obj):
    problem = MultiObjectiveKnapsack.random(n_items=12, n_obj=n_obj, seed=1)
    F = problem.pareto_front()
    problem.to_file(tmp_path / "a.in")
    assert MultiObjectiveKnapsack.from_file(tmp_path / "a.in").pareto_front().tolist() == F.tolist()
    *lines, last = (tmp_path / "a.in").read_text().splitlines()
    last = " ".join(str(int(1.15 * int(value))) for value in last.split())
    (tmp_path / "a.in").write_text("\n".join([*lines[:14], "1", last]))
    with pytest.raises(ValueError, match="must be values of a packing within the capacity"):
        MultiObjectiveKnapsack.from_file(tmp_path / "a.in")
