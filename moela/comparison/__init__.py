"""Comparison of fronts and runs: indicators, statistics, pictures, and a report."""

from moela.comparison.comparing import compare, front_of
from moela.comparison.comparison import Comparison
from moela.comparison.settings import INDICATORS

__all__ = ["INDICATORS", "Comparison", "compare", "front_of"]
