"""Cases of the classic problems: instances, exact fronts, operators."""

from __future__ import annotations

from functools import partial
from typing import Any

from problems import MNKLandscape, MultiObjectiveKnapsack, MultiObjectiveQAP

from .running import parts_of

INSTANCES: dict[str, Any] = {
    "qap": {
        "uniform": partial(MultiObjectiveQAP.random, n_facilities=8, seed=1),
        "correlated": partial(
            MultiObjectiveQAP.random, n_facilities=7, n_obj=3, correlation=0.4, seed=2
        ),
        "real-like": partial(MultiObjectiveQAP.random, n_facilities=8, kind="real-like", seed=3),
    },
    "knapsack": {
        "two": partial(MultiObjectiveKnapsack.random, n_items=40, seed=1),
        "three": partial(
            MultiObjectiveKnapsack.random, n_items=15, n_obj=3, correlation=-0.3, seed=2
        ),
    },
    "mnk": {
        "two": partial(MNKLandscape.random, n=14, k=3, seed=1),
        "three": partial(MNKLandscape.random, n=12, k=5, n_obj=3, rho=0.5, seed=2),
    },
}
DATA = {"qap": ("distance", "flow"), "knapsack": ("weights", "values"), "mnk": ("links", "tables")}


def family(kind: str) -> dict[str, Any]:
    """Return the data, evaluations, operators and exact fronts of instances of a kind."""
    parts: dict[str, Any] = {}
    for name, make in INSTANCES[kind].items():
        problem = make()
        exact = problem.exact_front()
        assert exact is not None
        parts[name] = parts_of(problem)
        parts[f"{name} data"] = [getattr(problem, word) for word in DATA[kind]]
        parts[f"{name} front"] = [exact.F, exact.X, problem.best_known_hypervolume]
    return parts


CASES = {f"classic {kind}": partial(family, kind) for kind in INSTANCES}
