"""
Your function: an electric bicycle
==================================

You have a function that computes what a design is worth, and variables of several kinds. This page
designs the drive of an electric bicycle. It shall go far and cost little. The motor, the battery
and the gear are free, and the bicycle must climb a hill.
"""

# %%
# The function
# ------------
#
# A dictionary of the variables comes in, and a dictionary of numbers goes out. The formulas are the
# usual ones for rolling, air and grade resistance. A motor loses more power the more current it
# draws.

import tempfile
from pathlib import Path

import moela

# Of each motor: price, mass in kg, volts per turn per second, ohms.
MOTORS = {
    "hub": (120, 4.2, 4.6, 0.28),
    "geared hub": (190, 2.4, 3.6, 0.17),
    "mid drive": (420, 3.1, 3.2, 0.07),
}
# Of each kind of cell: price, watt-hours, amperes.
CELLS = {"energy": (4.4, 12.6, 6.0), "power": (3.9, 9.0, 20.0)}
CELL_MASS, CELL_VOLTS = 0.048, 3.6
BICYCLE, WHEEL, PEDALS = 94.0, 2.2, 60.0  # kg with rider, m of circumference, W of the rider


def drive(design, speed, slope):
    """Return the electric power in W, the volts and the amperes that a speed in m/s takes."""
    _, mass, volts_per_turn, ohms = MOTORS[design["motor"]]
    total = BICYCLE + mass + CELL_MASS * design["series"] * design["parallel"]
    force = 9.81 * total * (0.007 + slope) + 0.5 * 1.2 * 0.55 * speed**2
    back = volts_per_turn * design["gear"] * speed / WHEEL
    amperes = max(force * speed - PEDALS, 0.0) / back
    return (back + ohms * amperes) * amperes, back + ohms * amperes, amperes


def bicycle(design):
    """Return what a buyer of the bicycle asks for."""
    price, watt_hours, most = CELLS[design["cell"]]
    n_cells = design["series"] * design["parallel"]
    cruise, cruise_volts, _ = drive(design, 25 / 3.6, 0.0)
    _, climb_volts, climb = drive(design, 14 / 3.6, 0.10)
    return {
        "range_km": 25 * watt_hours * n_cells / cruise,
        "price": MOTORS[design["motor"]][0] + price * n_cells + 40 * design["parallel"] ** 0.5,
        "volts_left": CELL_VOLTS * design["series"] - max(cruise_volts, climb_volts),
        "amperes_left": most * design["parallel"] - climb,
    }


# %%
# The variables
# -------------
#
# The numbers of cells are integers, the gear is real, and the motor and the cell are choices. No
# coding is needed: a tuple of integers is an integer variable, a tuple with a decimal point is a
# real one, and a list is a choice. The range is to be maximized. Two limits keep the voltage and
# the current within what the battery has.

folder = Path(tempfile.mkdtemp())
result = moela.minimize(
    bicycle,
    objectives={"range_km": "max", "price": "min"},
    constraints={"volts_left": (0, None), "amperes_left": (0, None)},
    variables={
        "motor": list(MOTORS),
        "cell": list(CELLS),
        "series": (7, 14),
        "parallel": (1, 8),
        "gear": (0.5, 3.0),
    },
    n_eval=1_000,
    seed=1,
    store=folder / "bicycle.db",
)
print(result)

# %%
# The store holds every evaluation. Stop the program at any time, and run it again: it goes on where
# it was. A larger ``n_eval`` continues the run.
#
# Choosing
# --------
#
# The knee of a front is the design from which a little more of one goal costs most of the other.
# ``explain`` says what it gives up for what, and which neighbors differ in what.

knee = result.knee()
print(result.explain(knee))

# %%
# Every point is a bicycle. Gray ones were evaluated and are worse than one on the front.

figure = result.plot()
