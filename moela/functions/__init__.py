"""Optimizing a plain Python function: variables, a problem, `minimize`, and its result."""
