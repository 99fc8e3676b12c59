"""Compiled loops of what every algorithm is built from."""
