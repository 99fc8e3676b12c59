"""Learned models of moves, starts, and designs."""
