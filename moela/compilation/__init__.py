"""Compilation by numba."""
