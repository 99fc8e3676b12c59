"""Engineering design problems of real, integer and discrete variables, with constraints.

Each problem takes the formulas of its papers. Numbers of parts are integers, sizes from a catalog
are choices, and limits are constraints. Each module lists its references.
"""

from problems.engineering.gears import GearTrain, SpeedReducer
from problems.engineering.machines import DiscBrake, HelicalSpring, PressureVessel, WeldedBeam
from problems.engineering.structures import ConcreteBeam, FourBarTruss, TwoBarTruss
from problems.engineering.vehicles import CarSideImpact, VehicleFront

__all__ = [
    "CarSideImpact",
    "ConcreteBeam",
    "DiscBrake",
    "FourBarTruss",
    "GearTrain",
    "HelicalSpring",
    "PressureVessel",
    "SpeedReducer",
    "TwoBarTruss",
    "VehicleFront",
    "WeldedBeam",
]
