"""Pictures of docs/functions.md: importances and slices of a heat sink.

python -m tests.benchmarks.explain_pictures docs/images
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import Any

import moela

# Density in kg/m3, and conductivity in W/mK.
MATERIALS = {
    "aluminum": (2700, 205),
    "steel": (7850, 45),
    "titanium": (4430, 22),
    "copper": (8960, 390),
    "magnesium": (1740, 156),
    "brass": (8500, 109),
    "carbon": (1600, 8),
    "bamboo": (700, 0.2),
}
VARIABLES = {
    "height": (0.01, 0.06),
    "base": (0.002, 0.01),
    "fins": (5, 25),
    "shape": ["plate", "pin"],
    "material": list(MATERIALS),
    "fan": bool,
    "rpm": moela.real(200, 6000, log=True, when={"fan": True}),
}


def heat_sink(d: dict[str, Any]) -> dict[str, float]:
    density, conductivity = MATERIALS[d["material"]]
    area = d["fins"] * d["height"] * 0.2 * (1.4 if d["shape"] == "pin" else 1.0)
    flow = 8 + (0.02 * d["rpm"] if d["fan"] else 0) / (1 + 0.002 * d["fins"] ** 2)
    efficiency = math.tanh(0.02 * conductivity / (1 + 60 * d["height"])) * 0.8 + 0.1
    mass = density * (0.0006 * d["fins"] * d["height"] * 0.1 + 0.0004 * d["base"] * 10)
    mass += 0.15 if d["fan"] else 0.0
    noise = 20 + (12 * math.log10(d["rpm"] / 100) if d["fan"] else 0) + 2 * (d["shape"] == "pin")
    return {"mass": mass, "rise": 30 / (efficiency * flow * (area + 0.01)), "noise": noise}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    result = moela.minimize(
        heat_sink, variables=VARIABLES, objectives=["mass", "rise"],
        constraints={"noise": (None, 33)}, n_eval=600, verbose=False,
    )  # fmt: skip
    importances = result.importances()
    print(importances)
    importances.plot(path=folder / "importances.png")
    importances.plot_slices(path=folder / "slices.png")


if __name__ == "__main__":
    main()
