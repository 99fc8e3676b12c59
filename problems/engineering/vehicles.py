"""Vehicles in crashes, as response surfaces of finite-element simulations.

References
----------
[JD14] H. Jain, K. Deb. An evolutionary many-objective optimization algorithm using reference-point
    based nondominated sorting approach, part II: handling constraints and extending to an adaptive
    approach. IEEE Transactions on Evolutionary Computation 18(4), 2014, 602-622.
[LLY08] X. Liao, Q. Li, X. Yang, W. Zhang, W. Li. Multiobjective optimization for crash safety
    design of vehicles using stepwise regression model. Structural and Multidisciplinary
    Optimization 35(6), 2008, 561-569.
"""

from __future__ import annotations

from typing import ClassVar

from pymoo.core.variable import Real, Variable

from problems.engineering.base import EngineeringProblem, Outputs, Values


class CarSideImpact(EngineeringProblem):
    """Weight, pubic force and velocity of the pillar of a car in a side impact [JD14].

    Variables are the thicknesses `x1` to `x7` (mm) of B-pillar inner and its reinforcement, floor
    side, cross members, door beam, door belt line, and roof rail. The load on the abdomen, three
    viscous criteria, three rib deflections, the force and two velocities are limited.

    Examples
    --------
    >>> import numpy as np
    >>> from problems.engineering import CarSideImpact
    >>> lightest = [[0.5, 0.45, 0.5, 0.5, 0.875, 0.4, 0.4]]
    >>> CarSideImpact().evaluate(np.array(lightest))[0].round(3).tolist()
    [[15.576, 4.427, 13.091]]
    """

    variables: ClassVar[dict[str, Variable]] = {
        "x1": Real(bounds=(0.5, 1.5)),
        "x2": Real(bounds=(0.45, 1.35)),
        "x3": Real(bounds=(0.5, 1.5)),
        "x4": Real(bounds=(0.5, 1.5)),
        "x5": Real(bounds=(0.875, 2.625)),
        "x6": Real(bounds=(0.4, 1.2)),
        "x7": Real(bounds=(0.4, 1.2)),
    }
    objective_names = ("weight", "pubic force", "velocity")
    constraint_names = (
        "abdomen load", "viscous criterion, upper", "viscous criterion, middle",
        "viscous criterion, lower", "rib deflection, upper", "rib deflection, middle",
        "rib deflection, lower", "pubic force", "velocity of the pillar", "velocity of the door",
    )  # fmt: skip

    def _formulas(self, v: Values) -> Outputs:
        x1, x2, x3, x4, x5, x6, x7 = (v[name] for name in self.variables)
        weight = (
            1.98 + 4.9 * x1 + 6.67 * x2 + 6.98 * x3 + 4.01 * x4 + 1.78 * x5 + 1e-5 * x6 + 2.73 * x7
        )
        force = 4.72 - 0.5 * x4 - 0.19 * x2 * x3
        pillar = 10.58 - 0.674 * x1 * x2 - 0.67275 * x2
        door = 16.45 - 0.489 * x3 * x7 - 0.843 * x5 * x6
        viscous = (
            0.261 - 0.0159 * x1 * x2 - 0.06486 * x1 - 0.019 * x2 * x7
            + 0.0144 * x3 * x5 + 0.0154464 * x6,
            0.214 + 0.00817 * x5 - 0.045195 * x1 - 0.0135168 * x1 + 0.03099 * x2 * x6
            - 0.018 * x2 * x7 + 0.007176 * x3 + 0.023232 * x3 - 0.00364 * x5 * x6 - 0.018 * x2**2,
            0.74 - 0.61 * x2 - 0.031296 * x3 - 0.031872 * x7 + 0.227 * x2**2,
        )  # fmt: skip
        ribs = (
            28.98 + 3.818 * x3 - 4.2 * x1 * x2 + 1.27296 * x6 - 2.68065 * x7,
            33.86 + 2.95 * x3 - 5.057 * x1 * x2 - 3.795 * x2 - 3.4431 * x7 + 1.45728,
            46.36 - 9.9 * x2 - 4.4505 * x1,
        )
        constraints = (
            1.16 - 0.3717 * x2 * x4 - 0.0092928 * x3 - 1.0,
            *(value / 0.32 - 1.0 for value in viscous),
            *(value / 32.0 - 1.0 for value in ribs),
            force / 4.0 - 1.0,
            pillar / 9.9 - 1.0,
            door / 15.7 - 1.0,
        )
        return (weight, force, 0.5 * (pillar + door)), constraints


class VehicleFront(EngineeringProblem):
    """Mass, acceleration and intrusion of the front of a vehicle in crashes [LLY08].

    Variables are the thicknesses `t1` to `t5` (mm) of five parts of the front. Objectives are the
    mass (kg), the acceleration in a full frontal crash (m/s^2) and the intrusion of the toe board
    in an offset crash (m).

    Examples
    --------
    >>> import numpy as np
    >>> from problems.engineering import VehicleFront
    >>> VehicleFront().evaluate(np.ones((1, 5))).round(4).tolist()
    [[1661.7078, 8.3046, 0.0708]]
    """

    variables: ClassVar[dict[str, Variable]] = {
        f"t{i}": Real(bounds=(1.0, 3.0)) for i in range(1, 6)
    }
    objective_names = ("mass", "acceleration", "intrusion")

    def _formulas(self, v: Values) -> Outputs:
        t1, t2, t3, t4, t5 = (v[name] for name in self.variables)
        mass = (
            1640.2823 + 2.3573285 * t1 + 2.3220035 * t2 + 4.5688768 * t3 + 7.7213633 * t4
            + 4.4559504 * t5
        )  # fmt: skip
        acceleration = (
            6.5856 + 1.15 * t1 - 1.0427 * t2 + 0.9738 * t3 + 0.8364 * t4 - 0.3695 * t1 * t4
            + 0.0861 * t1 * t5 + 0.3628 * t2 * t4 - 0.1106 * t1**2 - 0.3437 * t3**2
            + 0.1764 * t4**2
        )  # fmt: skip
        intrusion = (
            -0.0551 + 0.0181 * t1 + 0.1024 * t2 + 0.0421 * t3 - 0.0073 * t1 * t2 + 0.024 * t2 * t3
            - 0.0118 * t2 * t4 - 0.0204 * t3 * t4 - 0.008 * t3 * t5 - 0.0241 * t2**2
            + 0.0109 * t4**2
        )  # fmt: skip
        return (mass, acceleration, intrusion), ()
