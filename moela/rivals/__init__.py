"""Published competitors as pymoo algorithms, with the same interfaces and evaluation counting."""

from .moo_stage import MOOSTAGE
from .moos import MOOS

__all__ = ["MOOS", "MOOSTAGE"]
