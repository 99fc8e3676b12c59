"""Routing traces: recording, reading, and describing them."""
