"""Explaining what was evaluated: importances of variables, and slices through the objectives."""
