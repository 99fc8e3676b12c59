"""Every name of the library that the cases use and that may change, so that it changes here only.

Settings are given as dictionaries, to be unpacked; functions stand for methods.
"""

from __future__ import annotations

from typing import Any

from moela import MOELA, indicators
from problems.moe import example as moe_example

__all__ = ["MOELA", "indicators", "moe_example"]

# ----------------------------------------------------------------------------- settings of MOELA

MODELS_OFF: dict[str, Any] = {"start_model": None, "move_model": None, "surrogate_size": 0}
"""No learned model at all."""

NO_LANDSCAPE: dict[str, Any] = {"landscape": False}
"""Moves are ranked by the move model alone."""

NO_SURROGATE: dict[str, Any] = {"surrogate_size": 0}
"""Evolution chooses its children without a model of the objectives."""


def neighborhood(n: int) -> dict[str, Any]:
    """Return the size of a neighborhood of sub-problems."""
    return {"n_neighbours": n}


def near_mating(share: float) -> dict[str, Any]:
    """Return how likely parents come from a neighborhood."""
    return {"prob_neighbour_mating": share}


def scalarization(by: str) -> dict[str, Any]:
    """Return by which scalar children replace members."""
    return {"scalarisation": by}


def reference(point: Any) -> dict[str, Any]:
    """Return the point to beat."""
    return {"reference": point}


def tried_neighbors(n: int) -> dict[str, Any]:
    """Return how many neighbors a rival's search tries in a step."""
    return {"n_neighbours": n}


def explored_neighbors(n: int) -> dict[str, Any]:
    """Return how many neighbors MOMAD looks at around an archived design."""
    return {"n_explore_neighbours": n}


def n_regions(algorithm: MOELA) -> int:
    """Return how often a run has set out: at its beginning, at restarts, and at returns."""
    return algorithm.n_regions


# ------------------------------------------------------------------------ settings of the problems


def devices(n: int, nodes: int | None = None) -> dict[str, Any]:
    """Return how many devices, on how many nodes, a problem of the MoE family has."""
    return {"devices": n} if nodes is None else {"devices": n, "nodes": nodes}


def replicas(n: int) -> dict[str, Any]:
    """Return how many replicas of experts may be placed."""
    return {"replicas": n}


def moe_aggregate(by: str) -> dict[str, Any]:
    """Return how several windows of traffic become one, in the MoE family."""
    return {"over": by}


def batch(n: int) -> dict[str, Any]:
    """Return the batch size of a deployment that is evaluated."""
    return {"batch_size": n}


# ------------------------------------------------------------------------------- methods and more


def neighbors(problem: Any, x: Any, k: int, rng: Any) -> Any:
    """Return k neighbors of a design."""
    return problem.neighbours(x, k, rng)


def neighbors_many(problem: Any, X: Any, k: int, rng: Any) -> Any:
    """Return k neighbors of each design."""
    return problem.neighbours_many(X, k, rng)


def random_knapsack(**settings: Any) -> Any:
    """Return a seeded knapsack."""
    from problems import MultiObjectiveKnapsack

    return MultiObjectiveKnapsack.random(**settings)
