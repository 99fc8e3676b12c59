"""MOELA: multi-objective evolution whose local searches start where a learned model says."""

from moela.algorithm import MOELA

__version__ = "0.1.0"

__all__ = ["MOELA", "__version__"]
