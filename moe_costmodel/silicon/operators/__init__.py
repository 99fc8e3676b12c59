"""Operators of a step: products, attention, experts, exchanges."""
