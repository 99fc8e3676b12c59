"""Reference points and hypervolumes of the best-known fronts, by the name of the problem.

Written by ``python -m tests.benchmarks.engineering_fronts``.
"""

from __future__ import annotations

BEST_KNOWN: dict[str, tuple[tuple[float, ...], float]] = {
    "CarSideImpact": ((44.6499, 4.04147, 12.6737), 12.568614585248431),
    "ConcreteBeam": ((403.656, 200.948), 51640.41111930518),
    "DiscBrake": ((3.05918, 17.702), 40.922333510878076),
    "FourBarTruss": ((3051.22, 0.0437239), 54.546095750477754),
    "GearTrain": ((3.58312, 51.6), 85.89374010680547),
    "HelicalSpring": ((28.9222, 196858.0), 2870406.831242312),
    "PressureVessel": ((382529.0, 5852250.0), 15780046222559.645),
    "SpeedReducer": ((6067.76, 1359.41), 2135287.09674455),
    "TwoBarTruss": ((0.0564641, 109072.0), 4649.6276294925665),
    "VehicleFront": ((1698.55, 11.206, 0.286457), 36.39714386111966),
    "WeldedBeam": ((42.1833, 0.00749915), 0.24627988681803384),
}
