"""Mixture-of-Experts models on 3D networks-on-chip: traffic of recorded routing, joint design."""

from problems.moe_on_chip.chip import MoEChip
from problems.moe_on_chip.demand import Activations, Roles
from problems.moe_on_chip.matrices import traffic
from problems.moe_on_chip.problem import MoEOnChip

__all__ = ["Activations", "MoEChip", "MoEOnChip", "Roles", "traffic"]
