"""Trusses and beams.

References
----------
[SD92] W. Stadler, J. Dauer. Multicriteria optimization in engineering: a tutorial and survey.
    Structural Optimization: Status and Promise, 1992, 209-249.
[CL99] F. Y. Cheng, X. S. Li. Generalized center method for multiobjective engineering optimization.
    Engineering Optimization 31(5), 1999, 641-661.
[PAS98] N. Palli, S. Azarm, P. McCluskey, R. Sundararajan. An interactive multistage
    epsilon-inequality constraint method for multiple objectives decision making. Journal of
    Mechanical Design 120(4), 1998, 678-686.
[AH89] H. M. Amir, T. Hasegawa. Nonlinear mixed-discrete structural optimization. Journal of
    Structural Engineering 115(3), 1989, 626-646.
[TI20] R. Tanabe, H. Ishibuchi. An easy-to-use real-world multi-objective optimization problem
    suite. Applied Soft Computing 89, 2020, 106078.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pymoo.core.variable import Choice, Real, Variable

from problems.engineering.base import EngineeringProblem, Outputs, Values

_ROOT = float(np.sqrt(2.0))
# Areas (in^2) of reinforcement that bars of the sizes 3 to 11 add up to [AH89].
_AREAS = [
    0.2, 0.31, 0.4, 0.44, 0.6, 0.62, 0.79, 0.8, 0.88, 0.93, 1.0, 1.2, 1.24, 1.32, 1.4, 1.55, 1.58,
    1.6, 1.76, 1.8, 1.86, 2.0, 2.17, 2.2, 2.37, 2.4, 2.48, 2.6, 2.64, 2.79, 2.8, 3.0, 3.08, 3.1,
    3.16, 3.41, 3.52, 3.6, 3.72, 3.95, 3.96, 4.0, 4.03, 4.2, 4.34, 4.4, 4.65, 4.74, 4.8, 4.84, 5.0,
    5.28, 5.4, 5.53, 5.72, 6.0, 6.16, 6.32, 6.6, 7.11, 7.2, 7.8, 7.9, 8.0, 8.4, 8.69, 9.0, 9.48,
    10.27, 11.0, 11.06, 11.85, 12.0, 13.0, 14.0, 15.0,
]  # fmt: skip


class FourBarTruss(EngineeringProblem):
    """Volume and displacement of a truss of four bars [SD92, CL99].

    Variables are the cross-sections `a1` to `a4` (cm^2). Objectives are the volume (cm^3) and the
    displacement of the joint (cm), for a load of 10 kN, bars of 200 cm, a modulus of elasticity of
    2e5 kN/cm^2 and a stress of at most 10 kN/cm^2, which sets the lower bounds. RE21 of [TI20].

    Examples
    --------
    >>> import numpy as np
    >>> from problems.engineering import FourBarTruss
    >>> FourBarTruss().evaluate(np.array([[2.0, 2.0, 2.0, 2.0]])).round(4).tolist()
    [[2048.5281, 0.02]]
    """

    variables: ClassVar[dict[str, Variable]] = {
        "a1": Real(bounds=(1.0, 3.0)),
        "a2": Real(bounds=(_ROOT, 3.0)),
        "a3": Real(bounds=(_ROOT, 3.0)),
        "a4": Real(bounds=(1.0, 3.0)),
    }
    objective_names = ("volume", "displacement")

    def _formulas(self, v: Values) -> Outputs:
        load, modulus, length = 10.0, 2e5, 200.0
        volume = length * (2 * v["a1"] + _ROOT * v["a2"] + np.sqrt(v["a3"]) + v["a4"])
        compliance = 2 / v["a1"] + 2 * _ROOT / v["a2"] - 2 * _ROOT / v["a3"] + 2 / v["a4"]
        return (volume, load * length / modulus * compliance), ()


class TwoBarTruss(EngineeringProblem):
    """Volume and largest stress of a truss of two bars [PAS98].

    Variables are the cross-sections `ac` and `bc` (m^2) and the height `y` (m) of the joint.
    Objectives are the volume (m^3) and the larger of both stresses (kPa), which is limited to
    100,000 kPa. CRE21 of [TI20] has the stress of one bar as its objective instead.

    Examples
    --------
    >>> import numpy as np
    >>> from problems.engineering import TwoBarTruss
    >>> TwoBarTruss().evaluate(np.array([[0.01, 0.01, 3.0]]))[0].round(4).tolist()
    [[0.0816, 8432.7404]]
    """

    variables: ClassVar[dict[str, Variable]] = {
        "ac": Real(bounds=(1e-5, 0.01)),
        "bc": Real(bounds=(1e-5, 0.01)),
        "y": Real(bounds=(1.0, 3.0)),
    }
    objective_names = ("volume", "stress")
    constraint_names = ("stress",)

    def _formulas(self, v: Values) -> Outputs:
        long, short = np.sqrt(16.0 + v["y"] ** 2), np.sqrt(1.0 + v["y"] ** 2)
        volume = v["ac"] * long + v["bc"] * short
        stress = np.maximum(20.0 * long / (v["y"] * v["ac"]), 80.0 * short / (v["y"] * v["bc"]))
        return (volume, stress), (stress / 1e5 - 1.0,)


class ConcreteBeam(EngineeringProblem):
    """Cost and unmet requirements of a beam of reinforced concrete [AH89].

    Variables are the `area` of the reinforcement (in^2, one of 76 that bars add up to), the `width`
    and the `depth` (in). The first objective is the cost; the second, as in RE22 of [TI20], is by
    how much the bending strength and the ratio of depth to width miss what [AH89] requires. The
    strength has the factor 7.375 of [AH89]; RE22 has 7.735.

    Examples
    --------
    >>> import numpy as np
    >>> from problems.engineering import ConcreteBeam
    >>> best = {"area": 6.32, "width": 8.5, "depth": 34.0}
    >>> ConcreteBeam().evaluate(np.array([best])).round(3).tolist()
    [[359.208, 0.0]]
    """

    variables: ClassVar[dict[str, Variable]] = {
        "area": Choice(options=_AREAS),
        "width": Real(bounds=(0.1, 20.0)),
        "depth": Real(bounds=(0.0, 40.0)),
    }
    objective_names = ("cost", "unmet requirements")

    def _formulas(self, v: Values) -> Outputs:
        cost = 29.4 * v["area"] + 0.6 * v["width"] * v["depth"]
        strength = v["area"] * v["depth"] - 7.375 * v["area"] ** 2 / v["width"] - 180.0
        slender = 4.0 - v["depth"] / v["width"]
        return (cost, np.maximum(-strength, 0.0) + np.maximum(-slender, 0.0)), ()
