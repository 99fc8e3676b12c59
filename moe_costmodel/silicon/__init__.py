"""Whole steps composed of kernel times that others measured on GPUs (aiconfigurator-core)."""
