"""Placement of experts on devices: its loads, heuristics, and exact search."""
