"""Deployment of Mixture-of-Experts models: gating thresholds, buffering, placement, all jointly."""

from .buffering import BufferPlan, ExpertBuffering
from .gating import GatePlan, GatingThresholds

__all__ = ["BufferPlan", "ExpertBuffering", "GatePlan", "GatingThresholds"]
