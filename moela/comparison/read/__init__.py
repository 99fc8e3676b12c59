"""Readers that turn results, arrays, experiments, stores, and files into runs to compare."""
