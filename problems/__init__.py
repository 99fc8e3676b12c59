"""Design problems for pymoo: 3D networks-on-chip, Mixture-of-Experts deployment, classics."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from problems.classic import MNKLandscape, MultiObjectiveKnapsack, MultiObjectiveQAP
    from problems.moe import ExpertBuffering, ExpertPlacement, GatingThresholds, MoEDeployment
    from problems.noc import NoC3D

# Imported on first use, so that one family of problems does not load what another needs.
_HOMES = {
    "ExpertBuffering": "problems.moe",
    "ExpertPlacement": "problems.moe",
    "GatingThresholds": "problems.moe",
    "MNKLandscape": "problems.classic",
    "MoEDeployment": "problems.moe",
    "MultiObjectiveKnapsack": "problems.classic",
    "MultiObjectiveQAP": "problems.classic",
    "NoC3D": "problems.noc",
}

__all__ = [
    "ExpertBuffering",
    "ExpertPlacement",
    "GatingThresholds",
    "MNKLandscape",
    "MoEDeployment",
    "MultiObjectiveKnapsack",
    "MultiObjectiveQAP",
    "NoC3D",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'problems' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
