"""Neighbors of designs: moves by type of variable, and checks of those that problems return."""
