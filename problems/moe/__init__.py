"""Deployment of Mixture-of-Experts models: gating, buffering and placement, alone and jointly."""

from problems.moe import _needs as _needs
from problems.moe.buffering.plan import BufferPlan
from problems.moe.buffering.problem import ExpertBuffering
from problems.moe.buffering.rules import OffloadRule
from problems.moe.deployment.problem import MoEDeployment
from problems.moe.gating.cache_aware import CacheAwareRouting, RoutingPlan
from problems.moe.gating.measured_quality import MeasuredLoss
from problems.moe.gating.problem import GatePlan, GatingThresholds
from problems.moe.placement.problem import ExpertPlacement
from problems.moe.serving.problem import MoEServing

__all__ = [
    "BufferPlan",
    "CacheAwareRouting",
    "ExpertBuffering",
    "ExpertPlacement",
    "GatePlan",
    "GatingThresholds",
    "MeasuredLoss",
    "MoEDeployment",
    "MoEServing",
    "OffloadRule",
    "RoutingPlan",
]
