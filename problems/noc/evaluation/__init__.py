"""Evaluation of network-on-chip designs: routing, loads, objectives, metrics, limits."""
