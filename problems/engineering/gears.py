"""Gears.

References
----------
[Go70] J. Golinski. Optimal synthesis problems solved by means of nonlinear programming and random
    methods. Journal of Mechanisms 5(3), 1970, 287-309.
[KAW02] A. Kurpati, S. Azarm, J. Wu. Constraint handling improvements for multiobjective genetic
    algorithms. Structural and Multidisciplinary Optimization 23(3), 2002, 204-213.
[DS06] K. Deb, A. Srinivasan. Innovization: innovating design principles through optimization.
    GECCO 2006, 1629-1636.
[KK94] B. K. Kannan, S. N. Kramer. An augmented Lagrange multiplier based method for mixed integer
    discrete continuous optimization and its applications to mechanical design. Journal of
    Mechanical Design 116(2), 1994, 405-411.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pymoo.core.variable import Integer, Real, Variable

from problems.engineering.base import EngineeringProblem, Outputs, Values


class SpeedReducer(EngineeringProblem):
    """Weight and stress of a speed reducer [Go70, KAW02].

    Variables are the `face` width and `module` of the teeth (cm), the number of `teeth` of the
    pinion, an integer, the lengths `l1` and `l2` of the shafts between bearings and their diameters
    `d1` and `d2` (cm). Objectives are the weight and the stress in the first shaft.

    Examples
    --------
    >>> import numpy as np
    >>> from problems.engineering import SpeedReducer
    >>> names = ["face", "module", "teeth", "l1", "l2", "d1", "d2"]
    >>> best = [3.5, 0.7, 17, 7.3, 7.71532, 3.350215, 5.286654]
    >>> SpeedReducer().evaluate(np.array([dict(zip(names, best))]))[0].round(1).tolist()
    [[2994.5, 1100.0]]
    """

    variables: ClassVar[dict[str, Variable]] = {
        "face": Real(bounds=(2.6, 3.6)),
        "module": Real(bounds=(0.7, 0.8)),
        "teeth": Integer(bounds=(17, 28)),
        "l1": Real(bounds=(7.3, 8.3)),
        "l2": Real(bounds=(7.3, 8.3)),
        "d1": Real(bounds=(2.9, 3.9)),
        "d2": Real(bounds=(5.0, 5.5)),
    }
    objective_names = ("weight", "stress")
    constraint_names = (
        "bending of teeth", "contact of teeth", "deflection 1", "deflection 2", "space",
        "narrow face", "wide face", "length 1", "length 2", "stress 1", "stress 2",
    )  # fmt: skip

    def _formulas(self, v: Values) -> Outputs:
        face, module, teeth, l1, l2, d1, d2 = (v[name] for name in self.variables)
        weight = (
            0.7854 * face * module**2 * (10.0 * teeth**2 / 3.0 + 14.9334 * teeth - 43.0934)
            - 1.508 * face * (d1**2 + d2**2)
            + 7.4777 * (d1**3 + d2**3)
            + 0.7854 * (l1 * d1**2 + l2 * d2**2)
        )
        pitch = module * teeth
        stress = [
            np.sqrt((745.0 * length / pitch) ** 2 + load) / (0.1 * d**3)
            for length, d, load in ((l1, d1, 1.69e7), (l2, d2, 1.575e8))
        ]
        constraints = (
            27.0 / (face * module * pitch) - 1.0,
            397.5 / (face * pitch**2) - 1.0,
            1.93 * l1**3 / (pitch * d1**4) - 1.0,
            1.93 * l2**3 / (pitch * d2**4) - 1.0,
            pitch / 40.0 - 1.0,
            1.0 - face / module / 5.0,
            face / module / 12.0 - 1.0,
            (1.5 * d1 + 1.9) / l1 - 1.0,
            (1.1 * d2 + 1.9) / l2 - 1.0,
            stress[0] / 1300.0 - 1.0,
            stress[1] / 1100.0 - 1.0,
        )
        return (weight, stress[0]), constraints


class GearTrain(EngineeringProblem):
    """Error of the ratio and size of a compound gear train [KK94, DS06].

    Variables are the numbers of teeth of the `first` and `second` driver and of the `third` and
    `fourth` gear, which they drive; all are integers. Objectives are the deviation of the ratio
    from 6.931 and the largest number of teeth. The deviation is at most half of 6.931.

    Examples
    --------
    >>> import numpy as np
    >>> from problems.engineering import GearTrain
    >>> best = {"first": 16, "second": 19, "third": 43, "fourth": 49}
    >>> GearTrain().evaluate(np.array([best]))[0].round(6).tolist()
    [[7.9e-05, 49.0]]
    """

    variables: ClassVar[dict[str, Variable]] = {
        name: Integer(bounds=(12, 60)) for name in ("first", "second", "third", "fourth")
    }
    objective_names = ("error of the ratio", "largest gear")
    constraint_names = ("error of the ratio",)

    def _formulas(self, v: Values) -> Outputs:
        error = np.abs(6.931 - v["third"] * v["fourth"] / (v["first"] * v["second"]))
        largest = np.stack([v[name] for name in self.variables]).max(axis=0)
        return (error, largest), (error / 6.931 - 0.5,)
