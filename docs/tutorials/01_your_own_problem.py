"""
Your own problem in 15 lines
============================

A problem is any pymoo ``Problem``. This page designs a beam under a load at its end. It shall be
light and stiff; its width, height and material are the variables.
"""

# %%
# One method evaluates many designs at once: each row of ``X`` is a design. Objectives go to
# ``out["F"]`` and are minimized. Constraints go to ``out["G"]`` and hold if they are at most zero.

import numpy as np
from pymoo.core.problem import Problem
from pymoo.optimize import minimize

from moela import MOELA, plot_front

DENSITY = np.array([2700.0, 7850.0, 4430.0])  # aluminum, steel, titanium: kg/m3
MODULUS = np.array([70e9, 210e9, 114e9])  # Pa
STRENGTH = np.array([240e6, 350e6, 880e6])  # Pa
LENGTH, LOAD = 1.0, 2000.0  # m, N


class Beam(Problem):
    def __init__(self):
        super().__init__(
            n_var=3, n_obj=2, n_ieq_constr=1, xl=[10, 10, 0], xu=[80, 120, 2], vtype=int
        )

    def _evaluate(self, X, out, *args, **kwargs):
        width, height = X[:, 0] / 1000, X[:, 1] / 1000  # whole millimeters
        material = X[:, 2]
        mass = DENSITY[material] * width * height * LENGTH
        deflection = 4 * LOAD * LENGTH**3 / (MODULUS[material] * width * height**3)
        stress = 6 * LOAD * LENGTH / (width * height**2)
        out["F"] = np.column_stack((mass, 1000 * deflection))
        out["G"] = stress / (STRENGTH[material] / 1.5) - 1  # a safety factor of 1.5


# %%
# ``minimize`` is pymoo's. The budget is a number of evaluations and is never exceeded. The same
# seed gives the same result. All three variables are integers (``vtype=int``), and MOELA picks
# operators that fit.

problem = Beam()
res = minimize(problem, MOELA(), ("n_eval", 3_000), seed=1)
print(len(res.F), "non-dominated designs")

# %%
# A design is a row of ``res.X``, in the order of the rows of ``res.F``.

names = ("aluminum", "steel", "titanium")
for i in res.F[:, 0].argsort()[:: len(res.F) // 5]:
    width, height, material = res.X[i]
    mass, deflection = res.F[i]
    print(f"{width:3d} x {height:3d} mm {names[material]:9s} {mass:5.1f} kg {deflection:6.2f} mm")

# %%
# The left panel shows the front; the design that dominates the largest box is marked. In the right
# panel, each line is a design.

figure = plot_front(res.F, names=["mass (kg)", "deflection (mm)"], title="A beam, light and stiff")

# %%
