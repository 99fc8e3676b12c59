"""Deployment of Mixture-of-Experts models: gating thresholds, buffering, placement, all jointly."""

from .gating import GatePlan, GatingThresholds

__all__ = ["GatePlan", "GatingThresholds"]
