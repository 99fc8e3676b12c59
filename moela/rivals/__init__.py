"""Published competitors as pymoo algorithms, with the same interfaces and evaluation counting."""

from moela.rivals.batch_moead import BatchMOEAD
from moela.rivals.memetic_gbt import MemeticGBT
from moela.rivals.momad import MOMAD
from moela.rivals.moo_stage import MOOSTAGE
from moela.rivals.moos import MOOS
from moela.rivals.vs_rls import VSRLS

__all__ = ["MOMAD", "MOOS", "MOOSTAGE", "VSRLS", "BatchMOEAD", "MemeticGBT"]
