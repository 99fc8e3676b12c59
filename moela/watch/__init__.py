"""Watching a run through its store, from another process."""
