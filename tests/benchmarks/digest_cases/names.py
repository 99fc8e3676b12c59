"""Names of the library that the cases use and that may change, so that they change here only.

Settings are dictionaries of keyword arguments. Functions stand for methods.
"""

from __future__ import annotations

from typing import Any

from moe_costmodel.example import measured as moe_example
from moela import MOELA, Models
from moela.quality import indicators

__all__ = ["MOELA", "indicators", "moe_example"]

# ----------------------------------------------------------------------------- settings of MOELA

MODELS_OFF: dict[str, Any] = {"models": None}
"""No learned models."""

NO_HAMMING_MODEL: dict[str, Any] = {"models": Models(hamming=False)}
"""Only the move model ranks moves."""

NO_SURROGATE: dict[str, Any] = {"models": Models(surrogate_size=0)}
"""Evolution selects its offspring without surrogates of the objectives."""

tuned = MOELA._tuned
"""Make MOELA with settings that are not parameters."""

PERTURBATION: dict[str, Any] = {"perturbation": True}
"""Some local searches begin from a perturbed design. A setting."""


def neighborhood(n: int) -> dict[str, Any]:
    """Return the setting of the neighborhood size of sub-problems."""
    return {"n_neighbors": n}


def near_mating(share: float) -> dict[str, Any]:
    """Return the setting of the probability of mating within a neighborhood."""
    return {"prob_neighbor_mating": share}


def scalarization(by: str) -> dict[str, Any]:
    """Return the setting of the scalarization by which offspring replace members."""
    return {"scalarization": by}


def ref_point(point: Any) -> dict[str, Any]:
    """Return the setting of the reference point."""
    return {"ref_point": point}


def tried_neighbors(n: int) -> dict[str, Any]:
    """Return the setting of the number of neighbors that a rival evaluates in a step."""
    return {"n_neighbors": n}


def explored_neighbors(n: int) -> dict[str, Any]:
    """Return the setting of the number of neighbors of an archived design that MOMAD evaluates."""
    return {"n_explore_neighbors": n}


def n_phases(algorithm: MOELA) -> int:
    """Return the number of search phases: the first, restarts, and returns from restarts."""
    return algorithm.n_phases


# ------------------------------------------------------------------------ settings of the problems


def devices(n: int, nodes: int | None = None) -> dict[str, Any]:
    """Return the settings of the numbers of devices and nodes of a MoE problem."""
    return {"n_devices": n} if nodes is None else {"n_devices": n, "n_nodes": nodes}


def replicas(n: int) -> dict[str, Any]:
    """Return the setting of the number of replicas of experts."""
    return {"replicas": n}


def moe_aggregate(by: str) -> dict[str, Any]:
    """Return the setting of the aggregation over windows of traffic."""
    return {"aggregate": by}


def normalized(wanted: bool) -> dict[str, Any]:
    """Return the setting for scaling the weights of a token to a sum of 1."""
    return {"normalize": wanted}


def batch(n: int) -> dict[str, Any]:
    """Return the argument for the batch size of a deployment."""
    return {"batch_size": n}


# ------------------------------------------------------------------------------- methods and more


def neighbors(problem: Any, x: Any, k: int, rng: Any) -> Any:
    """Return k neighbors of a design."""
    return problem.neighbors(x, k, rng)


def neighbors_many(problem: Any, X: Any, k: int, rng: Any) -> Any:
    """Return k neighbors of each design."""
    return problem.neighbors_many(X, k, rng)
