"""MNK-landscapes."""
