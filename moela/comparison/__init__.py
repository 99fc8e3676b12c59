"""Comparing fronts and runs, so that people believe it: numbers, statistics, pictures, a report."""

from moela.comparison.comparison import INDICATORS, Comparison, compare, front_of

__all__ = ["INDICATORS", "Comparison", "compare", "front_of"]
