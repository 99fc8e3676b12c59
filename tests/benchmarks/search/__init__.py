"""Benchmarks of search: `python -m tests.benchmarks.search NAME`.

A benchmark is a `Study`, which keeps each run in `tests/benchmarks/results`, or a `Tables`, whose
runs are experiments in a folder. `__main__` names them all.
"""
