"""Gating thresholds of each layer."""
