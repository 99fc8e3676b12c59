"""Reference points and hypervolumes of the best-known fronts, by the name of the problem.

The front of `GearTrain` is that of all designs. Those of the others are the best of a run of MOELA
with 5,000 evaluations, one of NSGA-II with 15,000, a grid of 20 million designs where at most two
variables are real, and ten million small changes of the best designs.
"""

from __future__ import annotations

BEST_KNOWN: dict[str, tuple[tuple[float, ...], float]] = {
    "CarSideImpact": ((44.6499, 4.04147, 12.6737), 12.950858333413864),
    "ConcreteBeam": ((403.656, 200.948), 51733.20634659649),
    "DiscBrake": ((3.05918, 17.702), 40.983180793718844),
    "FourBarTruss": ((3051.22, 0.0437239), 54.58289560725683),
    "GearTrain": ((3.58312, 51.6), 85.89374010680547),
    "HelicalSpring": ((28.9222, 196858.0), 2912415.6131237475),
    "PressureVessel": ((382529.0, 5852250.0), 15902566118582.566),
    "SpeedReducer": ((6067.76, 1359.41), 2136866.1339128083),
    "TwoBarTruss": ((0.0564641, 109072.0), 4656.401775624352),
    "VehicleFront": ((1698.55, 11.206, 0.286457), 36.47453399215723),
    "WeldedBeam": ((42.1833, 0.00749915), 0.2471046313589748),
}
