"""Every name of the library that the cases use and that may change, so that it changes here only.

Settings are given as dictionaries, to be unpacked; functions stand for methods.
"""

from __future__ import annotations

from typing import Any

from moe_costmodel.example import measured as moe_example
from moela import MOELA, Models
from moela.quality import indicators

__all__ = ["MOELA", "indicators", "moe_example"]

# ----------------------------------------------------------------------------- settings of MOELA

MODELS_OFF: dict[str, Any] = {"models": None}
"""No learned model at all."""

NO_HAMMING_MODEL: dict[str, Any] = {"models": Models(hamming=False)}
"""Moves are ranked by the move model alone."""

NO_SURROGATE: dict[str, Any] = {"models": Models(surrogate_size=0)}
"""Evolution chooses its children without a model of the objectives."""

tuned = MOELA._tuned
"""Make MOELA with settings that are not parameters."""

NO_PERTURBATION: dict[str, Any] = {"perturbation": False}
"""Local searches begin from archived designs only. A setting."""


def neighborhood(n: int) -> dict[str, Any]:
    """Return the size of a neighborhood of sub-problems."""
    return {"n_neighbors": n}


def near_mating(share: float) -> dict[str, Any]:
    """Return how likely parents come from a neighborhood; for MOELA, a setting."""
    return {"prob_neighbor_mating": share}


def scalarization(by: str) -> dict[str, Any]:
    """Return by which scalar children replace members; for MOELA, a setting."""
    return {"scalarization": by}


def ref_point(point: Any) -> dict[str, Any]:
    """Return the point to beat."""
    return {"ref_point": point}


def tried_neighbors(n: int) -> dict[str, Any]:
    """Return how many neighbors a rival's search tries in a step."""
    return {"n_neighbors": n}


def explored_neighbors(n: int) -> dict[str, Any]:
    """Return how many neighbors MOMAD looks at around an archived design."""
    return {"n_explore_neighbors": n}


def n_phases(algorithm: MOELA) -> int:
    """Return the number of search phases: the first, restarts, and returns."""
    return algorithm.n_phases


# ------------------------------------------------------------------------ settings of the problems


def devices(n: int, nodes: int | None = None) -> dict[str, Any]:
    """Return how many devices, on how many nodes, a problem of the MoE family has."""
    return {"n_devices": n} if nodes is None else {"n_devices": n, "n_nodes": nodes}


def replicas(n: int) -> dict[str, Any]:
    """Return how many replicas of experts may be placed."""
    return {"replicas": n}


def moe_aggregate(by: str) -> dict[str, Any]:
    """Return how several windows of traffic become one, in the MoE family."""
    return {"aggregate": by}


def normalized(wanted: bool) -> dict[str, Any]:
    """Return whether a token's weights are scaled to sum up to 1."""
    return {"normalize": wanted}


def batch(n: int) -> dict[str, Any]:
    """Return the batch size of a deployment that is evaluated."""
    return {"batch_size": n}


# ------------------------------------------------------------------------------- methods and more


def neighbors(problem: Any, x: Any, k: int, rng: Any) -> Any:
    """Return k neighbors of a design."""
    return problem.neighbors(x, k, rng)


def neighbors_many(problem: Any, X: Any, k: int, rng: Any) -> Any:
    """Return k neighbors of each design."""
    return problem.neighbors_many(X, k, rng)
