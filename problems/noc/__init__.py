"""3D network-on-chip manycores: the platform, its traffic, designs, and the pymoo problem."""

from .calibration import calibrate
from .design import Design
from .heat import steady_temperatures
from .operators import NoCCrossover, NoCMutation, NoCSampling
from .pe_type import PEType
from .platform import Platform
from .problem import NoC3D
from .stack import ThermalStack
from .traffic import load_traffic, synthetic_traffic

__all__ = [
    "Design",
    "NoC3D",
    "NoCCrossover",
    "NoCMutation",
    "NoCSampling",
    "PEType",
    "Platform",
    "ThermalStack",
    "calibrate",
    "load_traffic",
    "steady_temperatures",
    "synthetic_traffic",
]
