"""Attacks on the library, one module each, run by ``python -m tests.benchmarks.survival``.

A module has ``bars(options)``, which yields a `Bar` for each claim as soon as it is known.
"""
