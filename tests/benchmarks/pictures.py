"""Pictures of README, landing page, and the pages on comparing and functions.

    python -m tests.benchmarks.pictures docs/images [sink chip deployment prices ...]

The heat sink is the one that the README draws. The chip is the design of a search of 5,000
evaluations under the bundled synthetic traffic that dominates the largest box. The deployments
serve Qwen3-30B-A3B on 16 H200; their tables need the extra `silicon`. So does the picture of `moela
moe buy`, of the same model on up to eight GPUs of four kinds, at made-up prices.
"""

from __future__ import annotations

import contextlib
import json
import math
import runpy
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.optimize import minimize

import moela
from moe_costmodel.silicon.tables.package import silicon_root
from moela import MOELA, compare, run_experiment
from moela.cli import main as command_line
from moela.commands.run.serving_front import plot_plans
from moela.quality.front import largest_box
from problems import MultiObjectiveQAP, NoC3D
from tests.benchmarks import harness
from tests.docs.blocks import ROOT, blocks_of

ALGORITHMS = {
    "MOELA": MOELA,
    "NSGA-II": lambda problem: NSGA2(50, **problem.operators()),
    "NSGA-II, 200": lambda problem: NSGA2(200, **problem.operators()),
}

PRICES = {"a100_sxm": 1.6, "h100_sxm": 2.4, "h200_sxm": 3.2, "l40s": 0.9}


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


def sink(images: Path) -> None:
    """Run the first program of the README."""
    program, images = blocks_of(ROOT / "README.md")[0], images.resolve()
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        exec(compile(program, "README.md", "exec"), {"__name__": "readme"})
        (images / "sink.png").write_bytes(Path("sink.png").read_bytes())


def chip(images: Path) -> None:
    """Draw the links of a design by their load, beside the mesh."""
    problem = NoC3D.example("bfs", objectives=5)
    res = minimize(problem, MOELA(), ("n_eval", 5000), seed=1)
    best = res.X[largest_box(res.F, problem.ref_point)]
    problem.plot_beside_mesh(best).savefig(images / "chip.png", dpi=80)


def deployment(images: Path) -> None:
    """Draw the front of the tutorial about a real model."""
    found = runpy.run_path(str(ROOT / "docs" / "tutorials" / "09_real_model.py"))
    plans = [found["problem"].plan(x) for x in found["res"].X]
    title = "Qwen3-30B-A3B on 16 H200 with SGLang"
    plot_plans(plans, found["front"].knee(), title=title, path=images / "deployment.png")


def prices(images: Path) -> None:
    """Draw what `moela moe buy` finds: cost against the speed of a request."""
    config = silicon_root().parent / "model_configs" / "Qwen--Qwen3-30B-A3B_config.json"
    with tempfile.TemporaryDirectory() as folder:
        given, out = Path(folder) / "prices.json", Path(folder) / "buy"
        given.write_text(json.dumps(PRICES), encoding="utf-8")
        words = "moe buy --weights Qwen/Qwen3-30B-A3B --gpus-max 8 --evals 150 --slo-tpot 60 "
        files = ["--model", str(config), "--prices", str(given), "--out", str(out), "--quiet"]
        assert not command_line([*words.split(), *files])
        shutil.copy(out / "front.png", images / "buy.png")


def comparison(images: Path) -> None:
    """Draw what median runs attain, and hypervolume over evaluations."""
    problem = MultiObjectiveQAP.random(n_facilities=25)
    results = run_experiment({"mQAP": problem}, ALGORITHMS, 9, 4_000, store=".benchmarks/page")
    compared = compare(results, problems={"mQAP": problem})
    print(compared)
    compared.plot_attainment(path=images / "attainment.png")
    compared.plot_convergence(path=images / "convergence.png")


def importances(images: Path) -> None:
    """Draw importances and slices of a heat sink with seven variables."""
    result = moela.minimize(
        heat_sink, variables=VARIABLES, objectives=["mass", "rise"],
        constraints={"noise": (None, 33)}, n_eval=600, verbose=False,
    )  # fmt: skip
    found = result.importances()
    print(found)
    found.plot(path=images / "importances.png")
    found.plot_slices(path=images / "slices.png")


PICTURES: dict[str, Callable[[Path], None]] = {
    draw.__name__: draw for draw in (sink, chip, deployment, prices, comparison, importances)
}


def main() -> None:
    parser = harness.script_parser(__doc__)
    parser.add_argument("folder", type=Path, help="folder for the pictures")
    parser.add_argument("names", nargs="*", help="only these")
    arguments = parser.parse_args()
    for draw in harness.pick(PICTURES, arguments.names or None).values():
        draw(arguments.folder)


if __name__ == "__main__":
    main()
