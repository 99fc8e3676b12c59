"""Runs of a store: which one a call continues, and whose results answer it."""
