"""Deployment of Mixture-of-Experts models: gating thresholds, buffering, placement, all jointly."""

from .buffering import BufferPlan, ExpertBuffering
from .gating import GatePlan, GatingThresholds
from .placement import ExpertPlacement

__all__ = ["BufferPlan", "ExpertBuffering", "ExpertPlacement", "GatePlan", "GatingThresholds"]
