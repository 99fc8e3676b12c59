"""Pictures of a heat sink, a chip and deployments for README, landing page and whole_models.

    python -m tests.benchmarks.landing_pictures docs/images

The heat sink is the one that the README draws. The chip is the design of a search of 5,000
evaluations under the bundled synthetic traffic that dominates the largest box. The deployments
serve Qwen3-30B-A3B on 16 H200; their tables need the extra `silicon`. So does the picture of `moela
moe buy`, of the same model on up to eight GPUs of four kinds, at made-up prices.
"""

from __future__ import annotations

import argparse
import json
import os
import runpy
import shutil
import tempfile
from pathlib import Path

from pymoo.optimize import minimize

from moe_costmodel.silicon.tables.package import silicon_root
from moela import MOELA
from moela.cli import main as moela
from moela.commands.run.serving_front import plot_plans
from moela.quality.front import largest_box
from problems import NoC3D
from tests.docs.blocks import ROOT, blocks_of

TUTORIAL = ROOT / "docs" / "tutorials" / "09_real_model.py"
PRICES = {"a100_sxm": 1.6, "h100_sxm": 2.4, "h200_sxm": 3.2, "l40s": 0.9}


def sink(path: Path) -> None:
    """Run the first program of the README."""
    program, path, home = blocks_of(ROOT / "README.md")[0], path.resolve(), Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            exec(compile(program, "README.md", "exec"), {"__name__": "readme"})
        finally:
            os.chdir(home)
        path.write_bytes((Path(folder) / "sink.png").read_bytes())


def chip(path: Path) -> None:
    """Draw the links of a design by their load, beside the mesh."""
    problem = NoC3D.example("bfs", objectives=5)
    res = minimize(problem, MOELA(), ("n_eval", 5000), seed=1)
    best = res.X[largest_box(res.F, problem.ref_point)]
    problem.plot_beside_mesh(best).savefig(path, dpi=80)


def deployments(path: Path) -> None:
    """Draw the front of the tutorial about a real model."""
    found = runpy.run_path(str(TUTORIAL))
    plans = [found["problem"].plan(x) for x in found["res"].X]
    title = "Qwen3-30B-A3B on 16 H200 with SGLang"
    plot_plans(plans, found["front"].knee(), title=title, path=path)


def prices(path: Path) -> None:
    """Draw what `moela moe buy` finds: cost against the speed of a request."""
    config = silicon_root().parent / "model_configs" / "Qwen--Qwen3-30B-A3B_config.json"
    with tempfile.TemporaryDirectory() as folder:
        given, out = Path(folder) / "prices.json", Path(folder) / "buy"
        given.write_text(json.dumps(PRICES), encoding="utf-8")
        words = "moe buy --weights Qwen/Qwen3-30B-A3B --gpus-max 8 --evals 150 --slo-tpot 60 "
        files = ["--model", str(config), "--prices", str(given), "--out", str(out), "--quiet"]
        assert not moela([*words.split(), *files])
        shutil.copy(out / "front.png", path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    sink(folder / "sink.png")
    chip(folder / "chip.png")
    deployments(folder / "deployment.png")
    prices(folder / "buy.png")


if __name__ == "__main__":
    main()
