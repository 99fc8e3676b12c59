"""Kinds of content that a problem may hold, each before and after a change.

A kind is a function of 0 (before) or 1 (after), which makes the content anew at each call.
"""

from tests.benchmarks.survival.kinds import functions, libraries, objects, torch_objects, values
from tests.benchmarks.survival.kinds.base import KINDS, Held, Kind, compiled

__all__ = [
    "KINDS",
    "Held",
    "Kind",
    "compiled",
    "functions",
    "libraries",
    "objects",
    "torch_objects",
    "values",
]
