"""3D network-on-chip manycores: the platform, its traffic, designs, and the pymoo problem."""

from problems.noc.chip.package import chiplet_package
from problems.noc.chip.pe_type import PEType
from problems.noc.chip.platform import Platform
from problems.noc.chip.stack import ThermalStack
from problems.noc.chip.technology import DieLink, Technology
from problems.noc.chip.traffic import OverloadWarning, load_traffic, synthetic_traffic
from problems.noc.comparison import BaselineComparison
from problems.noc.design.calibration import calibrate
from problems.noc.design.deadlock import DeadlockProof
from problems.noc.design.design import Design
from problems.noc.design.heat import steady_temperatures
from problems.noc.design.physical import PhysicalFigures
from problems.noc.operators import NoCCrossover, NoCMutation, NoCSampling
from problems.noc.problem import NoC3D
from problems.noc.simulation.simulate import CONTROL_AND_DATA, LoadSweep, SimulationResult

__all__ = [
    "CONTROL_AND_DATA",
    "BaselineComparison",
    "DeadlockProof",
    "Design",
    "DieLink",
    "LoadSweep",
    "NoC3D",
    "NoCCrossover",
    "NoCMutation",
    "NoCSampling",
    "OverloadWarning",
    "PEType",
    "PhysicalFigures",
    "Platform",
    "SimulationResult",
    "Technology",
    "ThermalStack",
    "calibrate",
    "chiplet_package",
    "load_traffic",
    "steady_temperatures",
    "synthetic_traffic",
]
