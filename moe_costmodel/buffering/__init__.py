"""Replay of expert buffers: misses by policy and size."""
