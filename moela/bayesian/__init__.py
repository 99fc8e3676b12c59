"""Gaussian processes and expected improvement, for the first few hundred evaluations."""
