"""MOELA: multi-objective evolution whose local searches start where a learned model says."""

__version__ = "0.1.0"
