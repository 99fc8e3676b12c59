"""Cases of the classic problems: instances, exact fronts, operators."""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

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
CLASSES = {"qap": MultiObjectiveQAP, "knapsack": MultiObjectiveKnapsack, "mnk": MNKLandscape}
DATA = {"qap": ("distance", "flow"), "knapsack": ("weights", "values"), "mnk": ("links", "tables")}


def family(kind: str) -> dict[str, Any]:
    """Return the data, evaluations, operators and exact fronts of instances of a kind."""
    parts: dict[str, Any] = {}
    for name, make in INSTANCES[kind].items():
        problem = make()
        exact = problem.exact_front()
        assert exact is not None
        back = written_and_read(problem, kind)
        X = problem.operators()["sampling"](problem, 6, random_state=np.random.default_rng(8)).get(
            "X"
        )
        parts[name] = parts_of(problem)
        parts[f"{name} data"] = [getattr(problem, word) for word in DATA[kind]]
        parts[f"{name} from a file"] = back.evaluate(X)
        parts[f"{name} front"] = [exact.F, exact.X, problem.best_known_hypervolume]
    return parts


def written_and_read(problem: Any, kind: str) -> Any:
    """Return an instance after writing it to a file and reading it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "instance.dat"
        problem.to_file(path)
        return CLASSES[kind].from_file(path)


def knapsack_repair() -> dict[str, Any]:
    """Return repaired versions of packings that are too heavy, and items by efficiency."""
    problem = MultiObjectiveKnapsack.random(n_items=50, seed=4)
    X = np.random.default_rng(5).random((10, 50)) < 0.7
    orders = problem.greedy_orders(np.random.default_rng(6).dirichlet([1, 1], size=8))
    return {
        "repaired": problem.repair(X),
        "at random": problem.repair(X, np.random.default_rng(7)),
        "filled": [orders, problem.fill(orders)],
    }


CASES = {
    **{f"classic {kind}": partial(family, kind) for kind in INSTANCES},
    "classic knapsack repair": knapsack_repair,
}
