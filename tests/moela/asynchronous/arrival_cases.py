"""A function whose evaluations take unequal times, and the settings of its runs."""

from __future__ import annotations

import time

import numpy as np

QUIET = {"verbose": False, "progress": False}
SETTINGS = {
    "variables": {f"x{i}": (0.0, 1.0) for i in range(4)},
    "objectives": ["a", "b"],
    "asynchronous": True,
    "backend": "threads",
    "n_jobs": 4,
    "seed": 1,
    **QUIET,
}


def uneven(d):
    """Take a time between 0 and a few milliseconds that depends on nothing else."""
    time.sleep(0.002 * np.random.default_rng().lognormal())
    rest = d["x1"] + d["x2"] + d["x3"]
    return {"a": d["x0"], "b": (1.0 - d["x0"]) ** 2 + rest}
