"""Deployment of Mixture-of-Experts models: gating thresholds, buffering, placement, all jointly."""

from .buffering import BufferPlan, ExpertBuffering
from .deployment import MoEDeployment
from .gating import GatePlan, GatingThresholds
from .measured_quality import MeasuredLoss
from .placement import ExpertPlacement

__all__ = [
    "BufferPlan",
    "ExpertBuffering",
    "ExpertPlacement",
    "GatePlan",
    "GatingThresholds",
    "MeasuredLoss",
    "MoEDeployment",
]
