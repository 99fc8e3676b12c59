"""Flit-level simulation of a design: channels, credits, router pipeline, packets."""
