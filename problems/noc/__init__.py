"""3D network-on-chip manycores: the platform, its traffic, designs, and the pymoo problem."""

from .design import Design
from .operators import NoCCrossover, NoCMutation, NoCSampling
from .platform import PEType, Platform
from .problem import NoC3D
from .traffic import load_traffic, synthetic_traffic

__all__ = [
    "Design",
    "NoC3D",
    "NoCCrossover",
    "NoCMutation",
    "NoCSampling",
    "PEType",
    "Platform",
    "load_traffic",
    "synthetic_traffic",
]
