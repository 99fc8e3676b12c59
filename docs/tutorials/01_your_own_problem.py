"""
Your own problem in 15 lines
============================

A problem is any pymoo ``Problem``. This page designs a beam under a load at its end. It shall be
light and stiff; its width, height and material are the variables.
"""

# %%
# One method evaluates a design, which is a dictionary of its variables. Objectives go to
# ``out["F"]`` and are minimized. Constraints go to ``out["G"]`` and hold if they are at most zero.

from pymoo.core.problem import ElementwiseProblem
from pymoo.core.variable import Choice, Integer, Real
from pymoo.optimize import minimize

from moela import MOELA, plot_front

LENGTH, LOAD = 1.0, 2000.0  # m, N
MATERIALS = {  # density in kg/m3, elastic modulus and strength in Pa
    "aluminum": (2700.0, 70e9, 240e6),
    "steel": (7850.0, 210e9, 350e6),
    "titanium": (4430.0, 114e9, 880e6),
}


class Beam(ElementwiseProblem):
    def __init__(self):
        variables = {
            "width": Integer(bounds=(10, 80)),  # mm
            "height": Real(bounds=(10.0, 120.0)),  # mm
            "material": Choice(options=list(MATERIALS)),
        }
        super().__init__(vars=variables, n_obj=2, n_ieq_constr=1)

    def _evaluate(self, x, out, *args, **kwargs):
        width, height = x["width"] / 1000, x["height"] / 1000
        density, modulus, strength = MATERIALS[x["material"]]
        mass = density * width * height * LENGTH
        deflection = 4 * LOAD * LENGTH**3 / (modulus * width * height**3)
        stress = 6 * LOAD * LENGTH / (width * height**2)
        out["F"] = [mass, 1000 * deflection]
        out["G"] = [stress / (strength / 1.5) - 1]  # a safety factor of 1.5


# %%
# ``minimize`` is pymoo's. The budget is a number of evaluations and is never exceeded. The same
# seed gives the same result. The variables are mixed (an integer, a real number and a choice), and
# MOELA picks operators that fit.

problem = Beam()
res = minimize(problem, MOELA(), ("n_eval", 3_000), seed=1)
print(len(res.F), "non-dominated designs")

# %%
# The designs in ``res.X`` have the order of the rows of ``res.F``.

for i in res.F[:, 0].argsort()[:: len(res.F) // 5]:
    x, (mass, deflection) = res.X[i], res.F[i]
    size = f"{x['width']:3d} x {x['height']:5.1f} mm"
    print(f"{size} {x['material']:9s} {mass:5.1f} kg {deflection:6.2f} mm")

# %%
# Each point is a design that no other one beats in both objectives. A circle marks the design that
# dominates the largest box up to the worst corner of the front.

figure = plot_front(res.F, names=["mass (kg)", "deflection (mm)"], title="A beam, light and stiff")

# %%
