"""Functions that the tests of `moela.minimize` share."""

from __future__ import annotations

import enum

import moela


class Shape(enum.Enum):
    ROUND = "round"
    PIN = "pin"


def sink(d):
    """A heat sink, light or cool, with a fan that makes noise."""
    area = d["height"] * d["fins"] * (2 if d["shape"] == "pin" else 1)
    mass = area + (0.5 if d["fan"] else 0.0)
    rise = (0.4 if d["fan"] else 1.0) / (area + 0.01)
    return {"mass": mass, "rise": rise, "noise": 30 + 5 * d["fan"], "area": area}


SINK = {
    "variables": {"height": (0.01, 0.06), "fins": (5, 25), "shape": ["round", "pin"], "fan": bool},
    "objectives": ["mass", "rise"],
    "constraints": {"noise": (None, 36)},
}

QUIET = {"verbose": False, "progress": False}


def line(d):
    """Two objectives of one number."""
    return {"a": d["x"], "b": 1 - d["x"]}


LINE = {"variables": {"x": (0.0, 1.0)}, "objectives": ["a", "b"]}


def run(function=sink, **changes):
    """Minimize a function quietly, with few evaluations."""
    return moela.minimize(function, **(SINK | {"n_eval": 60} | QUIET | changes))


def objectives_of(result):
    return result.front.F.tolist()
