"""The multi-objective quadratic assignment problem."""
