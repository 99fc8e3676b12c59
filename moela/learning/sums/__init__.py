"""Sums over pairs of items and costs of items at places, found out from evaluations."""
