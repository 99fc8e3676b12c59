"""Machine parts: a welded beam, a disc brake, a spring, a pressure vessel.

References
----------
[De00] K. Deb. An efficient constraint handling method for genetic algorithms. Computer Methods in
    Applied Mechanics and Engineering 186(2-4), 2000, 311-338.
[RL02] T. Ray, K. M. Liew. A swarm metaphor for multiobjective design optimization. Engineering
    Optimization 34(2), 2002, 141-153.
[KK94] B. K. Kannan, S. N. Kramer. An augmented Lagrange multiplier based method for mixed integer
    discrete continuous optimization and its applications to mechanical design. Journal of
    Mechanical Design 116(2), 1994, 405-411.
[DS06] K. Deb, A. Srinivasan. Innovization: innovating design principles through optimization.
    GECCO 2006, 1629-1636.
[KW21] A. Kumar, G. Wu, M. Z. Ali, Q. Luo, R. Mallipeddi, P. N. Suganthan, S. Das. A
    benchmark-suite of real-world constrained multi-objective optimization problems and some
    baseline results. Swarm and Evolutionary Computation 67, 2021, 100961.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pymoo.core.variable import Choice, Integer, Real, Variable

from problems.engineering.base import EngineeringProblem, Outputs, Values

# Diameters (in) of wire that are made [KK94].
_WIRES = [
    0.009, 0.0095, 0.0104, 0.0118, 0.0128, 0.0132, 0.014, 0.015, 0.0162, 0.0173, 0.018, 0.02, 0.023,
    0.025, 0.028, 0.032, 0.035, 0.041, 0.047, 0.054, 0.063, 0.072, 0.08, 0.092, 0.105, 0.12, 0.135,
    0.148, 0.162, 0.177, 0.192, 0.207, 0.225, 0.244, 0.263, 0.283, 0.307, 0.331, 0.362, 0.394,
    0.4375, 0.5,
]  # fmt: skip


class WeldedBeam(EngineeringProblem):
    """Cost and deflection of a welded beam [De00].

    Variables (in) are height `h` and length `l` of the weld, depth `t` and width `b` of the beam.
    Shear stress, bending stress, the width of the weld and the buckling load are limited.

    Examples
    --------
    >>> import numpy as np
    >>> from problems.engineering import WeldedBeam
    >>> WeldedBeam().evaluate(np.array([[0.2444, 6.2187, 8.2915, 0.2444]]))[0].round(4).tolist()
    [[2.3815, 0.0158]]
    """

    variables: ClassVar[dict[str, Variable]] = {
        "h": Real(bounds=(0.125, 5.0)),
        "l": Real(bounds=(0.1, 10.0)),
        "t": Real(bounds=(0.1, 10.0)),
        "b": Real(bounds=(0.125, 5.0)),
    }
    objective_names = ("cost", "deflection")
    constraint_names = ("shear stress", "bending stress", "weld", "buckling")

    def _formulas(self, v: Values) -> Outputs:
        h, length, t, b = (v[name] for name in "hltb")
        cost = 1.10471 * h**2 * length + 0.04811 * t * b * (14.0 + length)
        arm = np.sqrt(0.25 * (length**2 + (h + t) ** 2))
        direct = 6000.0 / (np.sqrt(2.0) * h * length)
        inertia = 2.0 * 0.707 * h * length * (length**2 / 12.0 + 0.25 * (h + t) ** 2)
        torsion = 6000.0 * (14.0 + 0.5 * length) * arm / inertia
        shear = np.sqrt(direct**2 + torsion**2 + length * direct * torsion / arm)
        buckling = 64746.022 * (1.0 - 0.0282346 * t) * t * b**3
        constraints = (
            shear / 13600.0 - 1.0,
            504000.0 / (t**2 * b) / 30000.0 - 1.0,
            h - b,
            1.0 - buckling / 6000.0,
        )
        return (cost, 2.1952 / (t**3 * b)), constraints


class DiscBrake(EngineeringProblem):
    """Mass and stopping time of a brake with several discs [RL02].

    Variables are the `inner` and `outer` radius of the discs (mm), the engaging `force` (N) and the
    number of friction `surfaces`, an integer. Objectives are the mass (kg) and the time (s); limits
    are the width of the ring, the length of the brake, pressure, temperature, and torque.

    Examples
    --------
    >>> import numpy as np
    >>> from problems.engineering import DiscBrake
    >>> light = {"inner": 55.0, "outer": 75.0, "force": 3000.0, "surfaces": 2}
    >>> DiscBrake().evaluate(np.array([light]))[0].round(4).tolist()
    [[0.1274, 16.6549]]
    """

    variables: ClassVar[dict[str, Variable]] = {
        "inner": Real(bounds=(55.0, 80.0)),
        "outer": Real(bounds=(75.0, 110.0)),
        "force": Real(bounds=(1000.0, 3000.0)),
        "surfaces": Integer(bounds=(2, 20)),
    }
    objective_names = ("mass", "stopping time")
    constraint_names = ("ring width", "length", "pressure", "temperature", "torque")

    def _formulas(self, v: Values) -> Outputs:
        inner, outer, force, surfaces = (v[name] for name in self.variables)
        area = outer**2 - inner**2
        # The ratio of the differences of cubes and squares, which is finite for equal radii too.
        ratio = (inner**2 + inner * outer + outer**2) / (inner + outer)
        # A ring narrower than 0.1 mm has the limits of one of 0.1 mm, which are finite.
        pressed = np.maximum(area, 0.1 * (inner + outer))
        mass = 4.9e-5 * area * (surfaces - 1.0)
        time = 9.82e6 / (force * surfaces * ratio)
        constraints = (
            20.0 - (outer - inner),
            2.5 * (surfaces + 1.0) - 30.0,
            force / (3.14 * pressed) - 0.4,
            2.22e-3 * force * ratio / pressed - 1.0,
            1.0 - 2.66e-2 * force * surfaces * ratio / 900.0,
        )
        return (mass, time), constraints


class HelicalSpring(EngineeringProblem):
    """Volume of steel and stress of a helical compression spring [KK94, DS06].

    Variables are the number of `coils`, an integer, the diameter of the `wire` (in), one of 42 that
    are made, and the mean `diameter` of the coils (in). The load is 300 to 1,000 lb.

    Examples
    --------
    >>> import numpy as np
    >>> from problems.engineering import HelicalSpring
    >>> best = {"coils": 9, "wire": 0.283, "diameter": 1.223041}
    >>> HelicalSpring().evaluate(np.array([best]))[0].round(3).tolist()
    [[2.659, 187991.188]]
    """

    variables: ClassVar[dict[str, Variable]] = {
        "coils": Integer(bounds=(1, 32)),
        "wire": Choice(options=_WIRES),
        "diameter": Real(bounds=(1.0, 30.0)),
    }
    objective_names = ("volume", "stress")
    constraint_names = (
        "free length", "wire", "outer diameter", "spring index", "preload deflection",
        "working deflection", "stress", "volume",
    )  # fmt: skip

    def _formulas(self, v: Values) -> Outputs:
        coils, wire, diameter = v["coils"], v["wire"], v["diameter"]
        index = diameter / wire
        curvature = (4.0 * index - 1.0) / (4.0 * index - 4.0) + 0.615 / index
        stiffness = 11.5e6 * wire**4 / (8.0 * coils * diameter**3)
        volume = 0.25 * np.pi**2 * wire**2 * diameter * (coils + 2.0)
        stress = 8.0 * curvature * 1000.0 * diameter / (np.pi * wire**3)
        constraints = (
            (1000.0 / stiffness + 1.05 * (coils + 2.0) * wire) / 14.0 - 1.0,
            0.2 - wire,
            (diameter + wire) / 3.0 - 1.0,
            1.0 - index / 3.0,
            300.0 / stiffness / 6.0 - 1.0,
            1.0 - 700.0 / stiffness / 1.25,
            stress / 189000.0 - 1.0,
            volume / 30.0 - 1.0,
        )
        return (volume, stress), constraints


class PressureVessel(EngineeringProblem):
    """Cost and capacity of a cylindrical pressure vessel [KK94, KW21].

    Variables are the thicknesses of `shell` and `head`, in multiples of 1/16 in, both integers, the
    inner `radius` and the `length` of the cylinder (in). Objectives are the cost and minus the
    volume (in^3), as in RCM01 of [KW21].

    Examples
    --------
    >>> import numpy as np
    >>> from problems.engineering import PressureVessel
    >>> best = {"shell": 13, "head": 7, "radius": 42.098446, "length": 176.636596}
    >>> PressureVessel().evaluate(np.array([best]))[0].round(1).tolist()
    [[6059.7, -1296000.0]]
    """

    variables: ClassVar[dict[str, Variable]] = {
        "shell": Integer(bounds=(1, 99)),
        "head": Integer(bounds=(1, 99)),
        "radius": Real(bounds=(10.0, 200.0)),
        "length": Real(bounds=(10.0, 200.0)),
    }
    objective_names = ("cost", "minus volume")
    constraint_names = ("shell", "head")

    def _formulas(self, v: Values) -> Outputs:
        shell, head = 0.0625 * v["shell"], 0.0625 * v["head"]
        radius, length = v["radius"], v["length"]
        cost = (
            0.6224 * shell * radius * length
            + 1.7781 * head * radius**2
            + 3.1661 * shell**2 * length
            + 19.84 * shell**2 * radius
        )
        volume = np.pi * radius**2 * length + 4.0 / 3.0 * np.pi * radius**3
        return (cost, -volume), (0.0193 * radius - shell, 0.00954 * radius - head)
