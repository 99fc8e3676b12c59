"""Experiments: algorithms x problems x seeds, with one file per run."""
