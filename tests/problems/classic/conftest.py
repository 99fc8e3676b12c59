"""Small instances for the tests of the classic problems."""

from __future__ import annotations

import numpy as np
import pytest

from problems.classic import MNKLandscape, MultiObjectiveKnapsack, MultiObjectiveQAP


@pytest.fixture
def rng():
    return np.random.default_rng(7)


MAKERS = {
    "qap-uniform": lambda: MultiObjectiveQAP.random(
        n_facilities=7, n_obj=2, correlation=-0.5, seed=3
    ),
    "qap-real": lambda: MultiObjectiveQAP.random(
        n_facilities=6, n_obj=3, kind="real-like", correlation=[0.4, -0.4], seed=2
    ),
    "knapsack-2": lambda: MultiObjectiveKnapsack.random(n_items=14, correlation=-0.6, seed=1),
    "knapsack-3": lambda: MultiObjectiveKnapsack.random(n_items=12, n_obj=3, tightness=0.4, seed=2),
    "mnk-2": lambda: MNKLandscape.random(n=11, k=3, n_obj=2, rho=-0.5, seed=4),
    "mnk-3": lambda: MNKLandscape.random(n=9, k=0, n_obj=3, rho=0.3, seed=5),
}


@pytest.fixture(params=sorted(MAKERS))
def problem(request):
    return MAKERS[request.param]()
