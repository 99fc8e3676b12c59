"""Placement of experts on devices."""
