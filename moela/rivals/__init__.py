"""Published competitors as pymoo algorithms, with the same interfaces and evaluation counting."""

from .batch_moead import BatchMOEAD
from .momad import MOMAD
from .moo_stage import MOOSTAGE
from .moos import MOOS

__all__ = ["MOMAD", "MOOS", "MOOSTAGE", "BatchMOEAD"]
